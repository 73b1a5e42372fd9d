//! A file of machine code: the executable, or a library that it has loaded.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use object::elf::{DT_NEEDED, FileHeader64, PF_X, PT_LOAD, ProgramHeader64};
use object::read::elf::{ElfFile64, ProgramHeader, SectionHeader, SymbolTable};
use object::{LittleEndian, ReadRef};

/// The format of both architectures.
pub type Elf<'data> = ElfFile64<'data, LittleEndian>;

/// The functions that an image names.
pub type Symbols<'data> = SymbolTable<'data, FileHeader64<LittleEndian>>;

/// The kernel's own library is read up to this many bytes; it has two pages, or four.
const VDSO_MAX: usize = 1024 * 1024;

/// Bytes of an image, shared.
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        (*self.owner).as_ref().get(self.range.clone()).unwrap_or_default()
    }
}

/// An image. Nothing in it is trusted: what cannot be parsed counts as absent.
pub struct Image {
    /// Its path; empty for the kernel's own library.
    path: PathBuf,
    /// Kept open, because another file may take its path: a server may be built again while it runs.
    file: Option<File>,
    bytes: Bytes,
}

impl Image {
    /// Maps a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_as(path, path)
    }

    /// Maps a file that has no path, or whose path another file has taken.
    pub fn open_as(file: &Path, path: &Path) -> io::Result<Self> {
        let file = File::open(file)?;
        // SAFETY: the file is that of a program which runs or is about to: linkers put a new file in its place
        // rather than write into it, which the kernel refuses while it runs.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self { path: path.to_owned(), file: Some(file), bytes: Bytes::new(map) })
    }

    /// The library that the kernel maps into every process, read from this one: it is the same in all.
    pub fn vdso() -> io::Result<Self> {
        let maps = procfs::process::Process::myself().and_then(|process| process.maps()).map_err(io::Error::other)?;
        let map = maps.into_iter().find(|map| map.pathname == procfs::process::MMapPath::Vdso);
        let (start, end) = map.ok_or(io::ErrorKind::NotFound)?.address;
        let mut bytes = vec![0; VDSO_MAX.min(end.saturating_sub(start) as usize)];
        // Not by /proc/self/mem, which is root's while this process holds keys.
        let from = [RemoteIoVec { base: start as usize, len: bytes.len() }];
        let read = process_vm_readv(Pid::this(), &mut [IoSliceMut::new(&mut bytes)], &from)?;
        bytes.truncate(read);
        Ok(Self::of_bytes(bytes))
    }

    /// One that is in no file.
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        Self { path: PathBuf::new(), file: None, bytes: Bytes::new(bytes) }
    }

    /// The whole of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its path, where another file may lie by now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Its headers and tables.
    pub fn elf(&self) -> Option<Elf<'_>> {
        Elf::parse(&*self.bytes).ok()
    }

    /// Whether it is linked with libraries that are loaded with it.
    pub fn needs_libraries(&self) -> bool {
        let dynamic = self.elf().and_then(|elf| {
            let table = elf.elf_section_table().dynamic(LittleEndian, &*self.bytes).ok()?;
            table.map(|(entries, _)| entries.iter().any(|entry| entry.d_tag.get(LittleEndian) == DT_NEEDED))
        });
        dynamic.unwrap_or(false)
    }

    /// A section that is loaded with the program: its addresses, and its bytes.
    pub fn loaded_section(&self, name: &str) -> Option<(Range<u64>, Bytes)> {
        let elf = self.elf()?;
        let (_, section) = elf.elf_section_table().section_by_name(LittleEndian, name.as_bytes())?;
        let (offset, size) = section.file_range(LittleEndian)?;
        let start = section.sh_addr.get(LittleEndian);
        let range = usize::try_from(offset).ok()?..usize::try_from(offset.checked_add(size)?).ok()?;
        // Only a section that is there as a whole counts.
        self.bytes.get(range.clone())?;
        Some((start..start.checked_add(size)?, Bytes { owner: Arc::clone(&self.bytes.owner), range }))
    }

    /// The machine code from an address on, `size` bytes at most.
    pub fn code(&self, address: u64, size: u64) -> Option<&[u8]> {
        let elf = self.elf()?;
        let offset = file_offset(&elf, address)?;
        let end = offset.saturating_add(size).min(self.bytes.len() as u64);
        (&*self.bytes).read_bytes_at(offset, end.checked_sub(offset)?).ok()
    }
}

impl Bytes {
    fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        let range = 0..owner.as_ref().len();
        Self { owner: Arc::new(owner), range }
    }
}

/// Where an address of the image stands in its file.
pub fn file_offset(elf: &Elf<'_>, address: u64) -> Option<u64> {
    loaded_segments(elf).find_map(|segment| {
        let within = address.checked_sub(segment.p_vaddr(LittleEndian))?;
        (within < segment.p_filesz(LittleEndian)).then(|| segment.p_offset(LittleEndian).checked_add(within))?
    })
}

/// The address that the image gives to a place in its file. The place may lie before the part that is used, because
/// mappings begin with a whole page.
pub fn address_of_offset(elf: &Elf<'_>, offset: u64, size: u64) -> Option<u64> {
    let end = offset.checked_add(size)?;
    loaded_segments(elf).find_map(|segment| {
        let (start, length) = (segment.p_offset(LittleEndian), segment.p_filesz(LittleEndian));
        let overlap = start < end && offset < start.checked_add(length)?;
        let executable = segment.p_flags(LittleEndian) & PF_X != 0;
        (overlap && executable).then(|| segment.p_vaddr(LittleEndian).wrapping_add(offset.wrapping_sub(start)))
    })
}

/// The table that names the functions: all of them, or in a stripped image those that other images may call.
pub fn symbols<'elf, 'data>(elf: &'elf Elf<'data>) -> &'elf Symbols<'data> {
    match elf.elf_symbol_table() {
        all if !all.is_empty() => all,
        _ => elf.elf_dynamic_symbol_table(),
    }
}

/// A segment of machine code.
pub struct CodeSegment<'data> {
    /// The address at which it begins.
    pub address: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// All of it.
    pub code: &'data [u8],
}

/// The machine code of an image.
pub fn code_segments<'data>(elf: &Elf<'data>) -> impl Iterator<Item = CodeSegment<'data>> {
    let data = elf.data();
    loaded_segments(elf).filter(|segment| segment.p_flags(LittleEndian) & PF_X != 0).filter_map(move |segment| {
        let code = segment.data(LittleEndian, data).ok()?;
        Some(CodeSegment { address: segment.p_vaddr(LittleEndian), offset: segment.p_offset(LittleEndian), code })
    })
}

fn loaded_segments<'data>(elf: &Elf<'data>) -> impl Iterator<Item = &'data ProgramHeader64<LittleEndian>> {
    elf.elf_program_headers().iter().filter(|segment| segment.p_type(LittleEndian) == PT_LOAD)
}

//! Places in the code -> functions, files and lines, by the debug information of the images.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use addr2line::{Loader, gimli};
use memchr::memmem;

use super::functions::{self, Functions};
use super::image::Image;
use super::images::{Code, Images};
use super::names;
use super::origin::{self, Origin};
use super::remapped::Remapped;
use super::type_names;
use cargo_beyla_core::model::stack::{Frame, Whose};

/// The functions whose files are looked at, to see what stands for the workspace's folder.
const FILES_MAX: usize = 1000;

/// The most functions that are taken to have been inlined into each other.
const INLINED_MAX: usize = 64;

/// Reads debug information, and keeps what it has found.
pub struct Symbolizer {
    origin: Origin,
    read: HashMap<u32, Read>,
    frames: HashMap<Code, Arc<[Frame]>>,
}

/// What is read of an image.
struct Read {
    functions: Functions,
    debug: Option<Loader>,
    remapped: OnceCell<Remapped>,
    /// It is the C library or its like, or the kernel's own library.
    is_system: bool,
    /// It needs no other library.
    is_static: bool,
}

impl Symbolizer {
    /// Nothing is read yet.
    pub fn new(origin: Origin) -> Self {
        Self { origin, read: HashMap::new(), frames: HashMap::new() }
    }

    /// The functions at a place in the code: the innermost first, if some are inlined into others.
    pub fn frames(&mut self, code: Code, images: &Images) -> Arc<[Frame]> {
        if let Some(known) = self.frames.get(&code) {
            return Arc::clone(known);
        }
        let found: Arc<[Frame]> = images.get(code.image).map_or_else(Vec::new, |image| self.read(code, image)).into();
        self.frames.insert(code, Arc::clone(&found));
        found
    }

    /// The functions of an image.
    pub fn functions(&mut self, number: u32, image: &Image) -> &Functions {
        &self.read.entry(number).or_insert_with(|| Read::new(image)).functions
    }

    fn read(&mut self, code: Code, image: &Image) -> Vec<Frame> {
        let read = self.read.entry(code.image).or_insert_with(|| Read::new(image));
        let symbol = read.functions.containing(image, code.address).map(names::function);
        let mut places = read.places(code.address);
        if places.is_empty() {
            places.push(Place { function: None, source: None });
        }
        let outermost = places.len() - 1;
        let frame = |(index, place): (usize, Place)| {
            let function = match place.function {
                Some(Function { name, whole: true }) => name,
                partial => {
                    let in_symbol = symbol.clone().filter(|_| index == outermost);
                    let name = in_symbol.or(partial.map(|function| function.name));
                    name.unwrap_or_else(|| unnamed(image, code.address))
                }
            };
            let (source, whose) = match place.source {
                Some((file, line)) => {
                    let (file, whose) = self.origin.of_file(&file, &function, || read.remapped(image, &self.origin));
                    (Some((file.into(), line)), whose)
                }
                None => (None, self.origin.of_function(&function)),
            };
            // What has no path of its own is the C library's where that is linked into the executable.
            let system = read.is_system || (read.is_static && source.is_none() && !function.contains("::"));
            let whose = if system && whose == Whose::Library { Whose::System } else { whose };
            Frame { function: names::readable(&function).into(), source, whose }
        };
        places.into_iter().enumerate().map(frame).collect()
    }
}

/// A function at a place, as debug information has it.
struct Place {
    function: Option<Function>,
    source: Option<(String, u32)>,
}

struct Function {
    name: String,
    /// With its path, which tables of lines alone leave out.
    whole: bool,
}

impl Read {
    fn new(image: &Image) -> Self {
        let file = image.path().file_name().map(OsStr::to_string_lossy);
        Self {
            functions: Functions::read(image),
            debug: load(image),
            remapped: OnceCell::new(),
            is_system: file.is_none_or(|file| origin::is_system_library(&file)),
            is_static: !image.needs_libraries(),
        }
    }

    /// What stands for the workspace's folder in its debug information.
    fn remapped(&self, image: &Image, origin: &Origin) -> &Remapped {
        self.remapped.get_or_init(|| {
            let (Some(debug), Some(elf)) = (&self.debug, image.elf()) else { return Remapped::default() };
            // As both schemes of mangling begin the path of a function.
            let marks: Vec<String> = origin.own_crates().iter().map(|name| format!("{}{name}", name.len())).collect();
            let marks: Vec<_> = marks.iter().map(memmem::Finder::new).collect();
            let marked = |symbol: &[u8]| marks.iter().any(|mark| mark.find(symbol).is_some());
            let own = |symbol: &[u8]| {
                let symbol = std::str::from_utf8(symbol).unwrap_or_default();
                origin.is_own_function(&names::function(symbol))
            };
            let functions = functions::each(&elf).filter(|(_, _, symbol)| marked(symbol) && own(symbol));
            let file = |address: u64| debug.find_location(address).ok()??.file.map(Path::new);
            origin.remapped(functions.filter_map(|(_, range, _)| file(range.start)).take(FILES_MAX))
        })
    }

    fn places(&self, address: u64) -> Vec<Place> {
        let mut places = Vec::new();
        let Some(Ok(mut frames)) = self.debug.as_ref().map(|debug| debug.find_frames(address)) else { return places };
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.as_ref().and_then(|name| {
                let raw = name.raw_name().ok()?;
                let rust = name.language == Some(gimli::DW_LANG_Rust);
                Some(function(&raw, rust))
            });
            let source = frame.location.and_then(|location| Some((location.file?.to_owned(), location.line?)));
            places.push(Place { function, source });
            if places.len() >= INLINED_MAX {
                break;
            }
        }
        places
    }
}

fn function(raw: &str, rust: bool) -> Function {
    if !rust || rustc_demangle::try_demangle(raw).is_ok() {
        return Function { name: names::function(raw), whole: true };
    }
    let name = type_names::generics(raw).map_or(raw, |(name, _)| name);
    Function { name: name.to_owned(), whole: false }
}

/// Of a function without a name: the file, and the address in it.
fn unnamed(image: &Image, address: u64) -> String {
    let file = image.path().file_name().map_or("[vdso]".into(), |name| name.to_string_lossy());
    format!("{file}+{address:#x}")
}

fn load(image: &Image) -> Option<Loader> {
    let elf = image.elf()?;
    let has_debug = elf.elf_section_table().section_by_name(object::LittleEndian, b".debug_info").is_some();
    if has_debug { Loader::new(same_file(image)?).ok() } else { None }
}

/// A path that leads to the very file: debug information may stand beside it, so rather its own path.
fn same_file(image: &Image) -> Option<PathBuf> {
    let file = image.file()?;
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let held = identity(file.metadata().ok()?);
    let is_there = image.path().metadata().is_ok_and(|metadata| identity(metadata) == held);
    if is_there { Some(image.path().to_owned()) } else { Some(format!("/proc/self/fd/{}", file.as_raw_fd()).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables_of_lines_are_without_path() {
        let name = |raw, rust| {
            let Function { name, whole } = function(raw, rust);
            (name, whole)
        };
        assert_eq!(name("_ZN3std6thread5sleep17h0123456789abcdefE", true), ("std::thread::sleep".to_owned(), true));
        assert_eq!(name("map_err<a::B, c::D<e>>", true), ("map_err".to_owned(), false));
        assert_eq!(name("{async_fn#0}<a::T>", true), ("{async_fn#0}".to_owned(), false));
        assert_eq!(name("operator<", false), ("operator<".to_owned(), true));
    }
}

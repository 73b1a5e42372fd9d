//! The libraries that an executable is linked with, where the dynamic linker will find them as a rule.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use object::LittleEndian;
use object::elf::DT_NEEDED;
use object::read::elf::Dyn;

use super::image::{Elf, Image};

/// The most libraries that are followed.
const LIBRARIES_MAX: usize = 128;

/// Where the dynamic linker looks (`man ld.so`); Debian has folders for each architecture.
const FOLDERS: [&str; 8] = [
    if cfg!(target_arch = "aarch64") { "/lib/aarch64-linux-gnu" } else { "/lib/x86_64-linux-gnu" },
    if cfg!(target_arch = "aarch64") { "/usr/lib/aarch64-linux-gnu" } else { "/usr/lib/x86_64-linux-gnu" },
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib64",
    "/usr/local/lib",
];

/// The libraries of an executable, and those that these need. One that lies elsewhere is left out.
pub fn libraries(executable: &Path) -> Vec<PathBuf> {
    let variable = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&variable).chain(FOLDERS.map(PathBuf::from)).collect();
    let mut found: Vec<PathBuf> = Vec::new();
    let mut names = names(executable);
    while let Some(name) = names.pop().filter(|_| found.len() < LIBRARIES_MAX) {
        let name = OsStr::from_bytes(&name);
        let Some(path) = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()) else { continue };
        if !found.contains(&path) {
            names.extend(self::names(&path));
            found.push(path);
        }
    }
    found
}

/// The names by which an image is linked with others.
fn names(path: &Path) -> Vec<Vec<u8>> {
    let Ok(image) = Image::open(path) else { return Vec::new() };
    image.elf().map(|elf| of_elf(&elf)).unwrap_or_default()
}

fn of_elf(elf: &Elf<'_>) -> Vec<Vec<u8>> {
    let (sections, data) = (elf.elf_section_table(), elf.data());
    let Ok(Some((entries, strings))) = sections.dynamic(LittleEndian, data) else { return Vec::new() };
    let Ok(strings) = sections.strings(LittleEndian, data, strings) else { return Vec::new() };
    let needed = entries.iter().filter(|entry| entry.tag(LittleEndian) == DT_NEEDED);
    needed.filter_map(|entry| entry.string(LittleEndian, strings).ok()).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_an_executable_are_found() {
        let libraries = libraries(&std::env::current_exe().expect("our own path"));
        assert!(libraries.iter().any(|path| path.ends_with("libc.so.6")), "{libraries:?}");
        assert_eq!(super::libraries(Path::new("/dev/null")), Vec::<PathBuf>::new());
    }
}

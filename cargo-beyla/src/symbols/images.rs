//! The images that processes have mapped, each read once.

use std::collections::HashMap;
use std::ops::Range;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};

use procfs::process::{MMapPath, MemoryMap};

use crate::launch::running_executable::unmarked;

use super::image::Image;
use super::locks;

/// The most images that are read.
const IMAGES_MAX: usize = 512;

/// A place in the code: an image, by its number among [`Images`], and an address as that image counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code {
    /// Which image.
    pub image: u32,
    /// The address; where a call is under way, one within the call.
    pub address: u64,
}

/// The images of all processes.
#[derive(Default)]
pub struct Images {
    loaded: Vec<Loaded>,
    /// `None` where it could not be read.
    known: HashMap<Key, Option<u32>>,
}

/// The path of an image when it was mapped (the kernel's own library has none), and its inode.
type Key = (Option<PathBuf>, u64);

/// An image and the functions in it that wait for a lock.
struct Loaded {
    image: Image,
    locks: Vec<Range<u64>>,
}

impl Images {
    /// An image.
    pub fn get(&self, number: u32) -> Option<&Image> {
        self.loaded.get(number as usize).map(|loaded| &loaded.image)
    }

    /// Whether the function there waits for a lock.
    pub fn waits_for_lock(&self, code: Code) -> bool {
        let ranges = self.loaded.get(code.image as usize).map_or(&[][..], |loaded| &loaded.locks);
        ranges.iter().any(|range| range.contains(&code.address))
    }

    /// The number of the image that a process has mapped somewhere.
    pub fn of_mapping(&mut self, pid: u32, map: &MemoryMap) -> Option<u32> {
        match &map.pathname {
            MMapPath::Path(path) => {
                let name = unmarked(path).unwrap_or_else(|| path.clone());
                self.read((Some(name), map.inode), |name| open(pid, map, path, name))
            }
            MMapPath::Vdso => self.read((None, map.inode), |_| Image::vdso()),
            _ => None,
        }
    }

    /// Reads an executable before any process has mapped it. If that fails, it is tried again once a process has.
    pub fn expect(&mut self, executable: &Path, file: &Path) {
        let path = if executable == file { executable.canonicalize() } else { Ok(executable.to_owned()) };
        let (Ok(path), Ok(metadata)) = (path, file.metadata()) else { return };
        if let Ok(image) = Image::open_as(file, &path) {
            self.read((Some(path), metadata.st_ino()), |_| Ok(image));
        }
    }

    /// The number of an image, which is opened the first time.
    fn read(&mut self, key: Key, open: impl FnOnce(&Path) -> std::io::Result<Image>) -> Option<u32> {
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        if self.known.len() >= IMAGES_MAX {
            return None;
        }
        let number = open(key.0.as_deref().unwrap_or(Path::new(""))).ok().map(|image| {
            let locks = locks::find(&image);
            self.loaded.push(Loaded { image, locks });
            (self.loaded.len() - 1) as u32
        });
        self.known.insert(key, number);
        number
    }
}

/// Opens the file that is mapped, not one that has taken its path since. The kernel marks the path of a file that has
/// lost it. Such a file has other names: `/proc/PID/exe`, or with privilege, `/proc/PID/map_files`.
fn open(pid: u32, map: &MemoryMap, path: &Path, name: &Path) -> std::io::Result<Image> {
    let is_marked = path != name && path.metadata().map_or(true, |metadata| metadata.st_ino() != map.inode);
    if !is_marked {
        return Image::open(path);
    }
    let executable = PathBuf::from(format!("/proc/{pid}/exe"));
    if executable.read_link().is_ok_and(|mapped| mapped == path) {
        return Image::open_as(&executable, name);
    }
    let (start, end) = map.address;
    Image::open_as(Path::new(&format!("/proc/{pid}/map_files/{start:x}-{end:x}")), name)
}

//! The images that processes have mapped, each read once.

use std::collections::HashMap;
use std::ops::Range;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};

use procfs::process::{MMapPath, MemoryMap};

use super::image::Image;
use super::locks;

/// The most images that are read.
const IMAGES_MAX: usize = 512;

/// A place in the code: the image, by its number among [`Images`], and the address that it gives to it.
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
    /// By path, which the kernel's own library has not, and inode; `None` where it could not be read.
    known: HashMap<(Option<PathBuf>, u64), Option<u32>>,
}

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
        let path = match &map.pathname {
            MMapPath::Path(path) => Some(path.clone()),
            MMapPath::Vdso => None,
            _ => return None,
        };
        self.read((path, map.inode), |path| match path {
            None => Image::vdso(),
            Some(path) => open(pid, path),
        })
    }

    /// Reads an executable before any process has mapped it. What cannot be read is left for then.
    pub fn expect(&mut self, executable: &Path) {
        let Ok(path) = executable.canonicalize() else { return };
        let Ok(inode) = path.metadata().map(|metadata| metadata.st_ino()) else { return };
        if let Ok(image) = Image::open(&path) {
            self.read((Some(path), inode), |_| Ok(image));
        }
    }

    /// The number of an image, which is opened if it is not known.
    fn read(
        &mut self,
        key: (Option<PathBuf>, u64),
        open: impl FnOnce(Option<&Path>) -> std::io::Result<Image>,
    ) -> Option<u32> {
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        if self.known.len() >= IMAGES_MAX {
            return None;
        }
        let number = open(key.0.as_deref()).ok().map(|image| {
            let locks = locks::find(&image);
            self.loaded.push(Loaded { image, locks });
            (self.loaded.len() - 1) as u32
        });
        self.known.insert(key, number);
        number
    }
}

/// Opens what is mapped, not what has taken its path since: the kernel adds to the path of a file that has been
/// replaced, so that no file has it, but the executable has a second name.
fn open(pid: u32, path: &Path) -> std::io::Result<Image> {
    Image::open(path).or_else(|error| {
        let executable = PathBuf::from(format!("/proc/{pid}/exe"));
        if executable.read_link().is_ok_and(|mapped| mapped == path) { Image::open(&executable) } else { Err(error) }
    })
}

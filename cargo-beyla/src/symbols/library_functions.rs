//! Which functions of libraries are probed in a file: those that set up keys for TLS, and those of SQLite.

use std::path::Path;

use super::image::Image;
use super::{key_functions, sqlite_functions};
use crate::probe::library_probe::LibraryProbe;

/// What was found in a file.
#[derive(Default)]
pub struct LibraryFunctions {
    /// What is probed.
    pub probes: Vec<LibraryProbe>,
    /// Which calls are not seen, and why, in a sentence.
    pub unseen: Option<&'static str>,
}

/// Those of a file, with keys if `keys` are wanted; nothing where it cannot be read.
pub fn find_in_file(path: &Path, keys: bool) -> LibraryFunctions {
    let Ok(image) = Image::open(path) else { return LibraryFunctions::default() };
    let mut probes = sqlite_functions::find(&image);
    let unseen = (probes.is_empty() && sqlite_functions::is_unseen(&image)).then_some(SQLITE_UNSEEN);
    if keys {
        probes.extend(key_functions::find(&image));
    }
    LibraryFunctions { probes, unseen }
}

const SQLITE_UNSEEN: &str = "The calls of SQLite are not seen, as the program that it is a part of is stripped: build it with \
                             strip = false, or \"debuginfo\".";

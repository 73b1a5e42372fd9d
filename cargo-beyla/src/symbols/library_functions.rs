//! Which functions of libraries are probed in a file: those that set up keys for TLS, and those of SQLite.

use std::path::Path;

use super::image::Image;
use super::{key_functions, sqlite_functions};
use crate::probe::library_probe::LibraryProbe;

/// Those of a file, with keys if `keys` are wanted; nothing where it cannot be read.
pub fn find_in_file(path: &Path, keys: bool) -> Vec<LibraryProbe> {
    let Ok(image) = Image::open(path) else { return Vec::new() };
    let mut found = sqlite_functions::find(&image);
    if keys {
        found.extend(key_functions::find(&image));
    }
    found
}

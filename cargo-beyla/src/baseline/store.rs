//! Baselines on disk: `NAME.json` in a folder, read with distrust and written all or nothing.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::name::Name;
use crate::error::Error;
use cargo_beyla_core::analysis::baseline::samples::Samples;

/// What the file says that it is.
const FORMAT: &str = "cargo-beyla baseline";

/// The version of its format.
const VERSION: u32 = 1;

/// The largest file that is read, in bytes; twice what is ever written.
const SIZE_MAX: u64 = 64 * 1024 * 1024;

/// The names that a message lists.
const NAMES_SHOWN: usize = 10;

/// A folder of baselines.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// A baseline that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// What it is called.
    pub name: Name,
    /// When it was saved, in nanoseconds since the Unix epoch.
    pub saved_unix_ns: u64,
    /// What was measured.
    pub samples: Samples,
}

/// The first of it, which every version has.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Document<S> {
    format: String,
    version: u32,
    saved_unix_ns: u64,
    #[serde(flatten)]
    samples: S,
}

impl Store {
    /// The folder of the workspace with this target directory.
    pub fn within(target_directory: &Path) -> Self {
        Self { folder: target_directory.join("beyla") }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a baseline is kept.
    pub fn path(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// Reads a baseline.
    pub fn load(&self, name: &Name) -> Result<Saved, Error> {
        let path = self.path(name);
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(self.missing(name)),
            opened => opened.map_err(|source| Error::File { verb: "read", path: path.clone(), source })?,
        };
        let mut bytes = Vec::new();
        // One byte more tells that there is more.
        file.take(SIZE_MAX + 1).read_to_end(&mut bytes).map_err(|source| Error::File {
            verb: "read",
            path: path.clone(),
            source,
        })?;
        let invalid = |reason: String| Error::Baseline {
            message: format!("{} cannot be compared with: {reason}", path.display()),
            hint: format!("make it anew with --save-baseline {name}"),
        };
        if bytes.len() as u64 > SIZE_MAX {
            return Err(invalid(format!("it is larger than {} MiB", SIZE_MAX / 1024 / 1024)));
        }
        let head: Head = serde_json::from_slice(&bytes).map_err(|_| invalid("it is not a baseline".to_owned()))?;
        if head.format != FORMAT {
            return Err(invalid("it is not a baseline".to_owned()));
        }
        if head.version != VERSION {
            let version = head.version;
            return Err(invalid(format!("it is of version {version} of the format, and this is version {VERSION}")));
        }
        let document: Document<Samples> =
            serde_json::from_slice(&bytes).map_err(|error| invalid(format!("it is damaged ({error})")))?;
        Ok(Saved { name: name.clone(), saved_unix_ns: document.saved_unix_ns, samples: document.samples })
    }

    /// Checks that a baseline of this name can be written, and leaves everything as it was.
    pub fn check(&self, name: &Name) -> Result<(), Error> {
        let made = self.prepare()?;
        let path = self.path(name);
        let temporary = self.temporary(name);
        let created = File::options().write(true).create_new(true).open(&temporary);
        let checked = created.and_then(|_| fs::remove_file(&temporary)).and_then(|()| {
            // No file takes the place of a folder.
            if path.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
        });
        // The innermost first. What somebody else has put something into meanwhile stays.
        made.iter().rev().take_while(|folder| fs::remove_dir(folder).is_ok()).for_each(drop);
        checked.map_err(|source| failed(&path, source))
    }

    /// Makes the folder. Those that were not there are returned, the outermost first.
    pub fn prepare(&self) -> Result<Vec<PathBuf>, Error> {
        let missing: Vec<PathBuf> =
            self.folder.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
        fs::create_dir_all(&self.folder).map_err(|source| failed(&self.folder, source))?;
        Ok(missing.into_iter().rev().collect())
    }

    /// Writes a baseline over the one of that name, if there is one.
    pub fn save(&self, name: &Name, samples: &Samples, saved_unix_ns: u64) -> Result<PathBuf, Error> {
        let path = self.path(name);
        // A reader meets the old file or the new one; `create_new` follows no link.
        let temporary = self.temporary(name);
        let written = write(&temporary, samples, saved_unix_ns).and_then(|()| fs::rename(&temporary, &path));
        if let Err(source) = written {
            let _ = fs::remove_file(&temporary);
            return Err(failed(&path, source));
        }
        Ok(path)
    }

    /// What is written before it takes the place of the old one.
    fn temporary(&self, name: &Name) -> PathBuf {
        self.folder.join(format!(".{name}.{}.tmp", std::process::id()))
    }

    fn missing(&self, name: &Name) -> Error {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let file_names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> =
            file_names.filter_map(|file| Some(file.strip_suffix(".json")?.escape_debug().to_string())).collect();
        names.sort_unstable();
        names.truncate(NAMES_SHOWN);
        let others = if names.is_empty() { String::new() } else { format!("; there are: {}", names.join(", ")) };
        Error::Baseline {
            message: format!("there is no baseline '{name}' in {}", self.folder.display()),
            hint: format!("make it with --save-baseline {name}{others}"),
        }
    }
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::File { verb: "write", path: path.to_owned(), source }
}

fn write(path: &Path, samples: &Samples, saved_unix_ns: u64) -> std::io::Result<()> {
    let file = File::options().write(true).create_new(true).open(path)?;
    let mut writer = BufWriter::new(file);
    let document = Document { format: FORMAT.to_owned(), version: VERSION, saved_unix_ns, samples };
    serde_json::to_writer(&mut writer, &document)?;
    writer.write_all(b"\n")?;
    writer.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cargo_beyla_core::analysis::baseline::samples::{RouteRound, RouteSamples, TestRound, TestSamples};

    fn samples() -> Samples {
        let rounds = vec![RouteRound { round: 0, count: 3, total_ns: vec![1, 2, u64::MAX] }];
        Samples {
            routes: vec![RouteSamples { method: "GET".into(), route: "/hello".into(), rounds }],
            tests: vec![TestSamples {
                binary: "api".into(),
                name: "it_works".into(),
                rounds: vec![TestRound { round: 1, requests: 2, sum_ns: 3, duration_ns: 4 }],
            }],
        }
    }

    fn name(text: &str) -> Name {
        Name::new("--baseline", text).unwrap()
    }

    #[test]
    fn what_is_saved_is_read_and_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::within(&directory.path().join("target"));
        assert_eq!(store.prepare().unwrap().len(), 2);
        for saved_unix_ns in [5, 6] {
            let path = store.save(&name("main"), &samples(), saved_unix_ns).unwrap();
            assert!(path.ends_with("target/beyla/main.json"));
            let saved = store.load(&name("main")).unwrap();
            assert_eq!((saved.saved_unix_ns, saved.samples), (saved_unix_ns, samples()));
        }
        assert_eq!(fs::read_dir(store.folder()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_known_before_and_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        let store = Store::within(&target);
        store.check(&name("main")).unwrap();
        assert!(!target.exists(), "the folders are gone again");
        fs::create_dir_all(store.path(&name("folder"))).unwrap();
        store.check(&name("main")).unwrap();
        assert_eq!(fs::read_dir(store.folder()).unwrap().count(), 1, "the file is gone again");
        let said = |store: &Store, text: &str| store.check(&name(text)).unwrap_err().to_string();
        assert!(said(&store, "folder").contains("folder.json"), "{}", said(&store, "folder"));
        fs::write(directory.path().join("file"), "").unwrap();
        let within_a_file = Store::within(&directory.path().join("file"));
        assert!(said(&within_a_file, "main").starts_with("could not write "));
        assert_eq!(fs::read_to_string(directory.path().join("file")).unwrap(), "");
    }

    #[test]
    fn what_is_none_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::within(directory.path());
        store.prepare().unwrap();
        store.save(&name("good"), &samples(), 5).unwrap();
        let mut said = String::new();
        let mut say = |bytes: Option<&[u8]>| {
            if let Some(bytes) = bytes {
                fs::write(store.path(&name("main")), bytes).unwrap();
            }
            let error = store.load(&name("main")).unwrap_err();
            assert_eq!(error.exit_code(), crate::error::USAGE);
            let text = format!("{error}\n  hint: {}\n", error.hint().unwrap_or_default());
            said.push_str(&text.replace(&directory.path().display().to_string(), ""));
        };
        say(None);
        say(Some(b"\xff\xfe"));
        say(Some(b"{}"));
        say(Some(br#"{"format":"other","version":1}"#));
        say(Some(br#"{"format":"cargo-beyla baseline","version":2,"new":[]}"#));
        say(Some(br#"{"format":"cargo-beyla baseline","version":1,"saved_unix_ns":1,"routes":[{"method":3}]}"#));
        let file = File::create(store.path(&name("main"))).unwrap();
        file.set_len(SIZE_MAX + 1).unwrap();
        say(None);
        insta::assert_snapshot!(said);
    }
}

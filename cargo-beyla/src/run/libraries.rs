//! The libraries by which traced processes speak TLS or use SQLite: found in what they have mapped, at the beginning or
//! later.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use procfs::process::{MMPermissions, MMapPath, Process as ProcessFiles};

use crate::probe::library_probe::{LibraryProbe, LibraryProbes};
use crate::symbols::library_functions;
use cargo_beyla_core::event::Event;

/// How often a process is looked at: a library may be loaded at any time.
const INTERVAL: Duration = Duration::from_secs(1);
/// For this time after it has executed its program it is looked at whenever there are records: its libraries are being
/// mapped.
const BEGINNING: Duration = Duration::from_millis(200);
/// The most processes that are looked at.
const PROCESSES_MAX: usize = 256;

/// Folders of the system's libraries. Of these, only those with [`NAMES`] are looked into: looking through libc would
/// take longer than a short test runs.
const SYSTEM_FOLDERS: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];
/// What the names of OpenSSL's libraries begin with, of those that take their place, and of SQLite's.
const NAMES: [&str; 3] = ["libssl", "libcrypto", "libsqlite3"];

/// A file as a process has mapped it: its path and the number of its inode.
type MappedFile = (PathBuf, u64);

/// What is mapped, and what of it is probed.
pub(crate) struct Libraries {
    /// Whether keys for TLS are wanted.
    keys: bool,
    /// The folders whose programs are looked at, beside the process that is named.
    folders: Vec<PathBuf>,
    /// What was looked into before: executables for all processes, libraries for the one that will map them.
    known: HashSet<(Option<NonZeroU32>, PathBuf)>,
    /// The probes of each file.
    files: HashMap<MappedFile, Vec<LibraryProbe>>,
    processes: HashMap<u32, Process>,
}

struct Process {
    began: Instant,
    looked: Option<Instant>,
    /// The files of it that were found.
    files: HashSet<MappedFile>,
}

impl Libraries {
    /// Looks at `processes` from now on, and at programs in `folders`. What is found in `looked_into` is probed already.
    pub(crate) fn new(
        keys: bool,
        looked_into: &[(Option<NonZeroU32>, PathBuf)],
        processes: impl IntoIterator<Item = u32>,
        folders: Vec<PathBuf>,
    ) -> Self {
        let known = looked_into.iter().filter_map(|(process, path)| Some((*process, path.canonicalize().ok()?)));
        let known = known.collect();
        let mut libraries = Self { keys, folders, known, files: HashMap::new(), processes: HashMap::new() };
        processes.into_iter().for_each(|number| libraries.begin(number));
        libraries
    }

    fn begin(&mut self, number: u32) {
        if number != 0 && self.processes.len() < PROCESSES_MAX {
            let process = Process { began: Instant::now(), looked: None, files: HashSet::new() };
            self.processes.insert(number, process);
        }
    }

    /// Takes an event: processes begin.
    pub(crate) fn note(&mut self, event: &Event<'_>) {
        if let Event::Executed(executed) = event
            && self.folders.iter().any(|folder| Path::new(executed.path).starts_with(folder))
        {
            self.begin(executed.pid);
        }
    }

    /// What is to be probed, of what processes have mapped since this was asked last.
    pub(crate) fn look(&mut self) -> Vec<LibraryProbes> {
        let now = Instant::now();
        let mut found = Vec::new();
        self.processes.retain(|number, process| {
            let is_due =
                process.looked.is_none_or(|looked| now - looked >= INTERVAL) || now - process.began < BEGINNING;
            if !is_due {
                return true;
            }
            process.looked = Some(now);
            let Some(mapped) = mapped(*number) else { return false };
            let process_number = NonZeroU32::new(*number);
            for file in mapped {
                if !process.files.insert(file.clone()) {
                    continue;
                }
                if [None, process_number].iter().any(|of| self.known.contains(&(*of, file.0.clone()))) {
                    continue;
                }
                let path = as_seen_by(*number, &file.0);
                let probes =
                    self.files.entry(file).or_insert_with(|| library_functions::find_in_file(&path, self.keys).probes);
                if !probes.is_empty() {
                    found.push(LibraryProbes { path, process: process_number, probes: probes.clone() });
                }
            }
            true
        });
        found
    }
}

/// The files whose code a process has mapped, of those that may be probed; `None` once it has ended.
fn mapped(process: u32) -> Option<Vec<MappedFile>> {
    let maps = ProcessFiles::new(process.cast_signed()).and_then(|process| process.maps()).ok()?;
    let code = maps.into_iter().filter(|map| map.perms.contains(MMPermissions::EXECUTE));
    let files = code.filter_map(|map| match map.pathname {
        MMapPath::Path(path) if may_be_probed(&path) => Some((path, map.inode)),
        _ => None,
    });
    Some(files.collect())
}

fn may_be_probed(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().as_encoded_bytes();
    !SYSTEM_FOLDERS.iter().any(|folder| file.starts_with(folder))
        || NAMES.iter().any(|begin| name.starts_with(begin.as_bytes()))
}

/// A path that leads to a process's file, whatever its root is.
fn as_seen_by(process: u32, path: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{process}/root"));
    if root.read_link().is_ok_and(|root| root == Path::new("/")) {
        return path.to_owned();
    }
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cargo_beyla_core::event::Executed;

    #[test]
    fn only_programs_of_these_folders_are_looked_at() {
        let mut libraries = Libraries::new(true, &[], [], vec!["/work/target".into()]);
        let executed = |path, pid| Event::Executed(Executed { time_ns: 1, process: 1, pid, path });
        libraries.note(&executed("/usr/bin/curl", 7));
        assert!(libraries.processes.is_empty());
        libraries.note(&executed("/work/target/debug/server", 8));
        assert!(libraries.processes.contains_key(&8));
    }

    #[test]
    fn of_the_systems_libraries_only_those_that_may_be_probed_are_looked_into() {
        let may = |path: &str| may_be_probed(Path::new(path));
        assert!(may("/usr/lib/x86_64-linux-gnu/libssl.so.3") && may("/lib64/libcrypto.so.1.1"));
        assert!(may("/usr/lib/x86_64-linux-gnu/libsqlite3.so.0.8.6"));
        assert!(!may("/usr/lib/x86_64-linux-gnu/libc.so.6") && !may("/lib64/ld-linux-x86-64.so.2"));
        assert!(may("/work/target/debug/libapp.so") && may("/usr/library/libapp.so"));
    }

    #[test]
    fn what_is_mapped_is_looked_at_once() {
        let own = std::process::id();
        let mapped = mapped(own).expect("we run");
        let executable = std::env::current_exe().expect("our own path").canonicalize().expect("it is there");
        assert!(mapped.iter().any(|(path, _)| *path == executable), "{mapped:?}");
        assert_eq!(super::mapped(u32::MAX >> 1), None);

        let mut libraries = Libraries::new(true, &[], [own], Vec::new());
        // We speak TLS by ring.
        let found = libraries.look();
        let [LibraryProbes { path, process, probes }] = &found[..] else { panic!("{found:?}") };
        assert_eq!((path, *process), (&executable, NonZeroU32::new(own)));
        assert!(!probes.is_empty());
        assert_eq!(libraries.look(), []);

        for process in [None, NonZeroU32::new(own)] {
            let looked_into = [(process, executable.clone())];
            assert_eq!(Libraries::new(true, &looked_into, [own], Vec::new()).look(), []);
        }
    }
}

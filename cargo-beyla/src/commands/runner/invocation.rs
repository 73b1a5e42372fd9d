//! What cargo or cargo-nextest wants to be run.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::launch::test_runner::plan::PlannedBinary;
use crate::workspace::program::Program;
use crate::workspace::test_workspace::arguments::HarnessArguments;

/// The length of the hash that cargo adds to the names of test binaries.
const HASH: usize = 16;

/// The most bytes of a test's name in the name of a file, which can have 255.
const NAME_MAX: usize = 160;

/// What cargo-nextest calls the binary.
const NEXTEST_ID: &str = "NEXTEST_BINARY_ID";

/// A binary and its arguments.
#[derive(Debug)]
pub(super) struct Invocation {
    program: PathBuf,
    arguments: Vec<OsString>,
    /// Its name in reports.
    binary: String,
}

impl Invocation {
    pub(super) fn of(command: &[OsString]) -> Result<Self, Error> {
        let [program, arguments @ ..] = command else {
            let source = std::io::ErrorKind::InvalidInput.into();
            return Err(Error::Launch { executable: PathBuf::new(), source });
        };
        let program = PathBuf::from(program);
        let binary = match std::env::var(NEXTEST_ID) {
            Ok(id) if !id.is_empty() => id,
            _ => without_hash(&program.file_name().unwrap_or_default().to_string_lossy()).to_owned(),
        };
        Ok(Self { program, arguments: arguments.to_vec(), binary })
    }

    /// Its name in reports.
    pub(super) fn binary(&self) -> &str {
        &self.binary
    }

    /// Whether it is asked which tests it has.
    pub(super) fn lists_tests(&self) -> bool {
        self.arguments.iter().any(|argument| argument == "--list")
    }

    /// The test that it runs, if that is one alone, as under cargo-nextest.
    pub(super) fn test(&self) -> Option<String> {
        let parsed = HarnessArguments::parse(None, &self.arguments).ok()?;
        parsed.only_test().map(str::to_owned)
    }

    /// The path by which the binary is executed: it may look at its own name.
    pub(super) fn path(&self) -> Result<PathBuf, Error> {
        if self.program.as_os_str().as_encoded_bytes().contains(&b'/') {
            return Ok(self.program.clone());
        }
        which::which(&self.program).map_err(|error| self.failed(std::io::Error::other(error)))
    }

    /// The binary as the probes want it, with the programs that it may start.
    pub(super) fn planned(&self) -> Result<PlannedBinary, Error> {
        let named = std::env::vars_os().filter(|(name, _)| names_program(name)).map(|(_, value)| value.into());
        Ok(PlannedBinary {
            id: self.binary.as_str().into(),
            executable: self.path()?.canonicalize().map_err(|source| self.failed(source))?,
            program: self.program()?,
            spawns: named.collect(),
            tests: Vec::new(),
            unlisted: None,
        })
    }

    /// How the binary is started: as this process was.
    pub(super) fn program(&self) -> Result<Program, Error> {
        let path = self.path()?;
        let arguments = std::iter::once(path.clone().into()).chain(self.arguments.iter().cloned()).collect();
        let folder = std::env::current_dir().map_err(|source| self.failed(source))?;
        Ok(Program { path, arguments, environment: std::env::vars_os().collect(), folder, runner: None })
    }

    /// The folders whose programs are followed: the one in which cargo builds, and those of the programs that it names.
    pub(super) fn within(executable: &Path, programs: &[PathBuf]) -> Vec<PathBuf> {
        let named = programs.iter().filter_map(|path| Some(path.canonicalize().ok()?.parent()?.to_owned()));
        let mut folders: Vec<PathBuf> = named.chain([build_folder(executable)]).collect();
        folders.sort_unstable();
        folders.dedup();
        folders
    }

    /// Turns this process into the binary; returns only if that fails.
    pub(super) fn execute(&self) -> Error {
        self.failed(Command::new(&self.program).args(&self.arguments).exec())
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Launch { executable: self.program.clone(), source }
    }

    /// The name of a report about its process `pid`.
    pub(super) fn file_name(&self, pid: u32) -> String {
        let name = [Some(self.binary.clone()), self.test()].into_iter().flatten().collect::<Vec<_>>().join("-");
        let mut name = name.replace("::", "-").replace(|character: char| !is_plain(character), "_");
        name.truncate(name.floor_char_boundary(NAME_MAX));
        format!("{name}-{pid}.json")
    }
}

/// Whether a variable gives integration tests the path of a binary of their package. Cargo and cargo-nextest have names of
/// their own for it.
fn names_program(name: &OsStr) -> bool {
    ["CARGO_BIN_EXE_", "NEXTEST_BIN_EXE_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix))
}

fn is_plain(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '_' | '.')
}

/// The folder above a binary that cargo builds in, by what it leaves there; else the binary's own.
fn build_folder(executable: &Path) -> PathBuf {
    let is_cargos =
        |folder: &&Path| [".rustc_info.json", "CACHEDIR.TAG"].iter().any(|file| folder.join(file).is_file());
    let own = executable.parent().unwrap_or(executable);
    executable.ancestors().skip(1).find(is_cargos).unwrap_or(own).to_owned()
}

/// The name of a test binary as people know it.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((stem, hash)) if hash.len() == HASH && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(arguments: &[&str]) -> Invocation {
        let command: Vec<OsString> =
            ["/t/debug/deps/api-0123456789abcdef"].iter().chain(arguments).map(OsString::from).collect();
        Invocation { binary: "shop::api".into(), ..Invocation::of(&command).expect("a binary") }
    }

    #[test]
    fn a_single_test_is_known_by_its_name() {
        for (arguments, test) in [
            (&["--exact", "tests::adds", "--nocapture"][..], Some("tests::adds")),
            (&["tests::adds", "--exact", "--ignored"], Some("tests::adds")),
            (&["tests::adds"], None),
            (&["--exact", "a", "b"], None),
            (&["--exact", "a", "--skip", "b"], None),
            (&["--exact", "a", "--own-flag"], None),
            (&["--exact"], None),
            (&[], None),
        ] {
            assert_eq!(invocation(arguments).test().as_deref(), test, "{arguments:?}");
        }
    }

    #[test]
    fn lists_are_asked_for_by_flag() {
        assert!(invocation(&["--list", "--format", "terse", "--ignored"]).lists_tests());
        assert!(!invocation(&["list"]).lists_tests());
    }

    #[test]
    fn hashes_are_left_out_of_names() {
        for (name, known) in [
            ("api-0123456789abcdef", "api"),
            ("my-api-0123456789abcdef", "my-api"),
            ("my-api", "my-api"),
            ("api-0123456789abcdeg", "api-0123456789abcdeg"),
            ("server", "server"),
        ] {
            assert_eq!(without_hash(name), known);
        }
    }

    #[test]
    fn names_of_files_are_plain_and_short() {
        assert_eq!(invocation(&["--exact", "a::b c/d"]).file_name(7), "shop-api-a-b_c_d-7.json");
        assert_eq!(invocation(&[]).file_name(7), "shop-api-7.json");
        assert!(invocation(&["--exact", &"ä".repeat(500)]).file_name(7).len() <= NAME_MAX + 7);
    }

    #[test]
    fn the_folder_is_that_which_cargo_has_marked() {
        let folder = tempfile::tempdir().expect("a folder");
        let deps = folder.path().join("debug/deps");
        std::fs::create_dir_all(&deps).expect("folders");
        assert_eq!(build_folder(&deps.join("api")), deps);
        std::fs::write(folder.path().join("CACHEDIR.TAG"), "").expect("a file");
        assert_eq!(build_folder(&deps.join("api")), folder.path());
    }
}

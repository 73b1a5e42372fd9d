//! Small workspaces for the tests of this module.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::program::Program;
use super::start;
use crate::cli::runner::START;

/// To say how it starts programs, cargo starts the tool in their place. In unit tests the tool is the executable of the
/// tests: then it must answer, and run no test.
#[used]
#[unsafe(link_section = ".init_array")]
static ANSWER: extern "C" fn() = answer;

extern "C" fn answer() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|argument| argument == START) {
        let told = start::answer(arguments.next().unwrap_or_default(), arguments.collect());
        std::process::exit(told.is_err().into());
    }
}

/// A workspace in a folder of its own: paths and contents of its files.
pub(super) fn workspace(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

/// A manifest with no more than it must have, and then `rest`.
pub(super) fn package(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"1.2.3\"\nedition = \"2021\"\n{rest}\n")
}

/// An executable as cargo would start it in the folder that it lies in, with our environment and these variables.
pub(crate) fn program(executable: &Path, variables: &[(&str, &str)]) -> Program {
    let added = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Program {
        path: executable.to_owned(),
        arguments: vec![executable.into()],
        environment: std::env::vars_os().chain(added).collect(),
        folder: executable.parent().unwrap_or(Path::new("/")).to_owned(),
        runner: None,
    }
}

/// An executable that is a shell script.
pub(crate) fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    // Written by us, it could not be executed as long as a process that another test has just forked still holds it
    // open.
    let mut writer = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod +x \"$0\""])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    let written = writer.stdin.take().map(|mut stdin| writeln!(stdin, "#!/bin/sh\n{text}"));
    assert!(writer.wait().expect("it is ours").success() && matches!(written, Some(Ok(()))), "{name}");
    path
}

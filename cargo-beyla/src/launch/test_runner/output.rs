//! What a test has printed: in a file that has no name, so that nobody has to read along.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

/// How much is kept of the beginning.
const HEAD_MAX: u64 = 256 * 1024;

/// How much is kept of the end, where failures are printed.
const TAIL_MAX: u64 = 768 * 1024;

/// The output of a test: stdout and stderr, in the order in which they were written.
#[derive(Debug)]
pub struct TestOutput(Storage);

/// Where it is.
#[derive(Debug)]
enum Storage {
    InFile(File),
    Here(Vec<u8>),
    Elsewhere,
}

/// As much of it as is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// Its beginning: as a rule, all of it.
    pub head: Vec<u8>,
    /// How many bytes are left out after that.
    pub omitted: u64,
    /// Its end.
    pub tail: Vec<u8>,
}

impl TestOutput {
    /// A place for it.
    pub(super) fn create() -> io::Result<Self> {
        Ok(Self(Storage::InFile(tempfile::tempfile()?)))
    }

    /// It went elsewhere.
    pub(super) fn none() -> Self {
        Self(Storage::Elsewhere)
    }

    /// That of a binary without a list of its tests.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self(Storage::Here(bytes))
    }

    /// What the test writes to, as its stdout and its stderr: both share one position in the file, as they would on a
    /// terminal.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Storage::InFile(file) => Some(file.as_fd()),
            Storage::Here(_) | Storage::Elsewhere => None,
        }
    }

    /// What was printed, or its beginning and end.
    pub fn read(&self) -> io::Result<Excerpt> {
        let file = match &self.0 {
            Storage::InFile(file) => file,
            Storage::Here(bytes) => return Ok(Excerpt { head: bytes.clone(), ..Excerpt::default() }),
            Storage::Elsewhere => return Ok(Excerpt::default()),
        };
        let length = file.metadata()?.len();
        if length <= HEAD_MAX + TAIL_MAX {
            return Ok(Excerpt { head: read_at(file, 0, length)?, ..Excerpt::default() });
        }
        Ok(Excerpt {
            head: read_at(file, 0, HEAD_MAX)?,
            omitted: length - HEAD_MAX - TAIL_MAX,
            tail: read_at(file, length - TAIL_MAX, TAIL_MAX)?,
        })
    }
}

/// Reads from a place in a file, whatever its position: that is where the test writes next.
fn read_at(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
            // It was cut.
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn both_ends_write_one_after_the_other() {
        let output = TestOutput::create().unwrap();
        let end = || output.fd().unwrap().try_clone_to_owned().unwrap();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "echo a; echo b >&2; echo c"]).stdout(end()).stderr(end());
        assert!(shell.status().unwrap().success());
        assert_eq!(output.read().unwrap(), Excerpt { head: b"a\nb\nc\n".to_vec(), ..Excerpt::default() });
    }

    #[test]
    fn of_very_much_beginning_and_end_are_kept() {
        let output = TestOutput::create().unwrap();
        let Storage::InFile(file) = &output.0 else { unreachable!("it was created") };
        let mut file: &File = file;
        file.write_all(b"first ").unwrap();
        file.write_all(&vec![b'x'; (HEAD_MAX + TAIL_MAX) as usize]).unwrap();
        file.write_all(b" last").unwrap();
        let Excerpt { head, omitted, tail } = output.read().unwrap();
        assert!(head.starts_with(b"first x") && tail.ends_with(b"x last"));
        assert_eq!((head.len() as u64, omitted, tail.len() as u64), (HEAD_MAX, 11, TAIL_MAX));
        assert!(TestOutput::none().fd().is_none());
        assert_eq!(TestOutput::none().read().unwrap(), Excerpt::default());
    }
}

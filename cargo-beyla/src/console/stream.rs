//! Standard output and standard error, unbuffered, for which no reader is too slow.
//!
//! We share both with the server and with whoever reads them. Any of them may set `O_NONBLOCK`, which belongs to the
//! open file and so to all: tokio's and mio's pipes, ssh, node and others do. A write then takes what there is room
//! for, or fails with `EAGAIN`, and the standard library reports that as an error after part of the text. So all
//! that we write goes through [`Stream`], which waits for room and goes on.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A standard stream. Each write is a system call of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What was asked for, and nothing else.
    Stdout,
    /// All that we say beside it.
    Stderr,
}

impl Stream {
    /// Whether it is a terminal.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        }
    }

    /// Writes a text that nobody will miss if the reader is gone.
    pub fn say(mut self, text: impl AsRef<[u8]>) {
        let _ = self.write_all(text.as_ref());
    }

    /// Its descriptor, for what is to write there itself.
    pub fn fd(self) -> BorrowedFd<'static> {
        let number = match self {
            Self::Stdout => libc::STDOUT_FILENO,
            Self::Stderr => libc::STDERR_FILENO,
        };
        // SAFETY: nobody closes the standard streams of this process, and the runtime opens those that were closed.
        unsafe { BorrowedFd::borrow_raw(number) }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(self.fd(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes as much as there is room for, and waits until there is some.
fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match nix::unistd::write(fd, bytes) {
            Err(Errno::EAGAIN) => wait_for_room(fd)?,
            Err(Errno::EINTR) => {}
            written => return Ok(written?),
        }
    }
}

/// Waits until the next write takes something, or says that the reader is gone.
fn wait_for_room(fd: BorrowedFd<'_>) -> io::Result<()> {
    match poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::time::Duration;

    use nix::fcntl::OFlag;
    use nix::unistd::pipe2;

    use super::*;

    #[test]
    fn a_slow_reader_of_a_pipe_that_does_not_block_gets_all() {
        let (read, written) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).expect("a pipe");
        // Several times what a pipe holds.
        let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
        let expected = sent.clone();
        let writer = std::thread::spawn(move || {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                rest = &rest[write(written.as_fd(), rest).expect("room comes")..];
            }
        });
        let (mut reader, mut received, mut piece) = (File::from(read), Vec::new(), vec![0; 10_000]);
        loop {
            match reader.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => received.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{error}"),
            }
        }
        writer.join().expect("it has written");
        assert_eq!(received, expected);
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error_and_no_wait() {
        let (read, written) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).expect("a pipe");
        while nix::unistd::write(&written, &[0; 4096]).is_ok() {}
        drop(read);
        let error = write(written.as_fd(), b"more").expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}

//! Writes to a pipe whose reader may be slow, or never come.
//!
//! We must not wait for it inside a system call that no signal ends, since this process has its signals blocked while it
//! traces.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::launch::signals::{self, Signals};

/// What a pipe takes at once if it has any room (`PIPE_BUF` in pipe(7)). A write of that much does not wait once poll(2)
/// says that there is room.
const PIECE: usize = libc::PIPE_BUF;

/// Writes, and waits for room: `most` at a time if there is a limit, and else as long as no signal asks us to end.
#[derive(Debug)]
pub(crate) struct PatientWriter {
    file: File,
    most: Option<Duration>,
}

impl Write for PatientWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE)];
        loop {
            self.wait_for_room()?;
            match self.file.write(piece) {
                // Somebody else who writes there has taken the room.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PatientWriter {
    /// Waits for room for `most` at a time.
    pub(crate) fn new(file: File, most: Option<Duration>) -> Self {
        Self { file, most }
    }

    /// Waits until the next write takes something, or says that the reader is gone.
    fn wait_for_room(&mut self) -> io::Result<()> {
        let room = || PollFd::new(self.file.as_fd(), PollFlags::POLLOUT);
        let most = match self.most {
            Some(most) => PollTimeout::try_from(most).unwrap_or(PollTimeout::MAX),
            None if signals::are_blocked() => PollTimeout::ZERO,
            None => PollTimeout::NONE,
        };
        if is_ready(&mut [room()], most)? {
            return Ok(());
        }
        if let Some(most) = self.most {
            // Whoever tries again need not wait again.
            self.most = Some(Duration::ZERO);
            return Err(io::Error::other(format!("nobody has read from it for {} s", most.as_secs())));
        }
        let signals = Signals::open()?;
        loop {
            let mut waited_for = [room(), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            is_ready(&mut waited_for, PollTimeout::NONE)?;
            if waited_for[0].any() == Some(true) {
                return Ok(());
            }
            if signals.ask_for_end() {
                self.most = Some(Duration::ZERO);
                return Err(io::Error::other("nobody reads it, and a signal asked to end"));
            }
        }
    }
}

fn is_ready(waited_for: &mut [PollFd<'_>], timeout: PollTimeout) -> io::Result<bool> {
    match poll(waited_for, timeout) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => is_ready(waited_for, timeout),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_wait_for_ever() {
        let (reader, writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let mut writer = PatientWriter::new(file, Some(Duration::from_millis(50)));
        // More than a pipe holds.
        let error = writer.write_all(&vec![0; 300_000]).unwrap_err();
        assert!(error.to_string().starts_with("nobody has read from it"), "{error}");
        // And a reader that is gone is an error at once.
        drop(reader);
        assert_eq!(writer.write(&[0]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

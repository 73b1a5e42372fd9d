//! What passes between the helper and its parent: the ring buffer's file descriptor once, and then
//! records of the helper's own. The helper's stdout is its end of a pair of Unix sockets.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use cargo_beyla_core::event::Event;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// The most bytes of a first message: a verifier has much to say.
const FIRST_MAX: usize = 4096;

/// What the header of a record takes of a first message.
const HEADER: usize = size_of::<cargo_beyla_events::Header>();

/// The record that says why the helper failed.
pub fn failed(message: &str) -> Vec<u8> {
    Event::Failed(cut(message)).to_record()
}

/// As much of a text as a first message has room for.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(FIRST_MAX - HEADER)]
}

/// Says that all is attached: how bytes are captured, and the ring buffer, of `size` bytes.
///
/// `unseen` are sentences on what `--explain` cannot see.
///
/// # Errors
/// If the parent no longer reads.
pub fn send_ready(channel: RawFd, capture: &str, ring: RawFd, size: u32, unseen: &[String]) -> io::Result<()> {
    let lines: Vec<String> = std::iter::once(format!("{capture} {size}")).chain(unseen.iter().cloned()).collect();
    let record = Event::Ready(cut(&lines.join("\n"))).to_record();
    let fds = [ring];
    sendmsg::<()>(channel, &[IoSlice::new(&record)], &[ControlMessage::ScmRights(&fds)], MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// The first message of the helper and the file descriptor that came with it.
///
/// # Errors
/// If it could not be read; at the end of the stream, the message is empty.
pub fn receive_first(channel: &impl AsRawFd) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut buffer = vec![0; FIRST_MAX];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let received = recvmsg::<()>(channel.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let length = received.bytes;
    let mut ring = None;
    for control in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            // SAFETY: the kernel has just made these for us alone. (More than one is not in the space
            // that was given.)
            ring = fds.first().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) });
        }
    }
    buffer.truncate(length);
    Ok((buffer, ring))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_to_what_is_read_at_once() {
        let record = failed(&"ä".repeat(FIRST_MAX));
        assert!(record.len() <= FIRST_MAX);
        let decoded = Event::decode(&record);
        assert!(
            matches!(decoded, Ok(Some((Event::Failed(text), size))) if size == record.len() && text.ends_with('ä'))
        );
    }
}

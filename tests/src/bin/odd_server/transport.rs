//! Every way in which Linux lets a process move bytes over a stream socket.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;

/// A pair of system calls, one a direction.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Way {
    /// `read`, `write`
    #[default]
    Plain,
    /// `readv`, `writev`
    Vectors,
    /// `recvfrom`, `sendto`
    ToFrom,
    /// `recvmsg`, `sendmsg`
    Message,
    /// `recvmmsg`, `sendmmsg`
    Messages,
    /// `read`; `write`, and `sendfile` for bodies
    Sendfile,
    /// `read` and `write`, and `splice` through a pipe for bodies
    Splice,
}

impl Way {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "read-write" => Self::Plain,
            "readv-writev" => Self::Vectors,
            "recvfrom-sendto" => Self::ToFrom,
            "recvmsg-sendmsg" => Self::Message,
            "recvmmsg-sendmmsg" => Self::Messages,
            "sendfile" => Self::Sendfile,
            "splice" => Self::Splice,
            other => panic!("unknown way {other}"),
        }
    }
}

/// Where the two parts of a vector meet: early, so that most transfers use both.
const SPLIT: usize = 7;
/// What a pipe holds, and a good size for one transfer.
const BLOCK: usize = 65536;

/// One receive call; 0 is the end.
pub(crate) fn receive(way: Way, fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (buffer.as_mut_ptr().cast::<libc::c_void>(), buffer.len());
    match way {
        Way::Messages => return receive_messages(fd, buffer),
        Way::Plain | Way::Sendfile | Way::Vectors | Way::ToFrom | Way::Message | Way::Splice => {}
    }
    let (first, second) = buffer.split_at_mut(SPLIT.min(length));
    let mut vectors = [vector(first), vector(second)];
    // SAFETY: in each call the pointers and lengths are those of `buffer`, which outlives it.
    result(unsafe {
        match way {
            Way::Vectors => libc::readv(fd, vectors.as_ptr(), 2),
            Way::ToFrom => libc::recvfrom(fd, start, length, 0, null_mut(), null_mut()),
            Way::Message => libc::recvmsg(fd, &mut message(&mut vectors), 0),
            // By single bytes, so that what follows stays in the socket for `splice`.
            Way::Splice => libc::read(fd, start, 1),
            Way::Plain | Way::Sendfile | Way::Messages => libc::read(fd, start, length),
        }
    })
}

/// Two messages in one call, the second only if there is something for it.
fn receive_messages(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let half = SPLIT.min(buffer.len());
    let (first, second) = buffer.split_at_mut(half);
    let (mut first, mut second) = ([vector(first)], [vector(second)]);
    let mut messages = [&mut first, &mut second].map(|part| libc::mmsghdr { msg_hdr: message(part), msg_len: 0 });
    let flags = libc::MSG_WAITFORONE as _;
    // SAFETY: two headers, each with one vector into `buffer`.
    let received = unsafe { libc::recvmmsg(fd, messages.as_mut_ptr(), 2, flags, null_mut()) };
    let received = result(received as isize)?;
    let lengths: Vec<usize> = messages[..received].iter().map(|message| message.msg_len as usize).collect();
    let (one, two) = (lengths.first().copied().unwrap_or(0), lengths.get(1).copied().unwrap_or(0));
    buffer.copy_within(half..half + two, one);
    Ok(one + two)
}

/// One send call.
pub(crate) fn send(way: Way, fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let (start, length) = (bytes.as_ptr().cast::<libc::c_void>(), bytes.len());
    // The kernel reads through these and never writes, whatever their type says.
    let mut copy = bytes.to_vec();
    let (first, second) = copy.split_at_mut(SPLIT.min(length));
    let mut vectors = [vector(first), vector(second)];
    // SAFETY: in each call the pointers and lengths are those of `bytes` or of its copy.
    result(unsafe {
        match way {
            Way::Vectors => libc::writev(fd, vectors.as_ptr(), 2),
            Way::ToFrom => libc::sendto(fd, start, length, libc::MSG_NOSIGNAL, std::ptr::null(), 0),
            Way::Message => libc::sendmsg(fd, &message(&mut vectors), libc::MSG_NOSIGNAL),
            Way::Messages => return send_messages(fd, &mut vectors),
            Way::Plain | Way::Sendfile | Way::Splice => libc::write(fd, start, length),
        }
    })
}

fn send_messages(fd: RawFd, vectors: &mut [libc::iovec; 2]) -> io::Result<usize> {
    // A message without bytes would end the call.
    let count = if vectors[1].iov_len == 0 { 1 } else { 2 };
    let (first, second) = vectors.split_at_mut(1);
    let mut messages = [first, second].map(|part| libc::mmsghdr { msg_hdr: message(part), msg_len: 0 });
    // SAFETY: `count` headers, each with one vector that the caller vouches for.
    let sent = unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), count, libc::MSG_NOSIGNAL as _) };
    let sent = result(sent as isize)?;
    Ok(messages[..sent].iter().map(|message| message.msg_len as usize).sum())
}

/// Sends `length` bytes of no meaning.
pub(crate) fn fill(way: Way, fd: RawFd, length: usize) -> io::Result<()> {
    match way {
        Way::Sendfile => send_file(fd, length),
        Way::Splice => splice_out(fd, length),
        _ => {
            let block = vec![b'x'; BLOCK];
            let mut left = length;
            while left > 0 {
                left -= send(way, fd, &block[..left.min(BLOCK)])?;
            }
            Ok(())
        }
    }
}

fn send_file(fd: RawFd, length: usize) -> io::Result<()> {
    // SAFETY: the name is a string that ends with a zero.
    let file = owned(unsafe { libc::memfd_create(c"body".as_ptr(), 0) })?;
    // SAFETY: the descriptor is open.
    result(unsafe { libc::ftruncate(file.as_raw_fd(), length as libc::off_t) } as isize)?;
    let mut left = length;
    while left > 0 {
        // SAFETY: both descriptors are open; the file's own offset is used.
        left -= result(unsafe { libc::sendfile(fd, file.as_raw_fd(), null_mut(), left) })?;
    }
    Ok(())
}

fn splice_out(fd: RawFd, length: usize) -> io::Result<()> {
    let (outlet, inlet) = pipe()?;
    let block = vec![b'x'; BLOCK];
    let mut left = length;
    while left > 0 {
        let mut inside = send(Way::Plain, inlet.as_raw_fd(), &block[..left.min(BLOCK)])?;
        left -= inside;
        while inside > 0 {
            inside -= splice(outlet.as_raw_fd(), fd, inside)?;
        }
    }
    Ok(())
}

/// Receives up to `length` bytes of a body; 0 is the end.
pub(crate) fn receive_body(way: Way, fd: RawFd, length: usize) -> io::Result<usize> {
    let mut buffer = vec![0; length.min(BLOCK)];
    if way != Way::Splice {
        return receive(way, fd, &mut buffer);
    }
    let (outlet, inlet) = pipe()?;
    let moved = splice(fd, inlet.as_raw_fd(), length.min(BLOCK))?;
    let mut left = moved;
    while left > 0 {
        left -= receive(Way::Plain, outlet.as_raw_fd(), &mut buffer[..left])?;
    }
    Ok(moved)
}

fn splice(from: RawFd, to: RawFd, length: usize) -> io::Result<usize> {
    // SAFETY: both descriptors are open, and neither has an offset.
    result(unsafe { libc::splice(from, null_mut(), to, null_mut(), length, 0) })
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: there is room for two descriptors.
    result(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } as isize)?;
    Ok((owned(ends[0])?, owned(ends[1])?))
}

/// Touches memory that is not there.
pub(crate) fn fault() -> ! {
    // SAFETY: none; the fault is what is wanted, and the first page is mapped in no process.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
    unreachable!("the first page is mapped");
}

fn vector(part: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() }
}

fn message(vectors: &mut [libc::iovec]) -> libc::msghdr {
    // SAFETY: all zero is a header without address, vectors, control data and flags.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len() as _;
    message
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    result(fd as isize)?;
    // SAFETY: the kernel has just made it, for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn result(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

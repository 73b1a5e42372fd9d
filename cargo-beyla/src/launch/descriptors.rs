//! Descriptors that whoever started us has passed on. They are meant for the server, as under `cargo run`: whoever reads
//! from a pipe waits until the last process has closed its writing end, and that must not be one of ours.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;

/// The last of the standard streams.
const STANDARD_MAX: RawFd = 2;

/// Closes all descriptors that this process has inherited, but for the standard streams.
pub fn close_inherited() {
    inherited().into_iter().for_each(close);
}

/// The same where this process opens files by the paths on its command line: one may name a descriptor, as the shell's
/// `>(...)` does.
pub fn close_unneeded() {
    let words: Vec<OsString> = std::env::args_os().collect();
    inherited().into_iter().filter(|fd| !words.iter().any(|word| names(word.as_bytes(), *fd))).for_each(close);
}

/// The open descriptors that are passed on to programs. We open none like that, so we have inherited them.
fn inherited() -> Vec<RawFd> {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().filter_map(Result::ok);
    let open = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    open.filter(|fd| *fd > STANDARD_MAX && passes_on(*fd)).collect()
}

fn passes_on(fd: RawFd) -> bool {
    // SAFETY: a number, and a question about it.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}

/// Whether a word has a path of the descriptor, as in `/dev/fd/63` or `--json=/proc/self/fd/63`.
fn names(word: &[u8], fd: RawFd) -> bool {
    let path = format!("/fd/{fd}");
    memchr::memmem::find_iter(word, &path).any(|at| !word.get(at + path.len()).is_some_and(u8::is_ascii_digit))
}

fn close(fd: RawFd) {
    // SAFETY: no value of this process owns it, as we have not opened it.
    unsafe { libc::close(fd) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_descriptors_are_found() {
        for (word, named) in [
            ("/dev/fd/63", true),
            ("--json=/proc/self/fd/63", true),
            ("/dev/fd/63,/dev/fd/6", true),
            ("/dev/fd/630", false),
            ("/dev/fd/6", false),
            ("63", false),
        ] {
            assert_eq!(names(word.as_bytes(), 63), named, "{word}");
        }
    }
}

//! Fields of the kernel's structures, at the offsets that the running kernel's BTF tells.

use aya_ebpf::helpers::{bpf_get_current_task, bpf_probe_read_kernel};
use cargo_beyla_events::{Endpoint, Settings, ABSENT, AF_INET, AF_INET6, AF_UNIX};

/// Set by the loader; read-only from then on.
#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings {
    // Not all zero, so that it stays in .rodata.
    namespace_device: u64::MAX,
    ..unset()
};

const fn unset() -> Settings {
    // SAFETY: `Settings` holds integers only.
    unsafe { core::mem::zeroed() }
}

/// One value of [`Settings`]; volatile, since the loader changes it behind the compiler's back. The
/// verifier sees a constant.
macro_rules! setting {
    ($field:ident) => {
        // SAFETY: a reference to a static's field is valid for reads.
        unsafe { core::ptr::read_volatile(&raw const $crate::fields::settings().$field) }
    };
}
pub(crate) use setting;

#[inline(always)]
pub(crate) fn settings() -> &'static Settings {
    &SETTINGS
}

const SOCK_STREAM: u16 = 1;
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;

/// Reads a field of a kernel structure.
#[inline(always)]
pub fn read<T: Copy>(structure: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address and fails on one that is not mapped.
    unsafe { bpf_probe_read_kernel((structure + u64::from(offset)) as *const T) }.ok()
}

/// A `struct sock *`; only ever read through the helper, so it may be stale.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sock(pub u64);

impl Sock {
    /// The socket behind a file descriptor of the current process, if it is a stream socket.
    #[inline(always)]
    pub fn of_descriptor(descriptor: u64) -> Option<Self> {
        let file = file_of_descriptor(descriptor)?;
        let inode: u64 = read(file, setting!(file_inode))?;
        let mode: u16 = read(inode, setting!(inode_mode))?;
        if mode & S_IFMT != S_IFSOCK {
            return None;
        }
        let socket: u64 = read(file, setting!(file_private_data))?;
        let sock: u64 = read(socket, setting!(socket_sk))?;
        (sock != 0).then_some(Self(sock))
    }

    #[inline(always)]
    pub fn family(self) -> Option<u16> {
        read(self.0, setting!(sock_family))
    }

    #[inline(always)]
    pub fn state(self) -> Option<u8> {
        read(self.0, setting!(sock_state))
    }

    #[inline(always)]
    pub fn is_stream(self) -> bool {
        read(self.0, setting!(sock_type)) == Some(SOCK_STREAM)
    }

    #[inline(always)]
    pub fn local_port(self) -> Option<u16> {
        read(self.0, setting!(sock_num))
    }

    #[inline(always)]
    pub fn has_error(self) -> bool {
        read::<i32>(self.0, setting!(sock_error)).is_some_and(|error| error != 0)
    }

    /// `struct pid *` of the process that called listen(2), or of the client, on a Unix socket.
    #[inline(always)]
    pub fn peer_pid(self) -> Option<u64> {
        read(self.0, setting!(sock_peer_pid))
    }

    /// TCP: sequence number of the next byte that the process will receive.
    #[inline(always)]
    pub fn copied_sequence(self) -> Option<u32> {
        read(self.0, setting!(tcp_copied_seq))
    }

    /// TCP: sequence number of the next byte that the network will bring.
    #[inline(always)]
    pub fn queued_sequence(self) -> Option<u32> {
        read(self.0, setting!(tcp_rcv_nxt))
    }

    /// TCP: sequence number of the next byte that the process will send.
    #[inline(always)]
    pub fn write_sequence(self) -> Option<u32> {
        read(self.0, setting!(tcp_write_seq))
    }

    /// The buffer at the end of the receive queue: `struct sk_buff *`.
    #[inline(always)]
    pub fn last_queued(self) -> Option<u64> {
        let offset = setting!(sock_receive_queue_last);
        let last: u64 = read(self.0, offset)?;
        // An empty queue points to its own head, whose second field we have just read.
        let head = self.0 + u64::from(offset) - 8;
        (last != head && last != 0).then_some(last)
    }

    /// The local end of a TCP or Unix socket.
    #[inline(always)]
    pub fn local(self) -> Option<Endpoint> {
        let family = self.family()?;
        let mut endpoint = Endpoint { family, port: 0, address: [0; 16], reserved: 0 };
        if family == AF_INET {
            endpoint.address = widen(read(self.0, setting!(sock_rcv_saddr))?);
            endpoint.port = self.local_port()?;
        } else if family == AF_INET6 {
            endpoint.address = read(self.0, setting!(sock_v6_rcv_saddr))?;
            endpoint.port = self.local_port()?;
        }
        Some(endpoint)
    }

    /// The other end of a TCP or Unix socket.
    #[inline(always)]
    pub fn remote(self) -> Option<Endpoint> {
        let family = self.family()?;
        let mut endpoint = Endpoint { family, port: 0, address: [0; 16], reserved: 0 };
        if family == AF_INET {
            endpoint.address = widen(read(self.0, setting!(sock_daddr))?);
            endpoint.port = u16::from_be(read(self.0, setting!(sock_dport))?);
        } else if family == AF_INET6 {
            endpoint.address = read(self.0, setting!(sock_v6_daddr))?;
            endpoint.port = u16::from_be(read(self.0, setting!(sock_dport))?);
        }
        Some(endpoint)
    }

    /// Address and length of the path of a Unix socket; `None` if it has no name.
    #[inline(always)]
    pub fn unix_path(self) -> Option<(u64, u32)> {
        if self.family()? != AF_UNIX {
            return None;
        }
        let address: u64 = read(self.0, setting!(unix_addr))?;
        if address == 0 {
            return None;
        }
        // The length counts sun_family too, which takes two bytes.
        let length: u32 = read(address, setting!(unix_address_len))?;
        Some((address + u64::from(setting!(unix_address_path)), length.saturating_sub(2)))
    }
}

#[inline(always)]
fn widen(ipv4: [u8; 4]) -> [u8; 16] {
    let mut address = [0; 16];
    address[0] = ipv4[0];
    address[1] = ipv4[1];
    address[2] = ipv4[2];
    address[3] = ipv4[3];
    address
}

/// `struct file *` behind a file descriptor of the current process.
#[inline(always)]
fn file_of_descriptor(descriptor: u64) -> Option<u64> {
    let descriptor = descriptor as u32;
    // SAFETY: the helper has no precondition.
    let task = unsafe { bpf_get_current_task() };
    let files: u64 = read(task, setting!(task_files))?;
    let table: u64 = read(files, setting!(files_fdt))?;
    let descriptors: u32 = read(table, setting!(fdtable_max_fds))?;
    if descriptor >= descriptors {
        return None;
    }
    let array: u64 = read(table, setting!(fdtable_fd))?;
    let file: u64 = read(array + u64::from(descriptor) * 8, 0)?;
    (file != 0).then_some(file)
}

/// Whether closing this file descriptor of the current process closes its socket: nothing else (dup,
/// fork) refers to it.
#[inline(always)]
pub fn is_last_reference(descriptor: u64) -> bool {
    let offset = setting!(file_references);
    if offset == ABSENT {
        return false;
    }
    file_of_descriptor(descriptor)
        .and_then(|file| read::<u64>(file, offset))
        .is_some_and(|references| references == u64::from(setting!(file_single_reference)))
}

/// `struct pid *` of the current process.
#[inline(always)]
pub fn current_process_pid() -> Option<u64> {
    // SAFETY: the helper has no precondition.
    let task = unsafe { bpf_get_current_task() };
    let signal: u64 = read(task, setting!(task_signal))?;
    read(signal, setting!(signal_tgid))
}

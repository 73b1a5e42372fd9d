//! Fields of the kernel's structures, at the offsets that the running kernel's BTF tells.

use aya_ebpf::helpers::{
    bpf_get_current_task, bpf_probe_read_kernel, generated::bpf_probe_read_kernel as probe_read_kernel,
};
use aya_ebpf::programs::BtfTracePointContext;
use cargo_beyla_events::{Endpoint, Settings, ABSENT, AF_INET, AF_INET6, AF_UNIX};

use super::output::{count_lost, Lost};

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
        unsafe { core::ptr::read_volatile(&raw const $crate::kernel::fields::settings().$field) }
    };
}
pub(crate) use setting;

#[inline(always)]
pub(crate) fn settings() -> &'static Settings {
    &SETTINGS
}

/// A `struct task_struct *` as a tracepoint hands it over, of which the verifier knows the type.
#[derive(Clone, Copy)]
pub struct TypedTask(*const u8);

impl TypedTask {
    #[inline(always)]
    pub fn argument(context: &BtfTracePointContext, index: usize) -> Self {
        Self(context.arg(index))
    }

    /// The thread, as it is numbered at the root of PID namespaces.
    #[inline(always)]
    pub fn thread(self) -> u32 {
        self.field(setting!(task_pid))
    }

    /// The process, as it is numbered at the root of PID namespaces.
    #[inline(always)]
    pub fn process(self) -> u32 {
        self.field(setting!(task_tgid))
    }

    /// Whether it runs or wants to.
    #[inline(always)]
    pub fn wants_cpu(self) -> bool {
        self.field(setting!(task_state)) == 0
    }

    #[inline(always)]
    fn field(self, offset: u32) -> u32 {
        // SAFETY: the verifier knows the offset, a constant of the loader's, and checks it against the
        // type.
        unsafe { self.0.add(offset as usize).cast::<u32>().read_volatile() }
    }
}

const SOCK_STREAM: u16 = 1;
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;

/// A field of the kernel, or what stands in its place where it could not be read, which is counted. (Asked once and not
/// twice whether it was: what is read on one path alone is unset on the other for the verifiers of Linux 5.10 and 6.1.)
#[inline(always)]
pub fn counted_or<T>(field: Option<T>, otherwise: T) -> T {
    if let Some(value) = field {
        value
    } else {
        count_lost(Lost::Read);
        otherwise
    }
}

/// Counts that a field of the kernel could not be read, where all that is known of it is left out of a record.
#[inline(always)]
pub fn counted<T>(field: Option<T>) -> Option<T> {
    if field.is_none() {
        count_lost(Lost::Read);
    }
    field
}

/// Reads a field of a kernel structure.
#[inline(always)]
pub fn read<T: Copy>(structure: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address and fails on one that is not mapped.
    unsafe { bpf_probe_read_kernel((structure + u64::from(offset)) as *const T) }.ok()
}

/// The same of a number, which is 0 if it cannot be read: the helper says so by leaving zeros (Linux 5.5). There is no
/// branch that the verifier would follow.
#[inline(always)]
pub fn read_or_zero<T: Copy + Default>(structure: u64, offset: u32) -> T {
    let mut value = T::default();
    let from = (structure + u64::from(offset)) as *const _;
    // SAFETY: `value` is as large as is said; the helper checks the address read from.
    unsafe { probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, from) };
    value
}

/// A `struct sock *` as a tracepoint hands it over: the verifier knows its type, so that fields are read
/// without a helper.
#[derive(Clone, Copy)]
pub struct TypedSock(*const u8);

impl TypedSock {
    #[inline(always)]
    pub fn argument(context: &BtfTracePointContext, index: usize) -> Self {
        Self(context.arg(index))
    }

    #[inline(always)]
    pub fn untyped(self) -> Sock {
        Sock(self.0 as u64)
    }

    #[inline(always)]
    pub fn family(self) -> u16 {
        self.field(setting!(sock_family))
    }

    #[inline(always)]
    pub fn local_port(self) -> u16 {
        self.field(setting!(sock_num))
    }

    #[inline(always)]
    pub fn remote_port(self) -> u16 {
        u16::from_be(self.field(setting!(sock_dport)))
    }

    #[inline(always)]
    fn field(self, offset: u32) -> u16 {
        // SAFETY: the verifier knows the offset, a constant of the loader's, and checks it against the
        // type.
        unsafe { self.0.add(offset as usize).cast::<u16>().read_volatile() }
    }
}

/// A `struct sock *`; only ever read through the helper, so it may be stale.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sock(pub u64);

impl Sock {
    /// The address as a mere number, which is all that a global function takes: the verifier knows what a tracepoint's
    /// argument points to, and forgets it only on the way through a helper.
    #[inline(always)]
    pub fn number(self) -> u64 {
        read((&raw const self.0) as u64, 0).unwrap_or(0)
    }

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

    /// Whether an IPv6 socket is for addresses of IPv6 alone.
    #[inline(always)]
    pub fn is_ipv6_only(self) -> bool {
        let bits: u8 = read_or_zero(self.0, setting!(sock_ipv6_only));
        bits & setting!(sock_ipv6_only_mask) as u8 != 0
    }

    /// As [`Self::local_port`], 0 if it cannot be read.
    #[inline(always)]
    pub fn local_port_or_zero(self) -> u16 {
        read_or_zero(self.0, setting!(sock_num))
    }

    /// 0 if it cannot be read.
    #[inline(always)]
    pub fn remote_port_or_zero(self) -> u16 {
        u16::from_be(read_or_zero(self.0, setting!(sock_dport)))
    }

    /// The other end of a Unix socket.
    #[inline(always)]
    pub fn unix_peer(self) -> Option<Self> {
        read(self.0, setting!(unix_peer)).filter(|peer| *peer != 0).map(Self)
    }

    /// The error by which it broke, as in `<errno.h>`; 255 if it is greater, 0 if there is none.
    #[inline(always)]
    pub fn error(self) -> u8 {
        let error: u32 = read_or_zero(self.0, setting!(sock_error));
        if error > u32::from(u8::MAX) {
            u8::MAX
        } else {
            error as u8
        }
    }

    /// Whether it belongs to a file that is not connected, nor being connected.
    #[inline(always)]
    pub fn is_unconnected(self) -> bool {
        const SS_UNCONNECTED: u32 = 1;
        let socket: u64 = read_or_zero(self.0, setting!(sock_socket));
        read_or_zero::<u32>(socket, setting!(socket_state)) == SS_UNCONNECTED
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

    /// Reads the local end of a TCP or Unix socket.
    #[inline(always)]
    pub fn read_local(self, endpoint: &mut Endpoint) {
        let port = self.local_port_or_zero();
        self.read_endpoint(endpoint, port, setting!(sock_rcv_saddr), setting!(sock_v6_rcv_saddr));
    }

    /// Reads the other end of a TCP or Unix socket.
    #[inline(always)]
    pub fn read_remote(self, endpoint: &mut Endpoint) {
        let port = self.remote_port_or_zero();
        self.read_endpoint(endpoint, port, setting!(sock_daddr), setting!(sock_v6_daddr));
    }

    #[inline(always)]
    fn read_endpoint(self, endpoint: &mut Endpoint, port: u16, ipv4: u32, ipv6: u32) {
        let family = read_or_zero(self.0, setting!(sock_family));
        *endpoint = Endpoint { family, ..Endpoint::NONE };
        if family == AF_INET {
            endpoint.port = port;
            self.read_address(&mut endpoint.address, 4, ipv4);
        } else if family == AF_INET6 {
            endpoint.port = port;
            self.read_address(&mut endpoint.address, 16, ipv6);
        }
    }

    /// Reads the first `count` bytes of an address; what cannot be read is zero.
    #[inline(always)]
    fn read_address(self, to: &mut [u8; 16], count: u32, offset: u32) {
        let from = (self.0 + u64::from(offset)) as *const _;
        // SAFETY: `count` is 16 at the most; the helper checks the address read from.
        unsafe { probe_read_kernel(to.as_mut_ptr().cast(), count, from) };
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

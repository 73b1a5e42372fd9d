//! Where the running kernel's structures have their fields, as its BTF says.

mod type_information;

use std::io;
use std::path::Path;

use cargo_beyla_events::{ABSENT, Settings};

use type_information::TypeInformation;

/// Where the kernel keeps its type information, since 5.4.
pub const BTF_FILE: &str = "/sys/kernel/btf/vmlinux";

/// Where `task_struct` keeps the thread pointer of user space.
#[cfg(target_arch = "x86_64")]
const THREAD_POINTER: &str = "thread.fsbase";
#[cfg(target_arch = "aarch64")]
const THREAD_POINTER: &str = "thread.uw.tp_value";

/// Why the layout could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// No BTF, or BTF that does not parse.
    #[error("could not read the kernel's type information ({BTF_FILE}): {0}")]
    Btf(#[from] io::Error),
    /// A field that every supported kernel has.
    #[error("this kernel has no {0}")]
    Missing(String),
}

/// The kernel's types.
pub struct KernelLayout {
    types: TypeInformation,
}

impl KernelLayout {
    /// Reads the running kernel's BTF.
    ///
    /// # Errors
    /// If there is none, or it does not parse.
    pub fn read() -> Result<Self, LayoutError> {
        Ok(Self { types: TypeInformation::read(Path::new(BTF_FILE))? })
    }

    /// Fills in the offsets.
    pub fn fill(&self, settings: &mut Settings) -> Result<(), LayoutError> {
        let field = |structure: &str, path: &str| {
            self.offset(structure, path).ok_or_else(|| LayoutError::Missing(format!("{structure}.{path}")))
        };
        settings.task_pid = field("task_struct", "pid")?;
        settings.task_tgid = field("task_struct", "tgid")?;
        settings.task_state = field("task_struct", "__state").or_else(|_| field("task_struct", "state"))?;
        settings.user_registers = self.has_helper("BPF_FUNC_task_pt_regs").into();
        settings.switch_tells_state = (self.tracepoint_arguments("btf_trace_sched_switch") > 3).into();
        settings.task_files = field("task_struct", "files")?;
        settings.task_signal = field("task_struct", "signal")?;
        // `pids` is an array of pointers; PIDTYPE_TGID is the second.
        settings.signal_tgid = field("signal_struct", "pids")? + size_of::<u64>() as u32;
        settings.task_cred = field("task_struct", "cred")?;
        settings.cred_uid = field("cred", "uid")?;
        settings.cred_euid = field("cred", "euid")?;
        settings.cred_suid = field("cred", "suid")?;
        settings.cred_gid = field("cred", "gid")?;
        settings.cred_egid = field("cred", "egid")?;
        settings.cred_sgid = field("cred", "sgid")?;
        settings.cred_cap_permitted = field("cred", "cap_permitted")?;
        settings.task_thread_pointer = field("task_struct", THREAD_POINTER)?;
        settings.task_mm = field("task_struct", "mm")?;
        settings.mm_exe_file = field("mm_struct", "exe_file")?;
        settings.binprm_filename = field("linux_binprm", "filename")?;
        settings.files_fdt = field("files_struct", "fdt")?;
        settings.fdtable_max_fds = field("fdtable", "max_fds")?;
        settings.fdtable_fd = field("fdtable", "fd")?;
        settings.file_private_data = field("file", "private_data")?;
        settings.file_inode = field("file", "f_inode")?;
        // Since 6.13 `f_ref`, which counts the references beyond the first one.
        (settings.file_references, settings.file_single_reference) =
            match (self.offset("file", "f_ref"), self.offset("file", "f_count")) {
                (Some(offset), _) => (offset, 0),
                (None, Some(offset)) => (offset, 1),
                (None, None) => (ABSENT, 0),
            };
        settings.inode_mode = field("inode", "i_mode")?;
        settings.inode_number = field("inode", "i_ino")?;
        settings.inode_size = field("inode", "i_size")?;
        settings.socket_sk = field("socket", "sk")?;
        settings.sock_family = field("sock", "__sk_common.skc_family")?;
        settings.sock_state = field("sock", "__sk_common.skc_state")?;
        settings.sock_num = field("sock", "__sk_common.skc_num")?;
        (settings.sock_ipv6_only, settings.sock_ipv6_only_mask) =
            self.bit("sock", "__sk_common.skc_ipv6only").unwrap_or_default();
        settings.sock_dport = field("sock", "__sk_common.skc_dport")?;
        settings.sock_rcv_saddr = field("sock", "__sk_common.skc_rcv_saddr")?;
        settings.sock_daddr = field("sock", "__sk_common.skc_daddr")?;
        // A kernel without IPv6 has no such sockets.
        let ipv6 = |path: &str| self.offset("sock", path).unwrap_or(0);
        settings.sock_v6_rcv_saddr = ipv6("__sk_common.skc_v6_rcv_saddr");
        settings.sock_v6_daddr = ipv6("__sk_common.skc_v6_daddr");
        settings.sock_error = field("sock", "sk_err")?;
        settings.sock_socket = field("sock", "sk_socket")?;
        settings.socket_state = field("socket", "state")?;
        settings.sock_type = field("sock", "sk_type")?;
        settings.sock_peer_pid = field("sock", "sk_peer_pid")?;
        // `struct sk_buff_head` begins with `next` and `prev`, whether or not it names them itself.
        settings.sock_receive_queue_last = field("sock", "sk_receive_queue")? + size_of::<u64>() as u32;
        settings.tcp_copied_seq = field("tcp_sock", "copied_seq")?;
        settings.tcp_rcv_nxt = field("tcp_sock", "rcv_nxt")?;
        settings.tcp_write_seq = field("tcp_sock", "write_seq")?;
        settings.unix_peer = field("unix_sock", "peer")?;
        settings.unix_addr = field("unix_sock", "addr")?;
        settings.unix_address_len = field("unix_address", "len")?;
        // `struct sockaddr_un` begins with its family, of two bytes.
        settings.unix_address_path = field("unix_address", "name")? + size_of::<u16>() as u32;
        settings.skb_sk = field("sk_buff", "sk")?;
        settings.skb_len = field("sk_buff", "len")?;
        settings.skb_cb = field("sk_buff", "cb")?;
        settings.tcp_cb_seq = field("tcp_skb_cb", "seq")?;
        settings.tcp_cb_end_seq = field("tcp_skb_cb", "end_seq")?;
        Ok(())
    }

    /// Whether programs may call this helper, a name of `enum bpf_func_id`.
    fn has_helper(&self, helper: &str) -> bool {
        self.types.has_enumerator("bpf_func_id", helper)
    }

    /// How many arguments a tracepoint passes, by the typedef of its function.
    fn tracepoint_arguments(&self, typedef: &str) -> usize {
        // The first is the tracepoint's own data, which programs do not see.
        self.types.parameters(typedef).map_or(0, |parameters| parameters.saturating_sub(1))
    }

    /// Offset in bytes of a field, named through its structures with dots.
    fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        Some(self.types.offset_in_bits(structure, path)? / 8)
    }

    /// The byte that a field of one bit is in, and its mask there.
    fn bit(&self, structure: &str, path: &str) -> Option<(u32, u32)> {
        let bits = self.types.offset_in_bits(structure, path)?;
        Some((bits / 8, 1 << (bits % 8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_in_the_running_kernel() {
        let layout = KernelLayout::read().expect("the kernel of the tests has BTF");
        let mut settings = Settings::default();
        layout.fill(&mut settings).expect("every field is there");
        // These have stood at the same place, and behind two unions, in every kernel with BTF.
        assert_eq!(settings.sock_dport, 12);
        assert_eq!(settings.sock_num, 14);
        assert_eq!(settings.sock_family, 16);
        // The byte after `skc_state`, behind `skc_reuse` and `skc_reuseport`.
        assert_eq!((settings.sock_ipv6_only, settings.sock_ipv6_only_mask), (19, 1 << 5));
        assert!(settings.tcp_copied_seq > settings.sock_error);
        assert_eq!(layout.offset("sock", "no_such_field"), None);
        assert!(layout.has_helper("BPF_FUNC_ringbuf_output"));
        assert!(!layout.has_helper("BPF_FUNC_no_such_helper"));
        assert_eq!(layout.tracepoint_arguments("btf_trace_sched_wakeup"), 1);
        assert!(layout.tracepoint_arguments("btf_trace_sched_switch") >= 3);
    }
}

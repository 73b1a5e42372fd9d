//! Where the running kernel's structures have their fields, as its BTF says.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use btf_rs::{Backend, Btf, Type};
use cargo_beyla_events::{ABSENT, Settings};

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
    Btf(#[from] btf_rs::Error),
    /// A field that every supported kernel has.
    #[error("this kernel has no {0}")]
    Missing(String),
}

/// The kernel's types.
pub struct KernelLayout {
    btf: Btf,
    /// Those looked up so far: a look-up goes through all names there are.
    structures: RefCell<HashMap<&'static str, Option<Type>>>,
}

impl KernelLayout {
    /// Reads the running kernel's BTF.
    ///
    /// # Errors
    /// If there is none, or it does not parse.
    pub fn read() -> Result<Self, LayoutError> {
        // Since Linux 6.16 the file can be mapped, which saves parsing what is never looked at.
        let btf = Btf::from_file_with_backend(Path::new(BTF_FILE), Backend::Mmap)
            .or_else(|_| Btf::from_file(Path::new(BTF_FILE)))?;
        Ok(Self { btf, structures: RefCell::default() })
    }

    /// Fills in the offsets.
    pub fn fill(&self, settings: &mut Settings) -> Result<(), LayoutError> {
        let field = |structure: &'static str, path: &str| {
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
        let types = self.btf.resolve_types_by_name("bpf_func_id").unwrap_or_default();
        types.iter().any(|r#type| match r#type {
            Type::Enum(helpers) => {
                helpers.members.iter().any(|member| self.btf.resolve_name(member).is_ok_and(|name| name == helper))
            }
            _ => false,
        })
    }

    /// How many arguments a tracepoint passes, by the typedef of its function.
    fn tracepoint_arguments(&self, typedef: &str) -> usize {
        let types = self.btf.resolve_types_by_name(typedef).unwrap_or_default();
        let arguments = types.iter().find_map(|r#type| {
            let Type::Typedef(typedef) = r#type else { return None };
            let Type::Ptr(pointer) = self.btf.resolve_chained_type(typedef).ok()? else { return None };
            let Type::FuncProto(function) = self.btf.resolve_chained_type(&pointer).ok()? else { return None };
            // The first is the tracepoint's own data, which programs do not see.
            Some(function.parameters.len().saturating_sub(1))
        });
        arguments.unwrap_or(0)
    }

    /// Offset in bytes of a field, named through its structures with dots; anonymous structures and
    /// unions on the way are looked into.
    fn offset(&self, structure: &'static str, path: &str) -> Option<u32> {
        Some(self.offset_in_bits(structure, path)? / 8)
    }

    /// The byte that a field of one bit is in, and its mask there.
    fn bit(&self, structure: &'static str, path: &str) -> Option<(u32, u32)> {
        let bits = self.offset_in_bits(structure, path)?;
        Some((bits / 8, 1 << (bits % 8)))
    }

    fn offset_in_bits(&self, structure: &'static str, path: &str) -> Option<u32> {
        let mut structures = self.structures.borrow_mut();
        let found = structures.entry(structure).or_insert_with(|| {
            let types = self.btf.resolve_types_by_name(structure).ok()?;
            types.into_iter().find(|r#type| matches!(r#type, Type::Struct(_)))
        });
        let mut bits = 0;
        let mut current = found.clone()?;
        for name in path.split('.') {
            let (offset, next) = self.member(&current, name)?;
            bits += offset;
            current = next?;
        }
        Some(bits)
    }

    /// Offset in bits of a member and its type, the latter if it is a structure or not needed.
    fn member(&self, parent: &Type, name: &str) -> Option<(u32, Option<Type>)> {
        let members = match parent {
            Type::Struct(structure) | Type::Union(structure) => &structure.members,
            _ => return None,
        };
        for member in members {
            let member_name = self.btf.resolve_name(member).unwrap_or_default();
            if member_name == name {
                return Some((member.bit_offset(), self.resolve(member)));
            }
            if member_name.is_empty()
                && let Some(anonymous) = self.resolve(member)
                && let Some((offset, found)) = self.member(&anonymous, name)
            {
                return Some((member.bit_offset() + offset, found));
            }
        }
        None
    }

    /// The type of a member, behind qualifiers and typedefs.
    fn resolve(&self, member: &btf_rs::Member) -> Option<Type> {
        let mut current = self.btf.resolve_chained_type(member).ok()?;
        loop {
            let behind = match &current {
                Type::Const(r#type) | Type::Volatile(r#type) | Type::Restrict(r#type) => {
                    self.btf.resolve_chained_type(r#type)
                }
                Type::Typedef(r#type) => self.btf.resolve_chained_type(r#type),
                Type::TypeTag(r#type) => self.btf.resolve_chained_type(r#type),
                _ => return Some(current),
            };
            current = behind.ok()?;
        }
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

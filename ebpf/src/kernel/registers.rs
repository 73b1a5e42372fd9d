//! The user's registers, as a thread leaves them on its way into the kernel.

use aya_ebpf::{
    bindings::task_struct,
    helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs},
};

use super::volatile::get;

/// The kernel's `struct pt_regs`.
#[cfg(bpf_target_arch = "x86_64")]
#[repr(C)]
pub struct Registers {
    _r15_to_r12: [u64; 4],
    bp: u64,
    _bx_to_r11: [u64; 2],
    r10: u64,
    _r9_to_cx: [u64; 4],
    dx: u64,
    si: u64,
    di: u64,
    orig_ax: u64,
    ip: u64,
    _cs: u64,
    _flags: u64,
    sp: u64,
}

#[cfg(bpf_target_arch = "x86_64")]
impl Registers {
    /// `epoll_wait`, `epoll_pwait` and `epoll_pwait2`.
    const READINESS: [u64; 3] = [232, 281, 441];

    #[inline(always)]
    fn number_field(&self) -> &u64 {
        &self.orig_ax
    }

    #[inline(always)]
    pub fn argument(&self, index: usize) -> u64 {
        match index {
            0 => self.di,
            1 => self.si,
            2 => self.dx,
            _ => self.r10,
        }
    }

    #[inline(always)]
    pub fn instruction(&self) -> u64 {
        self.ip
    }

    #[inline(always)]
    pub fn stack_pointer(&self) -> u64 {
        self.sp
    }

    #[inline(always)]
    pub fn frame_pointer(&self) -> u64 {
        self.bp
    }

    #[inline(always)]
    pub fn link(&self) -> u64 {
        0
    }
}

/// The kernel's `struct pt_regs`.
#[cfg(bpf_target_arch = "aarch64")]
#[repr(C)]
pub struct Registers {
    regs: [u64; 31],
    sp: u64,
    pc: u64,
    _pstate: u64,
    orig_x0: u64,
    syscallno: i32,
}

#[cfg(bpf_target_arch = "aarch64")]
impl Registers {
    /// `epoll_pwait` and `epoll_pwait2`.
    const READINESS: [u64; 2] = [22, 441];

    #[inline(always)]
    fn number_field(&self) -> &i32 {
        &self.syscallno
    }

    #[inline(always)]
    pub fn argument(&self, index: usize) -> u64 {
        match index {
            0 => self.orig_x0,
            1 => self.regs[1],
            2 => self.regs[2],
            _ => self.regs[3],
        }
    }

    #[inline(always)]
    pub fn instruction(&self) -> u64 {
        self.pc
    }

    #[inline(always)]
    pub fn stack_pointer(&self) -> u64 {
        self.sp
    }

    #[inline(always)]
    pub fn frame_pointer(&self) -> u64 {
        self.regs[29]
    }

    #[inline(always)]
    pub fn link(&self) -> u64 {
        self.regs[30]
    }
}

impl Registers {
    /// The number of the system call; negative if the thread is in none. Read anew each time: see
    /// [`get`].
    #[inline(always)]
    pub fn number(&self) -> u64 {
        get(self.number_field()) as u64
    }

    /// Whether the system call waits until something can be read or written, as what drives an async runtime does.
    #[inline(always)]
    pub fn waits_for_readiness(&self) -> bool {
        let number = self.number();
        Self::READINESS.iter().any(|readiness| *readiness == number)
    }

    /// Those with which the current thread entered the kernel. Linux 5.15.
    #[inline(always)]
    pub fn of_current() -> &'static Self {
        // SAFETY: the helpers have no precondition; the verifier knows the types of both results.
        unsafe {
            let task: *mut task_struct = bpf_get_current_task_btf();
            &*(bpf_task_pt_regs(task) as *const Self)
        }
    }
}

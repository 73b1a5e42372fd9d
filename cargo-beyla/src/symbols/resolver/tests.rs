//! Stacks of real threads of real processes, and stacks that no process has.

mod programs;

use std::path::Path;
use std::time::Duration;

use cargo_beyla_events::{Header, STACK_MAX, Stack, VTABLE_WORDS, Vtable, stack};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use proptest::prelude::*;
use syscalls::Sysno;

use super::*;
use cargo_beyla_core::analysis::code_sites::Landmarks;
use cargo_beyla_core::model::stack::Whose;

/// The line of the call in [`sleep_in_a_function_with_a_name`].
const SLEEPS_AT: u32 = line!() + 4;

#[inline(never)]
fn sleep_in_a_function_with_a_name() {
    std::thread::sleep(Duration::from_mins(1));
    std::hint::black_box(());
}

/// A child process that runs a function until it is dropped.
struct Child(Pid);

impl Child {
    fn fork(activity: fn()) -> Self {
        // SAFETY: what the child does allocates nothing and returns to nobody.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Parent { child } => Self(child),
            ForkResult::Child => {
                activity();
                // SAFETY: ends this process without running the parent's destructors.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Waits until it sleeps, and copies its stack, as the kernel side does.
    fn stack(&self) -> (Stack, Vec<u8>) {
        let process = procfs::process::Process::new(self.0.as_raw()).expect("it runs");
        let system_call = format!("/proc/{}/syscall", self.0);
        let sleeps_in = [Sysno::clock_nanosleep, Sysno::futex].map(|call| format!("{} ", call.id()));
        // Not one that a program sleeps in while it is loaded.
        while process.stat().expect("its state").state != 'S'
            || std::fs::read_to_string(&system_call)
                .is_ok_and(|call| !sleeps_in.iter().any(|number| call.starts_with(number)))
        {
            std::thread::yield_now();
        }
        ptrace::attach(self.0).expect("it is our own child");
        waitpid(self.0, None).expect("it stops");
        let stack = registers(self.0);
        let mut copied = vec![0; STACK_MAX];
        let memory = std::fs::File::open(format!("/proc/{}/mem", self.0)).expect("its memory");
        let read = std::os::unix::fs::FileExt::read_at(&memory, &mut copied, stack.stack_pointer).expect("its stack");
        copied.truncate(read);
        (stack, copied)
    }

    fn pid(&self) -> u32 {
        self.0.as_raw() as u32
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

#[cfg(target_arch = "x86_64")]
fn registers(pid: Pid) -> Stack {
    let registers = ptrace::getregs(pid).expect("its registers");
    Stack {
        header: Header { time_ns: 7, flags: stack::SLEEP, ..Header::default() },
        instruction: registers.rip,
        stack_pointer: registers.rsp,
        frame_pointer: registers.rbp,
        thread: 3,
        ..Stack::default()
    }
}

#[cfg(target_arch = "aarch64")]
fn registers(pid: Pid) -> Stack {
    let registers = ptrace::getregset::<ptrace::regset::NT_PRSTATUS>(pid).expect("its registers");
    Stack {
        header: Header { time_ns: 7, flags: stack::SLEEP, ..Header::default() },
        instruction: registers.pc,
        stack_pointer: registers.sp,
        frame_pointer: registers.regs[29],
        link: registers.regs[30],
        thread: 3,
        ..Stack::default()
    }
}

/// The symbols of this workspace.
fn symbols() -> Symbols {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    Symbols::new(root.to_owned(), vec!["cargo_beyla".to_owned()])
}

#[test]
fn a_sleeping_thread_is_found_where_it_sleeps() {
    let child = Child::fork(sleep_in_a_function_with_a_name);
    let (registers, bytes) = child.stack();
    let stack = CopiedStack { registers, bytes: &bytes };
    let mut symbols = symbols();
    let unwound = symbols.unwind(child.pid(), &stack);
    assert_eq!(unwound, symbols.unwind(child.pid(), &stack), "the same frames have the same number");
    assert_eq!(
        unwound,
        UnwoundStack { time_ns: 7, occasion: stack::SLEEP, thread: 3, stack: 1, lock: false, task: 0, process: 0 }
    );

    let mut stacks = symbols.take_stacks();
    assert!(symbols.take_stacks().is_empty(), "each is given once");
    let (1, frames) = stacks.remove(0) else { panic!("the first stack") };
    let position = |name: &str| frames.iter().position(|frame| frame.function.ends_with(name)).expect(name);
    let sleeps = position("::sleep_in_a_function_with_a_name");
    assert!(position("std::thread::sleep") < sleeps);
    let frame = &frames[sleeps];
    assert_eq!(frame.source, Some(("cargo-beyla/src/symbols/resolver/tests.rs".into(), SLEEPS_AT)));
    assert!(frame.is_own());
    assert_eq!(frames[0].whose, Whose::System, "the C library's");
    let Landmarks { function, call } = Landmarks::of(&frames);
    assert_eq!((function, call.and_then(Frame::name)), (Some(frame), Some("std::thread::sleep")));
    assert!(frames.len() > sleeps + 3, "the test's own frames follow");
}

#[test]
fn a_thread_that_waits_for_a_lock_is_told_from_others() {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let held = LOCK.lock().expect("nobody panics with it");
    let child = Child::fork(|| drop(LOCK.lock()));
    let (registers, bytes) = child.stack();
    drop(held);
    assert!(symbols().unwind(child.pid(), &CopiedStack { registers, bytes: &bytes }).lock);
}

#[test]
fn the_type_of_a_task_is_named() {
    async fn job() -> (u64, [u64; VTABLE_WORDS]) {
        std::future::poll_fn(|context| {
            let header = context.waker().data().cast::<[usize; 3]>();
            // SAFETY: tokio's wakers point to the task's header, whose third word is the address of its table.
            let table = unsafe { (*header)[2] };
            let words = table as *const [u64; 8];
            let mut copied = [0; VTABLE_WORDS];
            // SAFETY: a table has at least as many words.
            copied[..8].copy_from_slice(unsafe { &*words });
            std::task::Poll::Ready((table as u64, copied))
        })
        .await
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let (vtable, words) = runtime.block_on(async { tokio::spawn(job()).await.expect("it ends") });

    let mut symbols = symbols();
    symbols.add_task_type(std::process::id(), &Vtable { vtable, words, ..Vtable::default() });
    let name = "cargo_beyla::symbols::resolver::tests::the_type_of_a_task_is_named::job";
    assert_eq!(symbols.take_task_types(), [(vtable, name.to_owned())]);
    assert!(symbols.take_task_types().is_empty(), "each is given once");
}

#[test]
fn what_is_not_known_has_no_number() {
    let mut symbols = symbols();
    let registers = Stack { instruction: 0x10, stack_pointer: 0x1000, ..Stack::default() };
    let nowhere = CopiedStack { registers, bytes: &[] };
    assert_eq!(symbols.unwind(std::process::id(), &nowhere).stack, 0);
    assert_eq!(symbols.unwind(u32::MAX, &nowhere).stack, 0, "no such process");
    symbols.add_task_type(u32::MAX, &Vtable { words: [1; VTABLE_WORDS], ..Vtable::default() });
    assert!(symbols.take_stacks().is_empty() && symbols.take_task_types().is_empty());
}

#[test]
fn a_stack_of_any_content_is_unwound() {
    let bytes = proptest::collection::vec(any::<u8>(), 0..512);
    let offsets = proptest::collection::vec(0..4096_u64, 64);
    let input = (bytes, offsets, any::<u64>(), any::<u64>());
    let symbols = std::cell::RefCell::new(symbols());
    let code = what_is_not_known_has_no_number as fn() as usize as u64;
    let run = |(bytes, offsets, stack_pointer, frame_pointer): (Vec<u8>, Vec<u64>, u64, u64)| {
        // Some words that are no code, and some that are.
        let words = offsets.iter().flat_map(|offset| (code + offset).to_le_bytes());
        let copied: Vec<u8> = bytes.into_iter().chain(words).collect();
        for (stack_pointer, frame_pointer) in [(stack_pointer, frame_pointer), (0x7000, 0x7000 + frame_pointer % 512)] {
            let registers = Stack { instruction: code, stack_pointer, frame_pointer, link: code, ..Stack::default() };
            let stack = CopiedStack { registers, bytes: &copied };
            let unwound = symbols.borrow_mut().unwind(std::process::id(), &stack);
            prop_assert!(unwound.stack > 0, "its first frame is known");
        }
        Ok(())
    };
    proptest::test_runner::TestRunner::default().run(&input, run).expect("every stack is unwound");
}

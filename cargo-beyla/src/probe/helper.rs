//! `cargo-beyla __probe`, or the installed `beyla-probe`: the only part that runs with privilege.
//!
//! It says how things stand, takes a process id and what to see of it, loads and attaches the probes, and hands
//! the ring buffer over. It ends with the traced process, or when its stdin closes, which it does when the parent ends
//! in whatever way; then every probe is gone.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aya::maps::RingBuf;
use cargo_beyla_core::event::{Event, Listen, Lost};
use cargo_beyla_core::model::connection::Endpoint;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{Pid, setpgid};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::channel::{failed, send_ready};
use super::executable::{Executable, Executables, TaskIdPlace};
use super::greeting::Greeting;
use super::programs::{Programs, ProgramsError};
use super::request::{self, ProbeArguments, Request};
use super::requirements::facts::Facts;
use crate::config::capture::Capture;
use crate::error::UNSUPPORTED;
use crate::launch::descriptors;
use crate::launch::listening::{Listening, TcpListener};
use crate::launch::user::{invoking_uid, permitted_capabilities};

/// Between the latest socket that began to listen and the end of capture by system calls, where TCP
/// does not need it: a server that also listens on a Unix socket does so by then.
const LISTENING_SETTLES: Duration = Duration::from_millis(40);
/// The same from the beginning of a server that is given a socket which listens already.
const BEGINNING_SETTLES: Duration = Duration::from_secs(2);
/// How often the helper looks at the clock while there is nothing to wait for.
const TICK: Duration = Duration::from_millis(20);
/// The open files that suffice to trace.
const FILES: u64 = 4096;
/// Once there is nothing left to decide.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Why the helper gave up.
#[derive(Debug, thiserror::Error)]
enum HelperError {
    #[error("process {pid} belongs to another user (uid {owner}), and only your own may be traced")]
    NotYours { pid: u32, owner: u32 },
    #[error("process {pid} has rights {what}, and only what has yours alone may be traced")]
    OtherRights { pid: u32, what: &'static str },
    #[error("there is no process {pid}: {source}")]
    NoProcess { pid: u32, source: io::Error },
    #[error("no probes may be put into {path}: {source}", path = .path.display())]
    Executable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Runs the helper to its end.
pub fn run() -> ExitCode {
    end_with_parent();
    ignore_signals();
    descriptors::close_inherited();
    // Sudo that asks for a password runs in the terminal's foreground. An error says that we lead a group already.
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    // Started as /proc/self/exe, it is called `exe`; a name is no more than that.
    let _ = std::fs::write("/proc/self/comm", env!("CARGO_PKG_NAME"));
    // `io::stdout()` would hold back what does not end with a line feed.
    let output = io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
    let result = output.map_err(HelperError::from).and_then(|mut output| {
        serve(&mut output).inspect_err(|error| {
            // The parent shows it; if that is gone, nobody is left to tell.
            let _ = output.write_all(&failed(&error.to_string()));
        })
    });
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(UNSUPPORTED) }
}

/// Says how things stand, and does what is asked.
fn serve(output: &mut std::fs::File) -> Result<(), HelperError> {
    raise_memory_limit();
    raise_file_limit();
    Greeting::of(Facts::gather().try_bpf(), output.metadata()?.file_type().is_socket()).send(&mut *output)?;
    let asked = request::receive(io::stdin().lock())?;
    match asked {
        Some(Request::Trace(arguments)) => trace(&arguments, output),
        Some(Request::Try) => try_all(output),
        // The parent has ended, or does not like how things stand.
        None => Ok(()),
    }
}

/// Before Linux 5.11, BPF maps count as locked memory, and most users may lock only little.
fn raise_memory_limit() {
    let Rlimit { current: _, maximum } = getrlimit(Resource::Memlock);
    for raised in [None, maximum] {
        if setrlimit(Resource::Memlock, Rlimit { current: raised, maximum: raised }).is_ok() {
            return;
        }
    }
}

/// Each map, program and probe is an open file, and the limit is the user's.
fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let enough = maximum.map(|maximum| maximum.max(FILES));
    for maximum in [enough, maximum] {
        // To raise the hard limit as well is a privilege.
        if current.is_none() || setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
            return;
        }
    }
}

/// Loads and attaches what each kind of run does.
fn try_all(output: &std::fs::File) -> Result<(), HelperError> {
    // The process is this one, which executes nothing more, so nothing is traced.
    let run = |capture, explain, children| ProbeArguments {
        pid: std::process::id(),
        children,
        attach: false,
        members: Vec::new(),
        capture,
        explain,
    };
    let load = |arguments: &ProbeArguments| -> Result<Programs, HelperError> {
        let mut programs = Programs::load(arguments, false, pid_namespace()?)?;
        programs.attach(arguments.explain.is_some())?;
        Ok(programs)
    };
    // Both ways of capture have programs of their own, and so does `--explain`.
    let programs = load(&run(Capture::Auto, Some(0), true))?;
    drop(load(&run(Capture::Syscalls, None, false))?);
    hand_over(output, &programs, &[])
}

/// Sends the ring buffer to the parent.
fn hand_over(output: &std::fs::File, programs: &Programs, unseen: &[String]) -> Result<(), HelperError> {
    let capture = if programs.uses_socket_tracepoints() { "socket" } else { "syscalls" };
    let (ring, size) = programs.records()?;
    Ok(send_ready(output.as_raw_fd(), capture, ring.as_raw_fd(), size, unseen)?)
}

/// The kernel takes its time to verify the programs, during which nobody looks at stdin.
fn end_with_parent() {
    // Under sudo the parent is sudo, and stdin is all there is.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
}

/// Whoever sends a signal to all of the name, or of a control group, means the server and its tracer; the records of its
/// last moments are still to come, and the end of stdin is what ends us.
fn ignore_signals() {
    const OTHERS: [Signal; 14] = [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGIO,
        Signal::SIGPWR,
        Signal::SIGTSTP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
    ];
    for ignored in OTHERS {
        // SAFETY: no handler of ours is installed.
        let _ = unsafe { signal(ignored, SigHandler::SigIgn) };
    }
}

fn trace(arguments: &ProbeArguments, output: &mut std::fs::File) -> Result<(), HelperError> {
    let pid = arguments.pid;
    let process = open_process(pid)?;
    // What starts the others and is not traced itself may be root's. Whose these are, the kernel side checks.
    if !arguments.children {
        check_owner(pid)?;
    }
    for member in &arguments.members {
        check_owner(*member)?;
    }

    let given = if arguments.attach { Listening::default() } else { Listening::passed_on(pid)? };
    let adopts = arguments.attach || !given.is_empty();
    let mut programs = Programs::load(arguments, adopts, pid_namespace()?)?;
    for member in &arguments.members {
        programs.expect(*member)?;
    }
    // The parent builds meanwhile what is to be traced, or looks into it.
    let Some(executables) = request::receive::<Executables>(io::stdin().lock())? else { return Ok(()) };
    let explained = arguments.explain.is_some();
    let runtime = AsyncRuntime::open(executables);
    if let Ok(runtime) = &runtime {
        runtime.tell_variables(&mut programs)?;
    }
    programs.attach(explained)?;
    let mut unseen = Vec::new();
    if explained && !programs.tells_registers() {
        unseen.push("this kernel does not tell where a thread sleeps (Linux 5.15 does), so no places are shown".into());
    }
    if explained && let Err(error) = attach_probes(runtime.as_ref(), &mut programs) {
        unseen.push(format!("tokio's tasks cannot be told apart, as {error}: each thread stands for what it runs"));
    }
    let mut milestones = programs.take_milestones()?;
    let listening = if arguments.attach { Listening::of(pid)? } else { given };
    let Listening { tcp, unix } = &listening;
    for listener in tcp {
        programs.add_listening_port(listener.address.port())?;
    }
    // What others of them serve are no calls that they make.
    for member in &arguments.members {
        // It may have ended since.
        for listener in Listening::of(*member).unwrap_or_default().tcp {
            programs.add_listening_port(listener.address.port())?;
        }
    }
    hand_over(output, &programs, &unseen)?;
    let before = !arguments.attach;
    tell_listeners(output, &listening, before)?;
    if !explained && !arguments.children {
        // Its first calls may be those of many requests at once.
        watch_spawns(runtime.as_ref().ok(), &mut programs);
    }

    // System calls are watched until the process is known, by the first that it makes.
    let mut known = !arguments.attach;
    // A Unix socket needs them to the end.
    let mut on_unix = !unix.is_empty();
    let mut listening_since: Option<Instant> = (!tcp.is_empty() && !on_unix).then(Instant::now);
    // It may yet listen on a Unix socket, and nothing tells when it is done with that.
    let mut settles = if arguments.attach { LISTENING_SETTLES } else { BEGINNING_SETTLES };
    let mut counted = Instant::now();
    let mut calls = false;
    loop {
        let wait = if listening_since.is_some() { TICK } else { COUNT_EVERY };
        let stdin = io::stdin();
        let mut waited_for = [
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(process.as_fd(), PollFlags::POLLIN),
            PollFd::new(milestones.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut waited_for, PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
        let is_ready = |fd: &PollFd| fd.revents().is_some_and(|events| !events.is_empty());
        let (told_to_end, process_ended) = (is_ready(&waited_for[0]), is_ready(&waited_for[1]));

        let Milestones { executed, listening, listening_unix, connects, spawns } = Milestones::take(&mut milestones);
        calls |= connects;
        if connects && !explained {
            watch_spawns(runtime.as_ref().ok(), &mut programs);
        } else if spawns && !explained && !calls {
            // It may go on for as long as it likes, but not at the cost of a trap each.
            programs.detach_task_probes()?;
        }
        known |= executed;
        if executed && !process_ended {
            // Its program may be set-uid.
            match check_owner(pid) {
                // It has ended since.
                Err(HelperError::NoProcess { .. }) => {}
                checked => checked?,
            }
        }
        on_unix |= listening_unix;
        if listening_unix {
            listening_since = None;
            programs.set_system_calls(true)?;
        } else if listening && !on_unix {
            listening_since = Some(Instant::now());
            settles = LISTENING_SETTLES;
        }
        if programs.uses_socket_tracepoints()
            && known
            // Of several processes, one may yet listen on a Unix socket.
            && !arguments.children
            && listening_since.is_some_and(|since| since.elapsed() >= settles)
        {
            listening_since = None;
            programs.set_system_calls(false)?;
        }
        let over = told_to_end || process_ended;
        if over || counted.elapsed() >= COUNT_EVERY {
            counted = Instant::now();
            output.write_all(&lost(&programs))?;
        }
        if over {
            return Ok(());
        }
    }
}

/// A descriptor that can be read once the process has ended.
fn open_process(pid: u32) -> Result<OwnedFd, HelperError> {
    let no_process = |source: io::Error| HelperError::NoProcess { pid, source };
    let process = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .ok_or_else(|| no_process(io::ErrorKind::NotFound.into()))?;
    rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty()).map_err(|errno| no_process(errno.into()))
}

/// Probes the functions at which tasks are spawned. Where that fails, those tasks are not seen, and the calls that they
/// make are counted as nobody's.
fn watch_spawns(runtime: Option<&AsyncRuntime>, programs: &mut Programs) {
    if let Some(runtime) = runtime {
        let _ = runtime.attach_probes(programs);
    }
}

/// Probes the runtime's functions, or says why not.
fn attach_probes(runtime: Result<&AsyncRuntime, &HelperError>, programs: &mut Programs) -> Result<(), String> {
    let runtime = runtime.map_err(ToString::to_string)?;
    runtime.attach_probes(programs).map_err(|error| error.to_string())
}

/// What the parent has found of the async runtime. Without it the rest still works.
struct AsyncRuntime {
    executables: Executables,
    opened: Vec<Executable>,
}

impl AsyncRuntime {
    fn open(executables: Executables) -> Result<Self, HelperError> {
        let open = |path: &PathBuf| {
            Executable::open(path, invoking_uid())
                .map_err(|source| HelperError::Executable { path: path.clone(), source })
        };
        let opened = executables.paths.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { executables, opened })
    }

    /// Tells the programs where threads keep the task at hand.
    fn tell_variables(&self, programs: &mut Programs) -> Result<(), HelperError> {
        for (index, executable) in self.opened.iter().enumerate() {
            let variables = self.executables.task_variables.iter().filter(|variable| variable.executable == index);
            let places: Vec<TaskIdPlace> = variables.map(|variable| variable.place).collect();
            programs.set_task_variables(executable.identity()?, &places)?;
        }
        Ok(())
    }

    /// Probes the functions.
    fn attach_probes(&self, programs: &mut Programs) -> Result<(), HelperError> {
        Ok(programs.attach_task_probes(&self.opened, &self.executables.task_probes)?)
    }
}

/// What the helper must know of the process's life.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Copy, Debug, Default)]
struct Milestones {
    /// The process executed its program.
    executed: bool,
    /// A socket began to listen.
    listening: bool,
    /// A Unix socket did.
    listening_unix: bool,
    /// The process has opened a connection itself, for the first time.
    connects: bool,
    /// It has spawned many tasks.
    spawns: bool,
}

impl Milestones {
    fn take(ring: &mut RingBuf<aya::maps::MapData>) -> Self {
        let mut milestones = Self::default();
        while let Some(record) = ring.next() {
            match Event::decode(&record) {
                Ok(Some((Event::Exec(_), _))) => milestones.executed = true,
                Ok(Some((Event::Listen(listen), _))) => {
                    milestones.listening = true;
                    milestones.listening_unix |= matches!(listen.local, Endpoint::Unix(_));
                }
                Ok(Some((Event::Open(_), _))) => milestones.connects = true,
                Ok(Some((Event::Spawned(_), _))) => milestones.spawns = true,
                _ => {}
            }
        }
        milestones
    }
}

/// Writes the records of sockets that listen already.
fn tell_listeners(output: &mut std::fs::File, listening: &Listening, before: bool) -> io::Result<()> {
    for TcpListener { address, ipv6_only } in &listening.tcp {
        output.write_all(&listens(Endpoint::Tcp(*address), *ipv6_only, before))?;
    }
    for path in &listening.unix {
        output.write_all(&listens(Endpoint::Unix(path.clone()), false, before))?;
    }
    Ok(())
}

/// The record of a socket that listens already.
fn listens(local: Endpoint, ipv6_only: bool, before: bool) -> Vec<u8> {
    Event::Listen(Listen { time_ns: 0, local, process: 0, ipv6_only, before }).to_record()
}

/// The record of what could not be recorded so far.
fn lost(programs: &Programs) -> Vec<u8> {
    let [records, connections, failed_reads, out_of_step] = programs.lost().unwrap_or_default();
    Event::Lost(Lost { records, connections, skipped: programs.skipped(), failed_reads, out_of_step }).to_record()
}

/// Refuses a process that does not belong to the user who asked, or may do more than this user.
fn check_owner(pid: u32) -> Result<(), HelperError> {
    let asker = invoking_uid();
    let status = procfs::process::Process::new(pid as i32)
        .and_then(|process| process.status())
        .map_err(|source| HelperError::NoProcess { pid, source: io::Error::other(source) })?;
    if let Some(owner) = [status.ruid, status.euid, status.suid].into_iter().find(|uid| asker != 0 && *uid != asker) {
        return Err(HelperError::NotYours { pid, owner });
    }
    // As ptrace has it (`__ptrace_may_access`): ssh-agent, say, is set-group-ID so that nobody looks into it.
    if asker != 0 && [status.egid, status.sgid].into_iter().any(|gid| gid != status.rgid) {
        return Err(HelperError::OtherRights { pid, what: "of another group" });
    }
    if status.capprm & !permitted_capabilities() != 0 {
        return Err(HelperError::OtherRights { pid, what: "that its file's capabilities give it" });
    }
    Ok(())
}

/// Device, in the kernel's own encoding, and inode of our PID namespace.
fn pid_namespace() -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata("/proc/self/ns/pid")?;
    let device = metadata.st_dev();
    // The kernel's dev_t has 20 bits for the minor number (include/linux/kdev_t.h).
    let kernel = u64::from(rustix::fs::major(device)) << 20 | u64::from(rustix::fs::minor(device));
    Ok((kernel, metadata.st_ino()))
}

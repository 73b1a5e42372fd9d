//! `cargo-beyla __probe`, or the installed `beyla-probe`: the only part that runs with privilege.
//!
//! It says how things stand, takes a process id and what to see of it, loads and attaches the probes, and hands
//! the ring buffer over. It ends with the traced process, or when its stdin closes, which it does when the parent ends
//! in whatever way; then every probe is gone.

mod async_runtime;
mod own_process;
mod ownership;
mod windows;

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aya::maps::RingBuf;
use cargo_beyla_core::event::{Event, Listen, Lost, Moment};
use cargo_beyla_core::model::connection::Endpoint;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::time::TimeValLike;
use nix::time::ClockId;
use nix::unistd::{Pid, setpgid};

use super::channel::{failed, send_ready};
use super::executable::{Executable, Executables};
use super::greeting::Greeting;
use super::library_probe::{LibraryPoint, LibraryProbes};
use super::programs::{Programs, ProgramsError};
use super::request::{self, ProbeArguments, Request};
use super::requirements::facts::Facts;
use crate::config::capture::Capture;
use crate::config::explain::Explain;
use crate::config::percent::Percent;
use crate::error::UNSUPPORTED;
use crate::launch::descriptors;
use crate::launch::listening::{Listening, TcpListener};
use crate::launch::user::invoking_uid;
use async_runtime::{AsyncRuntime, SpawnProbes};
use ownership::{check_owner, open_process};
use windows::{Change, Windows};

/// Between the latest socket that began to listen and the end of capture by system calls, where TCP
/// does not need it: a server that also listens on a Unix socket does so by then.
const LISTENING_SETTLES: Duration = Duration::from_millis(40);
/// The same from the beginning of a server that is given a socket which listens already.
const BEGINNING_SETTLES: Duration = Duration::from_secs(2);
/// How often the helper looks at the clock while there is nothing to wait for.
const TICK: Duration = Duration::from_millis(20);
/// The same while it decides when probes are in place.
const LOOK_EVERY: Duration = Duration::from_millis(50);
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
    own_process::end_with_parent();
    own_process::ignore_signals();
    descriptors::close_inherited();
    // Sudo that asks for a password runs in the terminal's foreground. An error says that we lead a group already.
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    // Started as /proc/self/exe, it is called `exe`; a name is no more than that.
    let _ = std::fs::write("/proc/self/comm", env!("CARGO_PKG_NAME"));
    // `io::stdout()` would hold back what does not end with a line feed.
    let output = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let result = output.map_err(HelperError::from).and_then(|mut output| {
        serve(&mut output).inspect_err(|error| {
            // The parent shows it; if that is gone, nobody is left to tell.
            let _ = output.write_all(&failed(&error.to_string()));
        })
    });
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(UNSUPPORTED) }
}

/// Says how things stand, and does what is asked.
fn serve(output: &mut File) -> Result<(), HelperError> {
    own_process::raise_limits();
    Greeting::of(Facts::gather().try_bpf(), output.metadata()?.file_type().is_socket()).send(&mut *output)?;
    // Not `io::stdin()`, of which nobody sees whether it has read more than a line.
    let mut requests = BufReader::new(File::from(io::stdin().as_fd().try_clone_to_owned()?));
    match request::receive(&mut requests)? {
        Some(Request::Trace(arguments)) => trace(&arguments, requests, output),
        Some(Request::Try) => try_all(output),
        // The parent has ended, or does not like how things stand.
        None => Ok(()),
    }
}

/// Loads and attaches what each kind of run does.
fn try_all(output: &File) -> Result<(), HelperError> {
    // The process is this one, which executes nothing more, so nothing is traced.
    let run = |capture, explain, children| ProbeArguments {
        pid: std::process::id(),
        children,
        attach: false,
        members: Vec::new(),
        capture,
        explain,
        long_poll_ns: 0,
        overhead_budget: Percent::new(0),
        tls: true,
    };
    let load = |arguments: &ProbeArguments| -> Result<Programs, HelperError> {
        let mut programs = Programs::load(arguments, false, own_process::pid_namespace()?)?;
        programs.attach(arguments.explain.is_wanted())?;
        Ok(programs)
    };
    // Both ways of capture have programs of their own, and so does `--explain`.
    let mut programs = load(&run(Capture::Auto, Explain::Auto, true))?;
    programs.load_library_programs()?;
    programs.load_task_programs()?;
    drop(load(&run(Capture::Syscalls, Explain::Never, false))?);
    hand_over(output, &programs, &[])
}

/// Sends the ring buffer to the parent.
fn hand_over(output: &File, programs: &Programs, unseen: &[String]) -> Result<(), HelperError> {
    let capture = if programs.uses_socket_tracepoints() { "socket" } else { "syscalls" };
    let (ring, size) = programs.records()?;
    Ok(send_ready(output.as_raw_fd(), capture, ring.as_raw_fd(), size, unseen)?)
}

fn trace(arguments: &ProbeArguments, mut requests: BufReader<File>, output: &mut File) -> Result<(), HelperError> {
    let pid = arguments.pid;
    let process = open_process(pid)?;
    // What starts the others and is not traced itself may be root's. Whose these are, the kernel side checks.
    let own = (!arguments.children).then_some(pid);
    own.iter().chain(&arguments.members).try_for_each(|pid| check_owner(*pid))?;

    let given = if arguments.attach { Listening::default() } else { Listening::passed_on(pid)? };
    let adopts = arguments.attach || !given.is_empty();
    let mut programs = Programs::load(arguments, adopts, own_process::pid_namespace()?)?;
    for member in &arguments.members {
        programs.expect(*member)?;
    }
    // The parent builds meanwhile what is to be traced, or looks into it.
    let Some(mut executables) = request::receive::<Executables>(&mut requests)? else { return Ok(()) };
    let library_probes = std::mem::take(&mut executables.library_probes);
    let explained = arguments.explain.is_wanted();
    let runtime = AsyncRuntime::open(executables);
    runtime.tell_variables(&mut programs)?;
    programs.attach(explained)?;
    let (mut windows, unseen) = open_runtime(arguments, &runtime, &mut programs);
    let unread = attach_library_probes(&mut programs, &library_probes);
    let mut milestones = programs.take_milestones()?;
    let listening = if arguments.attach { Listening::of(pid)? } else { given };
    let Listening { tcp, unix } = &listening;
    add_ports(&mut programs, tcp, &arguments.members)?;
    hand_over(output, &programs, &unseen)?;
    let before = !arguments.attach;
    tell_listeners(output, &listening, before)?;
    tell_failures(output, &unread)?;
    if windows.as_ref().is_some_and(Windows::is_open) {
        output.write_all(&told(Change::Opened))?;
    }
    let mut spawns = (!explained).then(|| SpawnProbes::new(&runtime));
    if let Some(spawns) = &mut spawns {
        if see_calls(&library_probes) {
            spawns.expect_calls(&mut programs);
        } else if !arguments.children {
            spawns.attach(&mut programs);
        }
    }

    // System calls are watched until the process is known, by the first that it makes.
    let mut known = !arguments.attach;
    // A Unix socket needs them to the end.
    let mut on_unix = !unix.is_empty();
    let mut listening_since: Option<Instant> = (!tcp.is_empty() && !on_unix).then(Instant::now);
    // It may yet listen on a Unix socket, and nothing tells when it is done with that.
    let mut settles = if arguments.attach { LISTENING_SETTLES } else { BEGINNING_SETTLES };
    let mut counted = Instant::now();
    loop {
        let most = match windows {
            _ if listening_since.is_some() => TICK,
            Some(_) => LOOK_EVERY,
            None => COUNT_EVERY,
        };
        let Awaited { asked, process_ended } = wait(&requests, &process, &milestones, most)?;
        let mut told_to_end = false;
        if asked {
            // What the parent has found in libraries that were mapped since, or the end.
            match request::receive::<Vec<LibraryProbes>>(&mut requests)? {
                Some(found) => {
                    tell_failures(output, &attach_library_probes(&mut programs, &found))?;
                    if let Some(spawns) = spawns.as_mut().filter(|_| see_calls(&found)) {
                        spawns.expect_calls(&mut programs);
                    }
                }
                None => told_to_end = true,
            }
        }

        let Milestones { executed, listening, listening_unix, connects, spawned } = Milestones::take(&mut milestones);
        if let Some(spawns) = &mut spawns {
            spawns.follow(connects, spawned, &mut programs);
        }
        if let Some(change) = windows.as_mut().and_then(|windows| windows.look(&mut programs)) {
            output.write_all(&told(change))?;
        }
        known |= executed;
        if executed && !process_ended {
            check_owner_again(pid)?;
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

/// Attaches the probes on the async runtime, and returns what cannot be seen of it, in sentences.
fn open_runtime<'a>(
    arguments: &ProbeArguments,
    runtime: &'a AsyncRuntime,
    programs: &mut Programs,
) -> (Option<Windows<'a>>, Vec<String>) {
    let mut unseen = Vec::new();
    if arguments.explain.is_wanted() && !programs.tells_registers() {
        unseen.push("this kernel does not tell where a thread sleeps (Linux 5.15 does), so no places are shown".into());
    }
    let mut windows = None;
    match arguments.explain {
        Explain::Auto => {
            let process = (!arguments.children).then_some(arguments.pid);
            windows = Some(Windows::open(runtime, arguments.overhead_budget, process, programs));
        }
        Explain::Always => {
            if let Err(error) = runtime.attach_probes(programs) {
                unseen.push(format!(
                    "tokio's tasks cannot be told apart, as {error}: each thread stands for what it runs"
                ));
            }
        }
        Explain::Never => {}
    }
    (windows, unseen)
}

/// Tells the programs where the process and the members listen: what these serve are no calls that they make.
fn add_ports(programs: &mut Programs, tcp: &[TcpListener], members: &[u32]) -> Result<(), HelperError> {
    // A member may have ended since.
    let of_members = members.iter().flat_map(|member| Listening::of(*member).unwrap_or_default().tcp);
    for port in tcp.iter().map(|listener| listener.address.port()).chain(of_members.map(|one| one.address.port())) {
        programs.add_listening_port(port)?;
    }
    Ok(())
}

/// A process has executed a program, which may be set-uid.
fn check_owner_again(pid: u32) -> Result<(), HelperError> {
    match check_owner(pid) {
        // It has ended since.
        Err(HelperError::NoProcess { .. }) => Ok(()),
        checked => checked,
    }
}

/// What there is to look at.
struct Awaited {
    asked: bool,
    process_ended: bool,
}

/// Waits until the parent asks, the process ends or reaches a milestone, or as long as `most`.
fn wait(
    requests: &BufReader<File>,
    process: &OwnedFd,
    milestones: &RingBuf<aya::maps::MapData>,
    most: Duration,
) -> io::Result<Awaited> {
    // One line may have come with another.
    let asked = !requests.buffer().is_empty();
    let most = if asked { Duration::ZERO } else { most };
    let mut waited_for = [
        PollFd::new(requests.get_ref().as_fd(), PollFlags::POLLIN),
        PollFd::new(process.as_fd(), PollFlags::POLLIN),
        PollFd::new(milestones.as_fd(), PollFlags::POLLIN),
    ];
    match poll(&mut waited_for, PollTimeout::try_from(most).unwrap_or(PollTimeout::ZERO)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(io::Error::from(errno)),
    }
    let is_ready = |fd: &PollFd| fd.revents().is_some_and(|events| !events.is_empty());
    Ok(Awaited { asked: asked || is_ready(&waited_for[0]), process_ended: is_ready(&waited_for[1]) })
}

/// Probes functions of libraries; why it could not, file by file.
fn attach_library_probes(programs: &mut Programs, found: &[LibraryProbes]) -> Vec<String> {
    let failures = found.iter().filter_map(|file| {
        let error = attach_library_probes_of(programs, file).err()?;
        // It was about to end.
        let is_gone = matches!(error, HelperError::NoProcess { .. });
        let purpose = file.probes.first().map_or("", |probe| probe.point.purpose());
        (!is_gone).then(|| format!("{purpose}: {error}"))
    });
    failures.collect()
}

/// Whether calls are seen by these probes.
fn see_calls(probes: &[LibraryProbes]) -> bool {
    probes.iter().flat_map(|file| &file.probes).any(|probe| probe.point == LibraryPoint::SqliteStep)
}

fn attach_library_probes_of(programs: &mut Programs, found: &LibraryProbes) -> Result<(), HelperError> {
    let open = if found.process.is_some() { Executable::open_mapped } else { Executable::open };
    let file = open(&found.path, invoking_uid())
        .map_err(|source| HelperError::Executable { path: found.path.clone(), source })?;
    if let Some(process) = found.process {
        check_owner(process.get())?;
    }
    Ok(programs.attach_library_probes(&file, found)?)
}

/// Writes the records of what failed and ends nothing.
fn tell_failures(output: &mut File, messages: &[String]) -> io::Result<()> {
    messages.iter().try_for_each(|message| output.write_all(&failed(message)))
}

/// The record of what happens to a window.
fn told(change: Change) -> Vec<u8> {
    let time = nix::time::clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| time.num_nanoseconds());
    let now = Moment { time_ns: u64::try_from(time).unwrap_or(0) };
    match change {
        Change::Opened => Event::WindowOpened(now),
        Change::Closed => Event::WindowClosed(now),
    }
    .to_record()
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
    spawned: bool,
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
                Ok(Some((Event::Spawned(_), _))) => milestones.spawned = true,
                _ => {}
            }
        }
        milestones
    }
}

/// Writes the records of sockets that listen already.
fn tell_listeners(output: &mut File, listening: &Listening, before: bool) -> io::Result<()> {
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

//! The kernel programs: which of them a kernel can have, loaded and attached.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf};
use aya::programs::tp_btf::{BtfTracePointLink, BtfTracePointLinkId};
use aya::programs::uprobe::UProbeLinkId;
use aya::programs::{BtfTracePoint, Program, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};
use aya_obj::btf::BtfKind;
use cargo_beyla_events::{NO_TASK_VARIABLE, Settings, TASK_VARIABLES_MAX, UNCERTAIN_WORDS_MAX, Uncertain, explain};
use zerocopy::IntoBytes;

use super::executable::TaskIdPlace;
use super::kernel_layout::{KernelLayout, LayoutError};
use super::request::ProbeArguments;
use crate::config::capture::Capture;
use crate::config::explain::Explain;
use crate::launch::user::{invoking_uid, permitted_capabilities};

#[cfg(target_arch = "x86_64")]
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bytecode/x86_64.o");
#[cfg(target_arch = "aarch64")]
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bytecode/aarch64.o");

/// A program is named as its tracepoint.
const ALWAYS: [&str; 6] = [
    DESTROYED,
    "sched_process_exec",
    "sched_process_fork",
    "sched_process_exit",
    "inet_sock_set_state",
    "io_uring_create",
];
/// Forgets sockets. It is attached first and detached last: the kernel soon reuses the address of a socket, and the other
/// programs would take the next socket there for the same one.
const DESTROYED: &str = "tcp_destroy_sock";
const SYSTEM_CALLS: [&str; 2] = ["sys_enter", "sys_exit"];
const SOCKET: [&str; 3] = ["sock_recv_length", "sock_send_length", "tcp_sendmsg_locked"];
const SCHEDULER: [&str; 2] = ["sched_switch", "sched_wakeup"];
const DATA_READY: &str = "sk_data_ready";
const TCP_PROBE: &str = "tcp_probe";

/// The beginning of the message about a program that the kernel's verifier refuses. That is a fault of this tool, and not
/// of the machine.
pub const VERIFIER_REFUSES: &str = "the kernel's verifier refuses";

/// Why the programs could not be loaded or attached.
#[derive(Debug, thiserror::Error)]
pub enum ProgramsError {
    /// The kernel's types.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Socket tracepoints were asked for.
    #[error("this kernel has no tracepoint {0}, which capture by socket tracepoints needs")]
    NoTracepoint(&'static str),
    /// The object, its maps.
    #[error("could not load the probes: {}", with_causes(.0.as_ref()))]
    Load(Box<dyn std::error::Error + Send + Sync>),
    /// One program.
    #[error("could not load the probe on {name}: {}", with_causes(.source.as_ref()))]
    Program {
        /// The tracepoint.
        name: &'static str,
        /// What the kernel said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The kernel has read a program and takes it for unsafe, which no program of ours is.
    #[error("{VERIFIER_REFUSES} the probe on {name}: {}", with_causes(.source.as_ref()))]
    Verifier {
        /// The tracepoint.
        name: &'static str,
        /// The end of the verifier's log.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ProgramsError {
    /// Of one program.
    pub(super) fn of(name: &'static str, error: ProgramError) -> Self {
        match &error {
            // Whoever else refuses a program leaves the log empty.
            ProgramError::LoadError { verifier_log, .. } if !verifier_log.to_string().trim().is_empty() => {
                Self::Verifier { name, source: error.into() }
            }
            _ => Self::Program { name, source: error.into() },
        }
    }
}

/// The message of an error and of what caused it, the verifier's log cut to its last lines.
fn with_causes(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    // A verifier ends with figures of its own work, and gives its reason just before.
    let figures = ["verification time", "stack depth", "processed"];
    let says = |line: &&str| !line.trim().is_empty() && !figures.iter().any(|figure| line.starts_with(figure));
    let lines: Vec<&str> = message.lines().filter(says).collect();
    match lines.len() {
        0..=4 => lines.join("; "),
        count => format!("{}; ...; {}", lines[0], lines[count - 3..].join("; ")),
    }
}

/// The probes of one program.
pub(super) type Attached = (&'static str, Vec<UProbeLinkId>);

/// The loaded programs. When this is dropped, or its process ends in any way, none is left.
#[derive(Debug)]
pub struct Programs {
    pub(super) ebpf: Ebpf,
    /// The link of [`DESTROYED`]. It stands behind the other ones, since fields are dropped in this order.
    destroyed: Option<BtfTracePointLink>,
    loaded: Vec<&'static str>,
    /// Those of them that are attached from the beginning to the end.
    wanted: Vec<&'static str>,
    system_calls: Option<Vec<(&'static str, BtfTracePointLinkId)>>,
    /// The probes on functions of libraries which are for one process each, the oldest first.
    pub(super) library_probes: VecDeque<(&'static str, UProbeLinkId)>,
    /// The probes on the async runtime that are in place.
    pub(super) task_probes: Vec<Attached>,
    socket: bool,
    registers: bool,
}

impl Programs {
    /// Loads what is asked for and the kernel has, which takes its time; `namespace` is the PID namespace that the
    /// process is numbered in. `adopts`: it may have connections that nobody saw being established.
    pub fn load(arguments: &ProbeArguments, adopts: bool, namespace: (u64, u64)) -> Result<Self, ProgramsError> {
        // Two libraries read the kernel's types, each for what it needs, and one of them twice; each time takes its time.
        let (btf, layout, aya) = std::thread::scope(|scope| {
            let layout = scope.spawn(layout);
            let aya = scope.spawn(EbpfLoader::new);
            (Btf::from_sys_fs(), layout.join(), aya.join())
        });
        let ended_early = || ended_early("reads the kernel's types");
        let layout = layout.unwrap_or_else(|_| Err(ended_early()))?;
        let mut aya = aya.map_err(|_| ended_early())?;
        let btf = btf.map_err(|error| ProgramsError::Load(error.into()))?;
        let has = |name: &str| btf.id_by_type_name_kind(&format!("btf_trace_{name}"), BtfKind::Typedef).is_ok();
        let socket = match arguments.capture {
            Capture::Auto => SOCKET.iter().chain([&DATA_READY]).all(|name| has(name)),
            Capture::Socket => {
                if let Some(missing) = SOCKET.into_iter().chain([DATA_READY]).find(|name| !has(name)) {
                    return Err(ProgramsError::NoTracepoint(missing));
                }
                true
            }
            Capture::Syscalls => false,
        };
        let settings = Settings {
            namespace_device: namespace.0,
            namespace_inode: namespace.1,
            process: arguments.pid,
            itself: (!arguments.children).into(),
            expected: arguments.members.len() as u32,
            user: invoking_uid(),
            capabilities: permitted_capabilities(),
            attached: arguments.attach.into(),
            adopts: adopts.into(),
            explain: match arguments.explain {
                Explain::Never => explain::NEVER,
                Explain::Always => explain::ALWAYS,
                Explain::Auto => explain::AUTO,
            },
            tls: arguments.tls.into(),
            long_poll_ns: arguments.long_poll_ns,
            socket_tracepoints: socket.into(),
            arrivals_by_tcp_probe: (!socket).into(),
            ..layout
        };

        let ebpf = aya
            .btf(Some(&btf))
            .override_global("SETTINGS", settings.as_bytes(), true)
            .load(OBJECT)
            .map_err(|error| ProgramsError::Load(error.into()))?;
        let mut wanted: Vec<&'static str> = ALWAYS.to_vec();
        if has(DATA_READY) {
            wanted.push(DATA_READY);
        }
        wanted.extend::<&[&str]>(if socket { &SOCKET } else { &[TCP_PROBE] });
        if arguments.explain.is_wanted() {
            wanted.extend(SCHEDULER);
        }
        // What takes the verifier longest is begun first.
        let loaded: Vec<&'static str> = SYSTEM_CALLS.iter().chain(&wanted).copied().collect();
        let registers = settings.user_registers != 0;
        let mut programs = Self {
            ebpf,
            destroyed: None,
            loaded,
            wanted,
            system_calls: None,
            library_probes: VecDeque::new(),
            task_probes: Vec::new(),
            socket,
            registers,
        };
        programs.verify(&btf)?;
        Ok(programs)
    }

    /// Attaches them; with the sampler of `--explain` if that is `explained`.
    pub fn attach(&mut self, explained: bool) -> Result<(), ProgramsError> {
        for name in self.wanted.clone() {
            let link = self.attach_one(name)?;
            if name == DESTROYED {
                let link = self.program(name)?.take_link(link).map_err(|error| ProgramsError::of(name, error))?;
                self.destroyed = Some(link);
            }
        }
        self.set_system_calls(true)?;
        if explained {
            self.attach_sampler()?;
        }
        Ok(())
    }

    /// Whether the bytes of TCP come from socket tracepoints. If not, system calls must stay attached.
    pub fn uses_socket_tracepoints(&self) -> bool {
        self.socket
    }

    /// Whether the kernel tells the registers with which a thread has entered it.
    pub fn tells_registers(&self) -> bool {
        self.registers
    }

    /// Attaches or detaches the programs on system calls.
    pub fn set_system_calls(&mut self, attached: bool) -> Result<(), ProgramsError> {
        match (attached, self.system_calls.take()) {
            (true, None) => {
                let mut links = Vec::with_capacity(SYSTEM_CALLS.len());
                for name in SYSTEM_CALLS {
                    links.push((name, self.attach_one(name)?));
                }
                self.system_calls = Some(links);
            }
            (false, Some(links)) => {
                for (name, link) in links {
                    let program = self.program(name)?;
                    program.detach(link).map_err(|error| ProgramsError::of(name, error))?;
                }
            }
            (_, links) => self.system_calls = links,
        }
        Ok(())
    }

    /// Tells the programs of a TCP port on which the process has listened since before they were there.
    pub fn add_listening_port(&mut self, port: u16) -> Result<(), ProgramsError> {
        let map = self.ebpf.map_mut("PORTS").ok_or_else(|| missing("map PORTS"))?;
        let mut ports = Array::<_, u8>::try_from(map).map_err(|error| ProgramsError::Load(error.into()))?;
        ports.set(port.into(), 1, 0).map_err(|error| ProgramsError::Load(error.into()))
    }

    /// Tells the programs of a process that is traced as well and runs already.
    pub fn expect(&mut self, process: u32) -> Result<(), ProgramsError> {
        let map = self.ebpf.map_mut("EXPECTED").ok_or_else(|| missing("map EXPECTED"))?;
        let mut expected = HashMap::<_, u32, u8>::try_from(map).map_err(|error| ProgramsError::Load(error.into()))?;
        expected.insert(process, 1, 0).map_err(|error| ProgramsError::Load(error.into()))
    }

    /// Tells the programs where each thread of a program keeps the id of the task at hand.
    ///
    /// If several versions of tokio keep one and not all places are known, only those that are count. Of places that are
    /// not known the first one is looked for.
    pub fn set_task_variables(&mut self, program: [u64; 2], places: &[TaskIdPlace]) -> Result<(), ProgramsError> {
        let failed = |error: aya::maps::MapError| ProgramsError::Load(error.into());
        let known = places.iter().filter_map(|place| match place {
            TaskIdPlace::At(offset) => Some(*offset),
            TaskIdPlace::Within { .. } => None,
        });
        let mut offsets = [NO_TASK_VARIABLE; TASK_VARIABLES_MAX];
        for (place, offset) in offsets.iter_mut().zip(known) {
            *place = offset;
        }
        if offsets[0] != NO_TASK_VARIABLE {
            let map = self.ebpf.map_mut("TASK_VARIABLES").ok_or_else(|| missing("map TASK_VARIABLES"))?;
            let mut variables = HashMap::<_, [u64; 2], [i64; TASK_VARIABLES_MAX]>::try_from(map).map_err(failed)?;
            return variables.insert(program, offsets, 0).map_err(failed);
        }
        let Some(TaskIdPlace::Within { begin, size }) = places.first() else { return Ok(()) };
        let words = (size / 8).min(u64::from(UNCERTAIN_WORDS_MAX)) as u32;
        let uncertain = Uncertain { begin: *begin, words, ..Uncertain::default() };
        let map = self.ebpf.map_mut("UNCERTAIN").ok_or_else(|| missing("map UNCERTAIN"))?;
        let mut variables = HashMap::<_, [u64; 2], [u8; size_of::<Uncertain>()]>::try_from(map).map_err(failed)?;
        let value: [u8; size_of::<Uncertain>()] = zerocopy::transmute!(uncertain);
        variables.insert(program, value, 0).map_err(failed)
    }

    /// The ring buffer of all records, to be handed over, and its size in bytes.
    pub fn records(&self) -> Result<(BorrowedFd<'_>, u32), ProgramsError> {
        let Some(Map::RingBuf(map)) = self.ebpf.map("RECORDS") else { return Err(missing("map RECORDS")) };
        let size = map.info().map_err(|error| ProgramsError::Load(error.into()))?.max_entries();
        Ok((map.fd().as_fd(), size))
    }

    /// Takes out the ring buffer with what the helper itself must know.
    pub fn take_milestones(&mut self) -> Result<RingBuf<MapData>, ProgramsError> {
        let map = self.ebpf.take_map("MILESTONES").ok_or_else(|| missing("map MILESTONES"))?;
        RingBuf::try_from(map).map_err(|error| ProgramsError::Load(error.into()))
    }

    /// What the programs have counted as lost so far: records, connections for which there was no room, failed reads,
    /// and directions whose frames are not followed any more.
    pub fn lost(&self) -> Option<[u64; 4]> {
        let counts = PerCpuArray::<_, u64>::try_from(self.ebpf.map("LOST")?).ok()?;
        let sum = |index| Some(counts.get(&index, 0).ok()?.iter().sum());
        Some([sum(0)?, sum(1)?, sum(2)?, sum(3)?])
    }

    /// How often probes on functions of the process have trapped so far, and how often the parent lagged behind then.
    pub fn traps(&self) -> Option<[u64; 2]> {
        let counts = PerCpuArray::<_, u64>::try_from(self.ebpf.map("TRAPS")?).ok()?;
        let sum = |index| Some(counts.get(&index, 0).ok()?.iter().sum());
        Some([sum(0)?, sum(1)?])
    }

    /// How often the kernel skipped a program because it was already running on that CPU, so far.
    pub fn skipped(&self) -> u64 {
        self.loaded
            .iter()
            .filter_map(|name| {
                let program: &BtfTracePoint = self.ebpf.program(name)?.try_into().ok()?;
                // Since Linux 5.12; the kernel tells it nowhere else without a raw system call.
                let fd = program.fd().ok()?.as_fd().as_raw_fd();
                let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
                let misses = info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
                misses.trim().parse::<u64>().ok()
            })
            .sum()
    }

    fn program(&mut self, name: &'static str) -> Result<&mut BtfTracePoint, ProgramsError> {
        self.ebpf
            .program_mut(name)
            .ok_or_else(|| missing(name))?
            .try_into()
            .map_err(|error| ProgramsError::of(name, error))
    }

    /// Loads the programs, all at once: what takes time is the kernel's verifier, and it may use every CPU.
    fn verify(&mut self, btf: &Btf) -> Result<(), ProgramsError> {
        let mut programs: Vec<(&str, &mut Program)> = self.ebpf.programs_mut().collect();
        std::thread::scope(|scope| {
            let mut loading = Vec::with_capacity(self.loaded.len());
            for &name in &self.loaded {
                let place = programs.iter().position(|(found, _)| *found == name).ok_or_else(|| missing(name))?;
                let (_, program) = programs.swap_remove(place);
                loading.push(scope.spawn(move || load_one(name, program, btf)));
            }
            let loaded =
                loading.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(ended_early("loads probes"))));
            loaded.collect()
        })
    }

    fn attach_one(&mut self, name: &'static str) -> Result<BtfTracePointLinkId, ProgramsError> {
        self.program(name)?.attach().map_err(|error| ProgramsError::of(name, error))
    }
}

/// Settings with nothing but the layout set.
fn layout() -> Result<Settings, ProgramsError> {
    let mut settings = Settings::default();
    KernelLayout::read()?.fill(&mut settings)?;
    Ok(settings)
}

pub(super) fn ended_early(what: &str) -> ProgramsError {
    ProgramsError::Load(format!("a thread that {what} ended early").into())
}

fn load_one(name: &'static str, program: &mut Program, btf: &Btf) -> Result<(), ProgramsError> {
    let failed = |error| ProgramsError::of(name, error);
    let program: &mut BtfTracePoint = program.try_into().map_err(failed)?;
    program.load(name, btf).map_err(failed)
}

pub(super) fn missing(what: &str) -> ProgramsError {
    ProgramsError::Load(format!("the embedded object has no {what}").into())
}

#[cfg(test)]
mod tests;

//! What `--explain` attaches beside the tracepoints: probes on the async runtime's functions, and the sampler.

use std::path::{Path, PathBuf};

use aya::programs::perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeScope};
use aya::programs::{PerfEvent, Program, UProbe};

use super::executable::Executable;
use super::programs::{Attached, Programs, ProgramsError, ended_early, missing};
use super::task_probe::{ProbePoint, TaskProbe};

/// Ticks a second on each CPU: a prime, so that it does not keep step with what the server does.
const SAMPLES_A_SECOND: u64 = 997;
const SAMPLER: &str = "sample_stack";

impl Programs {
    /// Attaches the sampler to every CPU.
    pub(super) fn attach_sampler(&mut self) -> Result<(), ProgramsError> {
        let failed = |error| ProgramsError::of(SAMPLER, error);
        let program = self.ebpf.program_mut(SAMPLER).ok_or_else(|| missing(SAMPLER))?;
        let sampler: &mut PerfEvent = program.try_into().map_err(failed)?;
        sampler.load().map_err(failed)?;
        let cpus = aya::util::online_cpus().map_err(|(_, error)| failed(error.into()))?;
        for cpu in cpus {
            let clock = PerfEventConfig::Software(SoftwareEvent::CpuClock);
            let every = SamplePolicy::Frequency(SAMPLES_A_SECOND);
            sampler.attach(clock, PerfEventScope::AllProcessesOneCpu { cpu }, every, false).map_err(failed)?;
        }
        Ok(())
    }

    /// Puts probes on functions in executables, for all that execute them, as far as that is not done.
    pub(super) fn attach_task_probes(
        &mut self,
        executables: &[Executable],
        probes: &[TaskProbe],
    ) -> Result<(), ProgramsError> {
        let attached_before: Vec<&str> = self.task_probes.iter().map(|(name, _)| *name).collect();
        let paths: Vec<PathBuf> = executables.iter().map(Executable::path).collect();
        // Attached one after the other they take some tens of milliseconds each.
        let attached: Vec<Result<_, ProgramsError>> = std::thread::scope(|threads| {
            let mut attaching = Vec::new();
            for (name, program) in self.ebpf.programs_mut().filter(|(name, _)| !attached_before.contains(name)) {
                let probes = probes.iter().filter(|probe| probe.point.program() == name);
                let places: Vec<(&Path, u64)> =
                    probes.clone().filter_map(|probe| Some((&**paths.get(probe.executable)?, probe.offset))).collect();
                if let Some(first) = probes.clone().next() {
                    let name = first.point.program();
                    attaching.push(threads.spawn(move || attach_one(name, program, &places)));
                }
            }
            let attached = attaching
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err(ended_early("attaches probes"))));
            attached.collect()
        });
        for links in attached {
            self.task_probes.push(links?);
        }
        Ok(())
    }

    /// Loads their programs, to see whether the kernel takes them.
    pub(super) fn load_task_programs(&mut self) -> Result<(), ProgramsError> {
        ProbePoint::ALL.into_iter().try_for_each(|point| {
            let name = point.program();
            let program = self.ebpf.program_mut(name).ok_or_else(|| missing(name))?;
            attach_one(name, program, &[]).map(drop)
        })
    }

    /// Takes them out.
    pub(super) fn detach_task_probes(&mut self) -> Result<(), ProgramsError> {
        self.detach_those(|_| true)
    }

    /// Takes out all that are hit more often than once a task.
    pub(super) fn detach_poll_probes(&mut self) -> Result<(), ProgramsError> {
        self.detach_those(|name| !ProbePoint::SPAWNING.iter().any(|point| point.program() == name))
    }

    fn detach_those(&mut self, which: impl Fn(&str) -> bool) -> Result<(), ProgramsError> {
        let (out, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.task_probes).into_iter().partition(|(name, _)| which(name));
        self.task_probes = stay;
        for (name, links) in out {
            let failed = |error| ProgramsError::of(name, error);
            let program = self.ebpf.program_mut(name).ok_or_else(|| missing(name))?;
            let program: &mut UProbe = program.try_into().map_err(failed)?;
            for link in links {
                program.detach(link).map_err(failed)?;
            }
        }
        Ok(())
    }
}

impl Programs {
    /// Does something while there is a probe at a place in the file of this process.
    pub(super) fn with_probe_on_own<T>(&mut self, offset: u64, act: impl FnOnce() -> T) -> Result<T, ProgramsError> {
        // One that does next to nothing.
        let name = ProbePoint::Deferred.program();
        let failed = |error| ProgramsError::of(name, error);
        let program = self.ebpf.program_mut(name).ok_or_else(|| missing(name))?;
        let (_, links) = attach_one(name, program, &[(Path::new("/proc/self/exe"), offset)])?;
        let result = act();
        let program: &mut UProbe = program.try_into().map_err(failed)?;
        links.into_iter().try_for_each(|link| program.detach(link)).map_err(failed)?;
        Ok(result)
    }
}

fn attach_one(name: &'static str, program: &mut Program, places: &[(&Path, u64)]) -> Result<Attached, ProgramsError> {
    let failed = |error| ProgramsError::of(name, error);
    let program: &mut UProbe = program.try_into().map_err(failed)?;
    if program.fd().is_err() {
        program.load().map_err(failed)?;
    }
    let attach = |&(path, offset): &(&Path, u64)| {
        program.attach(UProbeAttachLocation::AbsoluteOffset(offset), path, UProbeScope::AllProcesses)
    };
    let links = places.iter().map(attach).collect::<Result<_, _>>().map_err(failed)?;
    Ok((name, links))
}

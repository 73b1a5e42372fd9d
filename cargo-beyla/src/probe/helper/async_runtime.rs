//! What the parent has found of the async runtime, and the probes on its functions.

use std::path::PathBuf;

use super::HelperError;
use crate::launch::user::invoking_uid;
use crate::probe::executable::{Executable, Executables, TaskIdPlace};
use crate::probe::programs::Programs;
use crate::probe::task_probe::{ProbePoint, TaskProbe};

/// Without it the rest still works.
pub(super) struct AsyncRuntime {
    executables: Executables,
    opened: Result<Vec<Executable>, HelperError>,
}

impl AsyncRuntime {
    pub(super) fn open(executables: Executables) -> Self {
        let open = |path: &PathBuf| {
            Executable::open(path, invoking_uid())
                .map_err(|source| HelperError::Executable { path: path.clone(), source })
        };
        let opened = executables.paths.iter().map(open).collect();
        Self { executables, opened }
    }

    /// Tells the programs where threads keep the task at hand.
    pub(super) fn tell_variables(&self, programs: &mut Programs) -> Result<(), HelperError> {
        for (index, executable) in self.opened.iter().flatten().enumerate() {
            let variables = self.executables.task_variables.iter().filter(|variable| variable.executable == index);
            let places: Vec<TaskIdPlace> = variables.map(|variable| variable.place).collect();
            programs.set_task_variables(executable.identity()?, &places)?;
        }
        Ok(())
    }

    /// Probes the functions, or says why not.
    pub(super) fn attach_probes(&self, programs: &mut Programs) -> Result<(), String> {
        let opened = self.opened.as_ref().map_err(ToString::to_string)?;
        programs.attach_task_probes(opened, &self.executables.task_probes).map_err(|error| error.to_string())
    }

    /// Probes the functions at which tasks are spawned, or says why not.
    pub(super) fn attach_spawn_probes(&self, programs: &mut Programs) -> Result<(), String> {
        let opened = self.opened.as_ref().map_err(ToString::to_string)?;
        let probes = self.executables.task_probes.iter().filter(|probe| ProbePoint::SPAWNING.contains(&probe.point));
        let probes: Vec<TaskProbe> = probes.copied().collect();
        programs.attach_task_probes(opened, &probes).map_err(|error| error.to_string())
    }
}

/// The probes on the functions at which tasks are spawned, where no others of the runtime are wanted.
pub(super) struct SpawnProbes<'a> {
    runtime: &'a AsyncRuntime,
    /// Whether the process has made a call.
    calls: bool,
}

impl<'a> SpawnProbes<'a> {
    pub(super) fn new(runtime: &'a AsyncRuntime) -> Self {
        Self { runtime, calls: false }
    }

    /// The process has a library in which calls are seen.
    pub(super) fn expect_calls(&mut self, programs: &mut Programs) {
        self.calls = true;
        self.attach(programs);
    }

    /// Attaches them: before the first call, as the first calls may be those of many requests at once. Where that fails,
    /// the calls of spawned tasks are of no request, and the report says how many calls are.
    pub(super) fn attach(&self, programs: &mut Programs) {
        let _ = self.runtime.attach_probes(programs);
    }

    /// The process has made its first call, or has spawned many tasks.
    pub(super) fn follow(&mut self, connects: bool, spawned: bool, programs: &mut Programs) {
        self.calls |= connects;
        if connects {
            self.attach(programs);
        } else if spawned && !self.calls {
            // Without calls there is nothing to learn, and each spawn costs a trap. If the probes cannot be detached, spawns
            // go on to cost that, and nothing else is lost.
            let _ = programs.detach_task_probes();
        }
    }
}

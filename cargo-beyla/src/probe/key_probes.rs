//! The probes on functions that set up keys for TLS, attached where the parent has found them.

use std::path::Path;

use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeScope};

use super::executable::Executable;
use super::key_probe::{KeyPoint, KeyProbe, KeyProbes};
use super::programs::{Programs, ProgramsError, missing};

/// The most places of a file that are probed: it has a handful.
const PROBES_MAX: usize = 64;
/// The most probes that are for one process each.
const PROCESS_PROBES_MAX: usize = 1024;

impl Programs {
    /// Probes a file: in one process, if `found` names one, else in all that execute it.
    pub(super) fn attach_key_probes(&mut self, file: &Executable, found: &KeyProbes) -> Result<(), ProgramsError> {
        let scope = found.process.map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
        for point in KeyPoint::ALL {
            let places = found.probes.iter().take(PROBES_MAX).filter(|probe| probe.point == point);
            let mut places = places.map(|KeyProbe { offset, .. }| *offset).peekable();
            if places.peek().is_some() {
                self.attach_key_program(point.program(), &file.path(), scope, places)?;
            }
        }
        Ok(())
    }

    /// Loads their programs, to see whether the kernel takes them.
    pub(super) fn load_key_programs(&mut self) -> Result<(), ProgramsError> {
        KeyPoint::ALL.into_iter().try_for_each(|point| self.key_program(point.program()).map(drop))
    }

    fn attach_key_program(
        &mut self,
        name: &'static str,
        path: &Path,
        scope: UProbeScope,
        places: impl Iterator<Item = u64>,
    ) -> Result<(), ProgramsError> {
        for offset in places {
            let place = UProbeAttachLocation::AbsoluteOffset(offset);
            let link =
                self.key_program(name)?.attach(place, path, scope).map_err(|error| ProgramsError::of(name, error))?;
            if matches!(scope, UProbeScope::OneProcess(_)) {
                self.key_probes.push_back((name, link));
            }
        }
        self.detach_oldest()
    }

    /// Of processes that have ended, probes are left: each is an open file.
    fn detach_oldest(&mut self) -> Result<(), ProgramsError> {
        while self.key_probes.len() > PROCESS_PROBES_MAX {
            let Some((name, link)) = self.key_probes.pop_front() else { break };
            self.key_program(name)?.detach(link).map_err(|error| ProgramsError::of(name, error))?;
        }
        Ok(())
    }

    /// A program, loaded when it is needed first.
    fn key_program(&mut self, name: &'static str) -> Result<&mut UProbe, ProgramsError> {
        let program = self.ebpf.program_mut(name).ok_or_else(|| missing(name))?;
        let program: &mut UProbe = program.try_into().map_err(|error| ProgramsError::of(name, error))?;
        if program.fd().is_err() {
            program.load().map_err(|error| ProgramsError::of(name, error))?;
        }
        Ok(program)
    }
}

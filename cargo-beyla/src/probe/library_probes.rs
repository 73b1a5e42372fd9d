//! The probes on functions of libraries, attached where the parent has found them.

use std::path::Path;

use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeScope};

use super::executable::Executable;
use super::library_probe::{LibraryPoint, LibraryProbe, LibraryProbes};
use super::programs::{Programs, ProgramsError, missing};

/// The most places of a file that are probed: a handful, and the calls of one function.
const PROBES_MAX: usize = 128;
/// The most probes that are for one process each.
const PROCESS_PROBES_MAX: usize = 1024;

impl Programs {
    /// Probes a file: in one process, if `found` names one, else in all that execute it.
    pub(super) fn attach_library_probes(
        &mut self,
        file: &Executable,
        found: &LibraryProbes,
    ) -> Result<(), ProgramsError> {
        let scope = found.process.map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
        for point in LibraryPoint::ALL {
            let places = found.probes.iter().take(PROBES_MAX).filter(|probe| probe.point == point);
            let mut places = places.map(|LibraryProbe { offset, .. }| *offset).peekable();
            if places.peek().is_some() {
                self.attach_library_program(point.program(), &file.path(), scope, places)?;
            }
        }
        Ok(())
    }

    /// Loads their programs, to see whether the kernel takes them.
    pub(super) fn load_library_programs(&mut self) -> Result<(), ProgramsError> {
        LibraryPoint::ALL.into_iter().try_for_each(|point| self.library_program(point.program()).map(drop))
    }

    fn attach_library_program(
        &mut self,
        name: &'static str,
        path: &Path,
        scope: UProbeScope,
        places: impl Iterator<Item = u64>,
    ) -> Result<(), ProgramsError> {
        for offset in places {
            let place = UProbeAttachLocation::AbsoluteOffset(offset);
            let link = self
                .library_program(name)?
                .attach(place, path, scope)
                .map_err(|error| ProgramsError::of(name, error))?;
            if matches!(scope, UProbeScope::OneProcess(_)) {
                self.library_probes.push_back((name, link));
            }
        }
        self.detach_oldest()
    }

    /// Of processes that have ended, probes are left: each is an open file.
    fn detach_oldest(&mut self) -> Result<(), ProgramsError> {
        while self.library_probes.len() > PROCESS_PROBES_MAX {
            let Some((name, link)) = self.library_probes.pop_front() else { break };
            self.library_program(name)?.detach(link).map_err(|error| ProgramsError::of(name, error))?;
        }
        Ok(())
    }

    /// A program, loaded when it is needed first.
    fn library_program(&mut self, name: &'static str) -> Result<&mut UProbe, ProgramsError> {
        let program = self.ebpf.program_mut(name).ok_or_else(|| missing(name))?;
        let program: &mut UProbe = program.try_into().map_err(|error| ProgramsError::of(name, error))?;
        if program.fd().is_err() {
            program.load().map_err(|error| ProgramsError::of(name, error))?;
        }
        Ok(program)
    }
}

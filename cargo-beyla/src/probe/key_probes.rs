//! The probes on functions that set up keys for TLS, attached where the parent has found them.

use std::path::Path;

use aya::programs::uprobe::{UProbeAttachLocation, UProbeScope};
use aya::programs::{ProgramError, UProbe};

use super::executable::Executable;
use super::key_probe::{KeyPoint, KeyProbe, KeyProbes};
use super::programs::{Programs, ProgramsError, missing};

/// The most places of a file that are probed: it has a handful.
const PROBES_MAX: usize = 64;

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

    fn attach_key_program(
        &mut self,
        name: &'static str,
        path: &Path,
        scope: UProbeScope,
        places: impl Iterator<Item = u64>,
    ) -> Result<(), ProgramsError> {
        let failed = |source: ProgramError| ProgramsError::Program { name, source: source.into() };
        let program: &mut UProbe =
            self.ebpf.program_mut(name).ok_or_else(|| missing(name))?.try_into().map_err(failed)?;
        if program.fd().is_err() {
            program.load().map_err(failed)?;
        }
        for offset in places {
            program.attach(UProbeAttachLocation::AbsoluteOffset(offset), path, scope).map_err(failed)?;
        }
        Ok(())
    }
}

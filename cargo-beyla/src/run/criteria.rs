//! The criteria of a run: budgets, and the baseline that it is compared with; and the baseline that it becomes itself.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use crate::baseline::name::Name;
use crate::baseline::store::{Saved, Store};
use crate::config::settings::Settings;
use crate::config::source::{Setting, Source};
use crate::console::status::Status;
use crate::error::Error;
use crate::launch::user::InvokingUser;
use crate::report::run_info::RunInfo;
use crate::report::units::counted;
use crate::report::verdicts::Verdicts;
use cargo_beyla_core::analysis::baseline::compare::compare;
use cargo_beyla_core::analysis::baseline::samples::{Collector, Samples};
use cargo_beyla_core::analysis::budget::definition::Budget;
use cargo_beyla_core::analysis::budget::judge::judge;
use cargo_beyla_core::model::summary::Summary;

/// What a run is judged by. All of it is read and checked before anything is built.
#[derive(Debug, Default)]
pub(crate) struct Criteria {
    /// The budgets of files. Where only a part of the tests runs, they may be about the others.
    configured: Vec<Budget>,
    /// The budgets of flags.
    typed: Vec<Budget>,
    baseline: Option<Saved>,
    save: Option<(Store, Name)>,
}

impl Criteria {
    /// The budgets of the settings alone.
    pub(crate) fn of_settings(settings: &Settings) -> Self {
        let (typed, configured): (Vec<_>, Vec<_>) =
            settings.budgets.iter().partition(|budget| matches!(budget.source, Source::Flag(_)));
        let values = |budgets: Vec<&Setting<Budget>>| budgets.into_iter().map(|budget| budget.value.clone()).collect();
        Self { configured: values(configured), typed: values(typed), ..Self::default() }
    }

    /// The budgets of the settings, and baselines by their names in the workspace with this target directory: the one
    /// that the run becomes, and the one that it is compared with.
    pub(crate) fn new(
        settings: &Settings,
        save_baseline: Option<&str>,
        baseline: Option<&str>,
        target_directory: &Path,
    ) -> Result<Self, Error> {
        let store = Store::within(target_directory);
        let name = |flag, name: Option<&str>| name.map(|name| Name::new(flag, name)).transpose();
        let (save, baseline) = (name("--save-baseline", save_baseline)?, name("--baseline", baseline)?);
        let baseline = baseline.map(|name| store.load(&name)).transpose()?;
        if let Some(name) = &save {
            store.check(name)?;
        }
        let save = save.map(|name| (store, name));
        Ok(Self { baseline, save, ..Self::of_settings(settings) })
    }

    /// A collector of samples, if a baseline needs them.
    pub(crate) fn collector(&self) -> Option<Collector> {
        (self.baseline.is_some() || self.save.is_some()).then(Collector::default)
    }

    /// Judges a run. If it was `partial`, budgets of files may match nothing. The samples are for [`Self::save`].
    pub(crate) fn judge(
        &self,
        summary: &Summary,
        collector: Option<Collector>,
        partial: bool,
        status: Status,
    ) -> (Verdicts, Samples) {
        let collector = collector.unwrap_or_default();
        if collector.left_out() > 0 {
            let requests = counted(collector.left_out(), "request");
            status.warn(format_args!("the samples are without {requests}, for which there was no room"));
        }
        let samples = collector.finish(&summary.tests);
        let mut budgets = judge(&self.configured, summary, partial);
        budgets.extend(judge(&self.typed, summary, false));
        let comparison = self.baseline.as_ref().map(|Saved { name, saved_unix_ns, samples: before }| {
            compare(before, &samples, name.as_str(), *saved_unix_ns)
        });
        (Verdicts { budgets, comparison }, samples)
    }

    /// Says why the samples are not kept, if they were to be.
    pub(crate) fn warn_unsaved(&self, why: &str, status: Status) {
        if let Some((_, name)) = &self.save {
            status.warn(format_args!("the baseline `{}` is left as it was: {why}", name.as_str()));
        }
    }

    /// Keeps the samples as a baseline, if that was asked for. The files become those of `user`.
    pub(crate) fn save(
        &self,
        samples: &Samples,
        run: &RunInfo,
        user: Option<&InvokingUser>,
        status: Status,
    ) -> Result<(), Error> {
        let Some((store, name)) = &self.save else { return Ok(()) };
        let mut made: Vec<PathBuf> = store.prepare()?;
        let path = store.save(name, samples, run.started_unix_ns)?;
        status.say("Saved", format_args!("the baseline `{name}` in {}", path.display()));
        made.push(path);
        if let Some((uid, gid)) = user.map(InvokingUser::owner) {
            for path in made {
                // If that fails, the file stays root's, which the user will see.
                let _ = chown(path, Some(uid), Some(gid));
            }
        }
        Ok(())
    }
}

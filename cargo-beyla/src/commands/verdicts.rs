//! What a run is held against: budgets, and a baseline; and the baseline that it becomes itself.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use super::status::{Status, write};
use crate::baseline::name::Name;
use crate::baseline::store::{Saved, Store};
use crate::cli::test::VerdictOptions;
use crate::config::settings::Settings;
use crate::config::source::{Setting, Source};
use crate::error::Error;
use crate::launch::user::InvokingUser;
use crate::report::annotations::annotations;
use crate::report::run_info::RunInfo;
use crate::report::units::counted;
use crate::report::verdicts::Verdicts;
use cargo_beyla_core::analysis::baseline::compare::compare;
use cargo_beyla_core::analysis::baseline::samples::{Collector, Samples};
use cargo_beyla_core::analysis::budget::definition::Budget;
use cargo_beyla_core::analysis::budget::judge::judge;
use cargo_beyla_core::model::summary::Summary;

/// What a run is held against, all of it read and found good before anything is built.
#[derive(Debug, Default)]
pub(super) struct Demands {
    /// Those of files: where only a part is run, they may be about the rest.
    configured: Vec<Budget>,
    /// Those of flags.
    typed: Vec<Budget>,
    baseline: Option<Saved>,
    save: Option<(Store, Name)>,
}

impl Demands {
    /// The budgets of the settings alone.
    pub(super) fn of_settings(settings: &Settings) -> Self {
        let (typed, configured): (Vec<_>, Vec<_>) =
            settings.budgets.iter().partition(|budget| matches!(budget.source, Source::Flag(_)));
        let values = |budgets: Vec<&Setting<Budget>>| budgets.into_iter().map(|budget| budget.value.clone()).collect();
        Self { configured: values(configured), typed: values(typed), ..Self::default() }
    }

    /// The budgets of the settings, and the baselines of the flags in the workspace with this target directory.
    pub(super) fn new(settings: &Settings, options: &VerdictOptions, target_directory: &Path) -> Result<Self, Error> {
        let store = Store::within(target_directory);
        let VerdictOptions { budgets: _, save_baseline, baseline } = options;
        let name = |flag, name: &Option<String>| name.as_ref().map(|name| Name::new(flag, name)).transpose();
        let (save, baseline) = (name("--save-baseline", save_baseline)?, name("--baseline", baseline)?);
        let baseline = baseline.map(|name| store.load(&name)).transpose()?;
        let save = save.map(|name| (store, name));
        Ok(Self { baseline, save, ..Self::of_settings(settings) })
    }

    /// What takes the requests, if they are wanted one by one.
    pub(super) fn collector(&self) -> Option<Collector> {
        (self.baseline.is_some() || self.save.is_some()).then(Collector::default)
    }

    /// Judges the run; of one that was `partial`, budgets may match nothing. Its samples are returned for
    /// [`Self::save`].
    pub(super) fn judge(
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

    /// Says why they are not kept, if they were to be.
    pub(super) fn warn_unsaved(&self, why: &str, status: Status) {
        if let Some((_, name)) = &self.save {
            status.warn(format_args!("the baseline `{}` is left as it was: {why}", name.as_str()));
        }
    }

    /// Keeps the samples where they are to be kept, for `user` if that is another.
    pub(super) fn save(
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
                // Then it stays root's, which the user will see.
                let _ = chown(path, Some(uid), Some(gid));
            }
        }
        Ok(())
    }
}

/// Tells GitHub Actions what went wrong, where that is what runs us.
pub(super) fn annotate(summary: &Summary, verdicts: &Verdicts) {
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        write(annotations(summary, verdicts));
    }
}

//! What the user wants of a run.

use super::criteria::Criteria;
use super::outputs::Outputs;
use crate::config::attributes::AttributeFilter;
use crate::config::capture::Capture;
use crate::config::environment::Environment;
use crate::config::flags::Flags;
use crate::config::layers::Manifests;
use crate::config::settings::Settings;
use crate::config::source::Setting;
use crate::console::status::Status;
use crate::error::Error;
use crate::export::checked::Checked;
use crate::export::filter::unknown;
use crate::export::settings::ExportSettings;
use crate::launch::user::InvokingUser;

/// What the user wants of a run.
#[derive(Clone, Copy)]
pub(crate) struct RunOptions<'a> {
    pub(crate) settings: &'a Settings,
    /// What the run is judged by.
    pub(crate) criteria: &'a Criteria,
    pub(crate) outputs: &'a Outputs,
    /// The user who typed sudo: the files become theirs.
    pub(crate) user: Option<&'a InvokingUser>,
    pub(crate) capture: Capture,
    /// How much is said.
    pub(crate) status: Status,
}

impl RunOptions<'_> {
    /// Finds what is wrong with the settings before the run; returns what is exported.
    pub(crate) fn check(&self) -> Result<Option<Checked>, Error> {
        if let Some(Setting { value, source }) = &self.settings.filters {
            for AttributeFilter { attribute, .. } in unknown(value) {
                let attribute = attribute.escape_debug();
                self.status.warn(format_args!("{source}: requests have no attribute `{attribute}` to filter by"));
            }
        }
        self.settings.trace()?;
        Checked::new(&ExportSettings::of(self.settings)?)
    }
}

/// Loads the settings, and warns of what has no effect. The status says as much from then on as they want.
pub(crate) fn load_settings(
    flags: &Flags,
    manifests: Option<&Manifests>,
    status: Status,
) -> Result<(Settings, Status), Error> {
    let settings = Settings::load(flags, &Environment::of_process(), manifests)?;
    let status = Status { level: settings.log_level.value, ..status };
    for warning in &settings.warnings {
        status.warn(warning);
    }
    Ok((settings, status))
}

//! What becomes of the settings that say where to export to.

use super::status::Status;
use crate::config::settings::Settings;
use crate::config::source::Source;
use crate::config::values::TracePrinter;
use crate::error::Error;

/// Refuses what is asked for and not done: here the exporters are to be started. A variable of the environment may be meant for the server: of that
/// it is only said that it has no effect.
pub(super) fn check(settings: &Settings, status: Status) -> Result<(), Error> {
    let wanted = [
        (settings.traces.as_ref().map(|traces| &traces.otlp.endpoint.source), "traces"),
        (settings.metrics.as_ref().map(|metrics| &metrics.otlp.endpoint.source), "metrics"),
        (settings.prometheus.as_ref().map(|prometheus| &prometheus.address.source), "metrics"),
    ];
    for (source, what) in wanted {
        match source {
            None => {}
            Some(source @ Source::Variable(_)) => {
                status.warn(format_args!("{source} has no effect: this version does not export {what}"));
            }
            Some(source) => return Err(Error::NoExporter { source_of: source.to_string(), what }),
        }
    }
    let printer = &settings.trace_printer;
    if printer.value != TracePrinter::Disabled {
        status.warn(format_args!(
            "{}: trace_printer has no effect: this version does not print requests",
            printer.source
        ));
    }
    Ok(())
}

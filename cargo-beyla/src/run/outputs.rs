//! The files and streams that a run writes its reports to.

use std::io::{self, Write};
use std::path::Path;

use super::output_file::OutputFile;
use crate::config::settings::Settings;
use crate::config::show::show;
use crate::console::status::{Status, write};
use crate::console::stream::Stream;
use crate::error::Error;
use crate::launch::suspended::Stdout;
use crate::launch::user::InvokingUser;
use crate::report::annotations::annotations;
use crate::report::run_report::RunReport;
use crate::report::terminal::{self, TerminalOptions};
use crate::report::{json, junit};

/// The flags that say where reports go; `-` is stdout.
#[derive(Clone, Copy, Default)]
pub(crate) struct OutputPaths<'a> {
    pub(crate) json: Option<&'a Path>,
    pub(crate) junit: Option<&'a Path>,
    pub(crate) record: Option<&'a Path>,
}

/// Where reports go.
#[derive(Default)]
pub(crate) struct Outputs {
    pub(crate) json: Option<OutputFile>,
    pub(crate) junit: Option<OutputFile>,
    pub(crate) record: Option<OutputFile>,
}

impl Outputs {
    /// Opens them, or fails now rather than after the run if one of them cannot be written, or two are the same.
    pub(crate) fn open(paths: OutputPaths<'_>, status: Status) -> Result<Self, Error> {
        let OutputPaths { json, junit, record } = paths;
        let open = |path: Option<&Path>| path.map(|path| OutputFile::open(path, status)).transpose();
        let mut outputs = Self { json: open(json)?, junit: open(junit)?, record: open(record)? };
        let all: Vec<_> = outputs.all().collect();
        for (place, (flag, file)) in all.iter().enumerate() {
            if let Some((other, _)) = all[..place].iter().find(|(_, other)| other.is_same(file)) {
                return Err(Error::SameOutput { flags: [*other, *flag], path: file.name().to_owned() });
            }
        }
        let Self { json, junit, record } = &mut outputs;
        [json, junit, record].into_iter().flatten().for_each(OutputFile::settle);
        Ok(outputs)
    }

    /// Where the output goes of what we start.
    pub(crate) fn stdout(&self) -> Stdout {
        let is_taken = self.all().any(|(_, file)| file.is_stdout());
        if is_taken { Stdout::ToStderr } else { Stdout::Inherited }
    }

    /// Prints the report on stderr, and writes each other one that is wanted; all failures, if some could not be
    /// written.
    pub(crate) fn show(&self, report: &RunReport, settings: &Settings, status: Status) -> Vec<Error> {
        let text = format!("\n{}", terminal::render(report, &terminal_options(settings, status)));
        let shown = Stream::Stderr.write_all(text.as_bytes());
        let shown = shown.map_err(|source| Error::System { what: "writing the report to stderr", source });
        // Whoever does not read the one report may read the others.
        let json = self.json.as_ref().map_or(Ok(()), |file| file.write(|writer| json::write(report, writer)));
        let junit = self.junit.as_ref().map_or(Ok(()), |file| file.write(|writer| junit::write(report, writer)));
        [json, shown, junit].into_iter().filter_map(Result::err).collect()
    }

    /// Gives the files to the user who typed sudo.
    pub(crate) fn hand_over(&self, user: Option<&InvokingUser>) {
        if let Some(owner) = user.map(InvokingUser::owner) {
            self.all().for_each(|(_, file)| file.hand_over(owner));
        }
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &OutputFile)> {
        let flags = [("--json", &self.json), ("--junit", &self.junit), ("--record", &self.record)];
        flags.into_iter().filter_map(|(flag, file)| Some((flag, file.as_ref()?)))
    }
}

/// How the terminal shows a report.
pub(crate) fn terminal_options(settings: &Settings, status: Status) -> TerminalOptions {
    let width = terminal_size::terminal_size_of(Stream::Stderr).map(|(width, _)| usize::from(width.0));
    TerminalOptions { slowest: settings.slowest.value, color: status.color, width }
}

/// Fails with the first of these, and says the others.
pub(crate) fn first_of(failures: Vec<Error>, status: Status) -> Result<(), Error> {
    let mut failures = failures.into_iter();
    let first = failures.next();
    failures.for_each(|other| status.fail(&other));
    first.map_or(Ok(()), Err)
}

/// Annotates what went wrong, if GitHub Actions runs us.
pub(crate) fn annotate(report: &RunReport) {
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        write(annotations(report));
    }
}

/// Prints the settings, and nothing else on stdout.
pub(crate) fn print_settings(settings: &Settings) -> Result<(), Error> {
    match Stream::Stdout.write_all(show(settings).as_bytes()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|source| Error::System { what: "writing to stdout", source }),
    }
}

//! The files and streams that a run writes its reports to.

use std::io::{self, Write};
use std::path::Path;

use super::output_file::OutputFile;
use crate::cli::options::ReportOptions;
use crate::config::settings::Settings;
use crate::config::show::show;
use crate::console::status::{Status, write};
use crate::console::stream::Stream;
use crate::error::Error;
use crate::launch::browser;
use crate::launch::suspended::Stdout;
use crate::launch::user::InvokingUser;
use crate::report::annotations::annotations;
use crate::report::run_report::RunReport;
use crate::report::terminal::{self, TerminalOptions};
use crate::report::{json, junit, page};

/// The flags that say where reports go; `-` is stdout.
#[derive(Clone, Copy, Default)]
pub(crate) struct OutputPaths<'a> {
    pub(crate) json: Option<&'a Path>,
    pub(crate) html: Option<&'a Path>,
    pub(crate) junit: Option<&'a Path>,
    pub(crate) record: Option<&'a Path>,
    /// Whether the page is to be opened.
    pub(crate) open: bool,
}

impl<'a> OutputPaths<'a> {
    /// Those of the flags that all subcommands have which report.
    pub(crate) fn of(flags: &'a ReportOptions) -> Self {
        Self { json: flags.json.as_deref(), html: flags.html.as_deref(), open: flags.open, ..Self::default() }
    }
}

/// Where reports go.
#[derive(Default)]
pub(crate) struct Outputs {
    pub(crate) json: Option<OutputFile>,
    pub(crate) html: Option<OutputFile>,
    pub(crate) junit: Option<OutputFile>,
    pub(crate) record: Option<OutputFile>,
    open: bool,
}

impl Outputs {
    /// Opens them, or fails now rather than after the run if one of them cannot be written, or two are the same.
    pub(crate) fn open(paths: OutputPaths<'_>, status: Status) -> Result<Self, Error> {
        let OutputPaths { json, html, junit, record, open: is_opened } = paths;
        let open = |path: Option<&Path>| path.map(|path| OutputFile::open(path, status)).transpose();
        let mut outputs =
            Self { json: open(json)?, html: open(html)?, junit: open(junit)?, record: open(record)?, open: is_opened };
        let all: Vec<_> = outputs.all().collect();
        for (place, (flag, file)) in all.iter().enumerate() {
            if let Some((other, _)) = all[..place].iter().find(|(_, other)| other.is_same(file)) {
                return Err(Error::SameOutput { flags: [*other, *flag], path: file.name().to_owned() });
            }
        }
        let Self { json, html, junit, record, open: _ } = &mut outputs;
        [json, html, junit, record].into_iter().flatten().for_each(OutputFile::settle);
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
        let html = self.html.as_ref().map_or(Ok(()), |file| file.write(|writer| page::write(report, writer)));
        let junit = self.junit.as_ref().map_or(Ok(()), |file| file.write(|writer| junit::write(report, writer)));
        [json, shown, html, junit].into_iter().filter_map(Result::err).collect()
    }

    /// Gives the files to the user who typed sudo.
    pub(crate) fn hand_over(&self, user: Option<&InvokingUser>) {
        if let Some(owner) = user.map(InvokingUser::owner) {
            self.all().for_each(|(_, file)| file.hand_over(owner));
        }
    }

    /// Opens the page, if that is wanted. If it cannot be opened, it still is where the warning says.
    pub(crate) fn open_page(&self, user: Option<&InvokingUser>, status: Status) {
        let Some(page) = self.html.as_ref().filter(|_| self.open) else { return };
        let own = std::env::var("BROWSER").ok();
        if let Err(reason) = browser::open(page.name(), own.as_deref(), user) {
            status.warn(format_args!("the page was not opened: {reason}; it is in {}", page.name().display()));
        }
    }

    /// Each, with the flag that names it.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &OutputFile)> {
        let flags =
            [("--json", &self.json), ("--html", &self.html), ("--junit", &self.junit), ("--record", &self.record)];
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

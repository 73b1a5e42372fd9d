//! The files and streams that a run writes its reports to.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

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

/// Where reports go; `-` is stdout.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outputs<'a> {
    pub(crate) json: Option<&'a Path>,
    pub(crate) junit: Option<&'a Path>,
    pub(crate) record: Option<&'a Path>,
    /// The user who typed sudo: the files become theirs.
    pub(crate) user: Option<&'a InvokingUser>,
}

impl<'a> Outputs<'a> {
    /// Fails now rather than after the run, if something cannot be written.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if [self.json, self.junit].into_iter().all(|path| path.is_some_and(is_stdout)) {
            return Err(Error::OneStdout);
        }
        self.files().try_for_each(check_writable)
    }

    /// Where the output goes of what we start.
    pub(crate) fn stdout(&self) -> Stdout {
        let is_taken = [self.json, self.junit].into_iter().flatten().any(is_stdout);
        if is_taken { Stdout::ToStderr } else { Stdout::Inherited }
    }

    /// Prints the report on stderr, and writes each other one that is wanted; the first failure, if something could not
    /// be written.
    pub(crate) fn show(&self, report: &RunReport, settings: &Settings, status: Status) -> Result<(), Error> {
        let text = format!("\n{}", terminal::render(report, &terminal_options(settings, status)));
        let shown = Stream::Stderr.write_all(text.as_bytes());
        let shown = shown.map_err(|source| Error::System { what: "writing the report to stderr", source });
        // Whoever does not read the one report may read the others.
        let json = self.json.map_or(Ok(()), |path| write_to(path, |writer| json::write(report, writer)));
        let junit = self.junit.map_or(Ok(()), |path| write_to(path, |writer| junit::write(report, writer)));
        json.and(shown).and(junit)
    }

    /// Gives the files to the user who typed sudo.
    pub(crate) fn hand_over(&self) {
        let Some((uid, gid)) = self.user.map(InvokingUser::owner) else { return };
        for path in self.files() {
            // If that fails, the file stays root's, which the user will see.
            let _ = std::os::unix::fs::chown(path, Some(uid), Some(gid));
        }
    }

    fn files(&self) -> impl Iterator<Item = &'a Path> {
        self.json.into_iter().chain(self.record).chain(self.junit).filter(|path| !is_stdout(path))
    }
}

/// How the terminal shows a report.
pub(crate) fn terminal_options(settings: &Settings, status: Status) -> TerminalOptions {
    let width = terminal_size::terminal_size_of(Stream::Stderr).map(|(width, _)| usize::from(width.0));
    TerminalOptions { slowest: settings.slowest.value, color: status.color, width }
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

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn write_to(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
    let written = if is_stdout(path) {
        write(&mut Stream::Stdout)
    } else {
        File::create(path).and_then(|mut file| write(&mut file))
    };
    written.map_err(|source| Error::File { verb: "write", path: path.to_owned(), source })
}

/// Checks that a file can be written, and leaves everything as it was.
fn check_writable(path: &Path) -> Result<(), Error> {
    let existed = path.exists();
    let opened = File::options().append(true).create(true).open(path);
    opened.map_err(|source| Error::File { verb: "write", path: path.to_owned(), source })?;
    if !existed {
        // A file that cannot be removed will be overwritten.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

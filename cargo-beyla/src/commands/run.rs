//! `cargo beyla run`: builds the server, starts it, traces its requests, and summarises them.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use super::exports;
use super::report::{settings, show};
use super::session::explaining::Explaining;
use super::session::{End, Session};
use super::status::Status;
use crate::cli::{ProbeArguments, ReportOptions, RunArguments};
use crate::error::Error;
use crate::export::exporter::Checked;
use crate::launch::signals::Signals;
use crate::launch::suspended::{Stdout, Suspended};
use crate::launch::user::InvokingUser;
use crate::probe::client::{Attached, Helper};
use crate::probe::privilege;
use crate::report::recording::Recorder;
use crate::report::run_info::{Exit, RunInfo};
use crate::symbols::resolver::Symbols;
use crate::symbols::task_probes;
use crate::workspace::sources::Sources;
use crate::workspace::{build, select};

/// What a shell adds to the number of the signal that ended a command.
const SIGNALLED: u8 = 128;

/// Runs the server under trace.
pub(super) fn run(arguments: RunArguments, status: Status) -> Result<ExitCode, Error> {
    let RunArguments { target, run: control, report: options, explain, record, export, capture, server_arguments } =
        arguments;
    // What can be found wrong before the build is.
    let exports = Checked::new(&exports::settings(&export))?;
    let (trace, trace_seed) = exports::trace(settings(&options)?, exports.as_ref())?;
    let privilege = privilege::find()?;
    files(&options, record.as_deref()).try_for_each(check_writable)?;
    let report_on_stdout = options.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
    let stdout = if report_on_stdout { Stdout::ToStderr } else { Stdout::Inherited };

    let user = InvokingUser::detect();
    let as_user = |command: &mut std::process::Command| {
        if let Some(user) = &user {
            user.apply(command);
        }
    };
    let selection = select::select(&target, as_user)?;
    if let Some(chosen) = &selection.target.chosen {
        status.say("Selected", chosen);
    }
    let built = build::build(&selection, &target, as_user)?;
    let task_probes = explain.then(|| task_probes::find(&built.executable));

    let privilege = privilege.open()?;
    let signals = Signals::open().map_err(|source| Error::System { what: "opening a signal descriptor", source })?;
    let began = Instant::now();
    let server = Suspended::fork(&built.executable, &server_arguments, &built.environment, user.as_ref(), stdout)?;
    let probe_arguments = ProbeArguments {
        pid: server.pid().as_raw() as u32,
        capture,
        explain: explain.then_some(options.block_threshold.as_nanos() as u64),
        executable: explain.then(|| built.executable.clone()),
        task_probes: task_probes.iter().flat_map(|found| found.places.clone()).collect(),
    };
    let attached = Helper::start(&probe_arguments, privilege)
        .and_then(|mut helper| helper.wait_until_ready().map(|attached| (helper, attached)));
    let (helper, Attached { capture, ring, unseen }) = match attached {
        Ok(attached) => attached,
        Err(error) => {
            server.abandon();
            return Err(error);
        }
    };
    status.say("Attached", format_args!("probes in {} ms", began.elapsed().as_millis()));

    let (started_unix_ns, started_monotonic_ns) = super::session::clocks();
    let info = RunInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: server.pid().as_raw() as u32,
        executable: built.executable,
        started_unix_ns,
        started_monotonic_ns,
        capture,
        trace_seed,
    };
    let recorder = record.as_deref().map(|path| Recorder::create(path, &info)).transpose();
    let outlets = recorder.and_then(|recorder| {
        let exporter = exports.map(|checked| exports::start(checked, &info, status)).transpose()?;
        Ok((recorder, exporter))
    });
    let (recorder, exporter) = match outlets {
        Ok(outlets) => outlets,
        Err(error) => {
            server.abandon();
            return Err(error);
        }
    };
    let explaining = task_probes.map(|found| {
        let Sources { root, crates } = selection.sources;
        let symbols = Symbols::new(root, crates);
        Explaining::new(symbols, info.pid, &found.unseen.into_iter().chain(unseen).collect::<Vec<_>>())
    });
    let pid = server.release()?;
    let session = Session::new(
        pid,
        helper,
        ring,
        signals,
        trace,
        recorder,
        explaining,
        &control,
        user.as_ref(),
        stdout,
        exporter.as_ref(),
        status,
    );
    let End { mut trace, exit, stopped, command, failure, ended_monotonic_ns } = session.run()?;
    exports::close(&mut trace, ended_monotonic_ns, exporter.as_ref());
    let listened = !trace.listening().is_empty();
    let duration_ns = ended_monotonic_ns.saturating_sub(started_monotonic_ns);
    let summary = trace.finish(ended_monotonic_ns);
    if listened || summary.totals.requests > 0 {
        show(&summary, &info, duration_ns, Some(exit), &options, status)?;
    }
    exports::finish(exporter, status);
    files(&options, record.as_deref()).for_each(|path| hand_over(path, user.as_ref()));
    if let Some(error) = failure {
        return Err(error);
    }
    Ok(exit_code(exit, stopped, command))
}

/// The server's own, or if that is 0, the command's.
fn exit_code(exit: Exit, stopped: bool, command: Option<u8>) -> ExitCode {
    let own = match exit {
        Exit::Signal(_) if stopped => 0,
        Exit::Code(code) => code as u8,
        Exit::Signal(signal) => SIGNALLED.saturating_add(signal as u8),
    };
    // The server ended as it was told to; whether the run was one is for the command to say.
    ExitCode::from(if own == 0 { command.unwrap_or(0) } else { own })
}

/// Gives a file to who asked for it, if we are root in their place.
fn hand_over(path: &Path, user: Option<&InvokingUser>) {
    if let Some(user) = user {
        let (uid, gid) = user.owner();
        // Then it stays root's, which the user will see.
        let _ = std::os::unix::fs::chown(path, Some(uid), Some(gid));
    }
}

/// What is to be written besides stdout.
fn files<'a>(options: &'a ReportOptions, record: Option<&'a Path>) -> impl Iterator<Item = &'a Path> {
    options.json.as_deref().into_iter().chain(record).filter(|path| path.as_os_str() != "-")
}

/// Fails now rather than after the run; leaves everything as it was.
fn check_writable(path: &Path) -> Result<(), Error> {
    let existed = path.exists();
    let opened = std::fs::File::options().append(true).create(true).open(path);
    opened.map_err(|source| Error::File { verb: "write", path: path.to_owned(), source })?;
    if !existed {
        // What cannot be removed will be overwritten.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

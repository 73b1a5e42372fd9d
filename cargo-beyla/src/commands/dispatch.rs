//! From the command line to the subcommand, and from its failure to the exit code.

use std::process::ExitCode;

use super::{attach, doctor, init, report, run, runner, test};
use crate::cli::runner::StartArguments;
use crate::cli::{Arguments, Command};
use crate::console::color;
use crate::console::status::LogLevel;
use crate::console::status::Status;
use crate::console::stream::Stream;
use crate::error::Error;
use crate::launch::signals;
use crate::workspace::start;

/// Runs the subcommand.
pub fn dispatch(arguments: Arguments) -> ExitCode {
    signals::heed_children();
    let Arguments { color: choice, command } = arguments;
    let status = Status { color: color::color(choice, Stream::Stderr), level: LogLevel::default() };
    let result = match command {
        Command::Run(arguments) => run::run(&arguments, status),
        Command::Test(arguments) => test::test(&arguments, status),
        Command::Runner(arguments) => runner::run(&arguments, status),
        Command::Attach(arguments) => attach::attach(&arguments, status),
        Command::Report(arguments) => report::report(&arguments, status),
        Command::Init(arguments) => init::init(&arguments, status),
        Command::Doctor(arguments) => doctor::doctor(&arguments, color::color(choice, Stream::Stdout), status),
        Command::Start(StartArguments { target, command }) => match start::answer(target, command) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(source) => Err(Error::System { what: "writing down how cargo starts a program", source }),
        },
        Command::Guard => return crate::launch::guard::process::run(),
        Command::Probe => return crate::probe::helper::run(),
    };
    result.unwrap_or_else(|error| {
        status.fail(&error);
        ExitCode::from(error.exit_code())
    })
}

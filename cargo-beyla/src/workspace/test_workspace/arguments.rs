//! What follows `--`: the arguments of the standard test harness.

use std::ffi::OsString;
use std::num::NonZeroUsize;

use crate::error::Error;

/// What is to become of tests that are marked `#[ignore]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ignored {
    /// They are counted.
    #[default]
    Skipped,
    /// They run, and no others do: `--ignored`.
    Only,
    /// They run as the others do: `--include-ignored`.
    Included,
}

impl Ignored {
    /// The argument that says so.
    fn flag(self) -> Option<&'static str> {
        match self {
            Self::Skipped => None,
            Self::Only => Some("--ignored"),
            Self::Included => Some("--include-ignored"),
        }
    }
}

/// The arguments that the standard harness knows and that have a meaning where each test has a process of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
// They are flags; each stands by itself.
#[allow(clippy::struct_excessive_bools)]
pub struct HarnessArguments {
    /// Tests run whose names contain one of these, or all.
    filters: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    /// What is to become of ignored tests.
    pub ignored: Ignored,
    /// The tests' output goes to ours.
    pub nocapture: bool,
    /// The output of tests that passed is shown too.
    pub show_output: bool,
    /// Tests that passed have no line.
    pub quiet: bool,
    /// So many tests run at a time.
    pub test_threads: Option<NonZeroUsize>,
    color: Option<String>,
}

impl HarnessArguments {
    /// Whether they choose among the tests.
    pub fn choose(&self) -> bool {
        !self.filters.is_empty() || !self.skip.is_empty() || self.ignored != Ignored::default()
    }

    /// Reads them; `filter` is the TESTNAME that cargo takes itself.
    pub fn parse(filter: Option<&str>, arguments: &[OsString]) -> Result<Self, Error> {
        let mut parsed = Self { filters: filter.map(str::to_owned).into_iter().collect(), ..Self::default() };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let word = utf8(word)?;
            let (name, attached) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value)),
                _ => (word, None),
            };
            let mut value = || match attached {
                Some(value) => Ok(value),
                None => words.next().map_or_else(|| Err(wrong(name, "needs a value", None)), |value| utf8(value)),
            };
            match name {
                "--skip" => parsed.skip.push(value()?.to_owned()),
                "--test-threads" => {
                    let number = value()?;
                    let threads = number.parse().map_err(|_| {
                        wrong(name, &format!("wants a number above 0, not `{}`", number.escape_debug()), None)
                    })?;
                    parsed.test_threads = Some(threads);
                }
                "--color" => parsed.color = Some(value()?.to_owned()),
                // What we print is never anything else.
                "--format" if value()? == "pretty" => {}
                _ if attached.is_some() => return Err(unknown(name)),
                "--exact" => parsed.exact = true,
                "--ignored" => parsed.set_ignored(Ignored::Only)?,
                "--include-ignored" => parsed.set_ignored(Ignored::Included)?,
                "--nocapture" | "--no-capture" => parsed.nocapture = true,
                "--show-output" => parsed.show_output = true,
                "-q" | "--quiet" => parsed.quiet = true,
                // They are no others than those that run anyway.
                "--test" => {}
                name if name.starts_with('-') => return Err(unknown(name)),
                name => parsed.filters.push(name.to_owned()),
            }
        }
        Ok(parsed)
    }

    fn set_ignored(&mut self, ignored: Ignored) -> Result<(), Error> {
        if self.ignored != Ignored::Skipped && self.ignored != ignored {
            return Err(wrong("--ignored", "and --include-ignored exclude each other", None));
        }
        self.ignored = ignored;
        Ok(())
    }

    /// The test that runs, if these name one alone.
    pub fn only_test(&self) -> Option<&str> {
        match &self.filters[..] {
            [name] if self.exact && self.skip.is_empty() => Some(name),
            _ => None,
        }
    }

    /// The arguments that have a test binary print the tests which are meant: all, or only the ignored among them.
    pub(super) fn to_list(&self, only_ignored: bool) -> Vec<&str> {
        let mut arguments = vec!["--list", "--format", "terse"];
        let ignored = if only_ignored { Ignored::Only } else { self.ignored };
        arguments.extend(ignored.flag());
        arguments.extend(self.exact.then_some("--exact"));
        arguments.extend(self.skip.iter().flat_map(|name| ["--skip", name]));
        arguments.extend(self.filters.iter().map(String::as_str));
        arguments
    }

    /// The arguments that have a test binary run this test, ignored or not. The harness does not capture what we do.
    pub fn to_run(&self, test: &str) -> Vec<OsString> {
        let mut arguments = vec![test, "--exact", "--nocapture"];
        if self.ignored != Ignored::Skipped {
            arguments.push("--include-ignored");
        }
        if let Some(color) = &self.color {
            arguments.extend(["--color", color]);
        }
        arguments.into_iter().map(OsString::from).collect()
    }
}

fn utf8(word: &OsString) -> Result<&str, Error> {
    word.to_str().ok_or_else(|| wrong(&word.to_string_lossy(), "is not UTF-8", None))
}

fn wrong(argument: &str, problem: &str, hint: Option<&str>) -> Error {
    Error::TestArgument {
        argument: argument.escape_debug().to_string(),
        problem: problem.to_owned(),
        hint: hint.map(str::to_owned),
    }
}

fn unknown(name: &str) -> Error {
    let hint = match name {
        "--list" => "`cargo test -- --list` lists them",
        "-h" | "--help" => "`cargo beyla test --help` has ours, `cargo test -- --help` those of the harness",
        "--format" | "--logfile" => "--json FILE or --junit FILE writes a report of all tests",
        "--bench" => "`cargo bench` measures",
        "--report-time" | "--ensure-time" => "each test's time is told anyway, and --timeout bounds it",
        _ => {
            "after `--` go TESTNAMEs, --skip, --exact, --ignored, --include-ignored, --nocapture, --show-output, \
              --test-threads, --quiet and --color"
        }
    };
    wrong(name, "cannot be honoured where each test has a process of its own", Some(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<HarnessArguments, Error> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        HarnessArguments::parse(None, &words)
    }

    fn listing(line: &str, only_ignored: bool) -> String {
        parse(line).unwrap().to_list(only_ignored).join(" ")
    }

    #[test]
    fn filters_go_to_the_listing() {
        assert_eq!(listing("", false), "--list --format terse");
        assert_eq!(
            listing("api --skip slow --exact db --skip=net", false),
            "--list --format terse --exact --skip slow --skip net api db"
        );
        assert_eq!(listing("api", true), "--list --format terse --ignored api");
        assert_eq!(listing("--include-ignored", false), "--list --format terse --include-ignored");
        assert_eq!(listing("--ignored", false), "--list --format terse --ignored");
        let with_cargos = HarnessArguments::parse(Some("cargos"), &["ours".into()]).unwrap();
        assert_eq!(with_cargos.to_list(false)[3..], ["cargos", "ours"]);
    }

    #[test]
    fn one_test_runs_at_a_time_and_by_its_name() {
        let run = |line| parse(line).unwrap().to_run("a::b").join(" ".as_ref()).into_string().unwrap();
        assert_eq!(run("a --skip b"), "a::b --exact --nocapture");
        assert_eq!(run("--ignored --color always"), "a::b --exact --nocapture --include-ignored --color always");
    }

    #[test]
    fn how_tests_run_and_what_is_shown() {
        let parsed = parse("--no-capture --show-output -q --test-threads 3 --test --format=pretty").unwrap();
        assert!(parsed.nocapture && parsed.show_output && parsed.quiet);
        assert_eq!(parsed.test_threads.map(NonZeroUsize::get), Some(3));
        assert_eq!(parse("--test-threads=1").unwrap().test_threads.map(NonZeroUsize::get), Some(1));
    }

    #[test]
    fn what_cannot_be_honoured_is_an_error() {
        for line in [
            "--format json",
            "--format=junit",
            "--logfile x",
            "--list",
            "--help",
            "--bench",
            "--shuffle",
            "-Z unstable-options",
            "--exact=yes",
            "--skip",
            "--test-threads 0",
            "--test-threads many",
            "--ignored --include-ignored",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), crate::error::USAGE, "{line}");
        }
    }
}

//! Failed tests that found an address in use. They pass one after the other, as threads behind one lock do under
//! `cargo test`; here each test has a process of its own, and runs beside others.

use memchr::memmem;

use crate::launch::test_runner::output::Excerpt;
use cargo_beyla_core::model::test::TestId;

/// What programs say where the kernel says EADDRINUSE: the C libraries' words, Rust's name and that of the constant.
const IN_USE: [&str; 4] = ["address already in use", "address in use", "addrinuse", "addressinuse"];

/// Which tests have run beside each other, and which of them found an address in use.
#[derive(Debug, Default)]
pub(crate) struct AddressConflicts {
    /// The tests that run, and whether another has run at the same time.
    running: Vec<(TestId, bool)>,
    found: Vec<(TestId, bool)>,
}

impl AddressConflicts {
    pub(crate) fn started(&mut self, test: TestId) {
        let others = !self.running.is_empty();
        self.running.iter_mut().for_each(|(_, beside)| *beside = true);
        self.running.push((test, others));
    }

    /// A test is over; `failed` has its output if it failed.
    pub(crate) fn ended(&mut self, test: TestId, failed: Option<&Excerpt>) {
        let Some(place) = self.running.iter().position(|(running, _)| *running == test) else { return };
        let ended = self.running.swap_remove(place);
        if failed.is_some_and(|output| says_in_use(&output.head) || says_in_use(&output.tail)) {
            self.found.push(ended);
        }
    }

    /// What a user should know of them, if there are any; `name` is that of a test.
    pub(crate) fn sentence(&self, name: impl Fn(TestId) -> String) -> Option<String> {
        let beside: Vec<TestId> = self.found.iter().filter(|(_, beside)| *beside).map(|(test, _)| *test).collect();
        let Some(first) = beside.first() else {
            let (alone, _) = self.found.first()?;
            return Some(format!(
                "{} found an address in use, and no other test ran beside it: `ss -ltnp` shows who listens where",
                name(*alone)
            ));
        };
        let others = match beside.len() {
            1 => String::new(),
            number => format!(" (and {} more)", number - 1),
        };
        Some(format!(
            "{}{others} found an address in use: tests run beside each other here, each in a process of its own. Put \
             those that share a port into a group, [package.metadata.beyla.test-groups.NAME] with filter = 'PATTERN', \
             or run all one after the other with `-- --test-threads 1`",
            name(*first)
        ))
    }
}

fn says_in_use(output: &[u8]) -> bool {
    let output = output.to_ascii_lowercase();
    IN_USE.iter().any(|words| memmem::find(&output, words.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test that fails with this output.
    fn fails(conflicts: &mut AddressConflicts, test: u32, output: &str) {
        let excerpt = Excerpt { head: output.as_bytes().to_vec(), ..Excerpt::default() };
        conflicts.ended(TestId(test), Some(&excerpt));
    }

    fn sentence(conflicts: &AddressConflicts) -> String {
        conflicts.sentence(|test| format!("t{}", test.0)).unwrap_or_default()
    }

    #[test]
    fn what_programs_say() {
        let io = std::io::Error::from_raw_os_error(libc::EADDRINUSE);
        for said in [format!("{io}"), format!("{io:?}"), "bind: EADDRINUSE".to_owned(), "Address in use".to_owned()] {
            assert!(says_in_use(format!("panicked:\n{said}\n").as_bytes()), "{said}");
        }
        for other in ["", "address not available", "in use"] {
            assert!(!says_in_use(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn only_tests_that_ran_beside_others_are_told_of_groups() {
        let mut conflicts = AddressConflicts::default();
        conflicts.started(TestId(0));
        fails(&mut conflicts, 0, "EADDRINUSE");
        assert!(sentence(&conflicts).starts_with("t0 found an address in use, and no other test ran beside it"));
        for test in 1..=4 {
            conflicts.started(TestId(test));
        }
        conflicts.ended(TestId(1), None);
        fails(&mut conflicts, 2, "another reason");
        fails(&mut conflicts, 3, "Address already in use (os error 98)");
        assert!(sentence(&conflicts).starts_with("t3 found an address in use: "), "{}", sentence(&conflicts));
        fails(&mut conflicts, 4, "Address already in use (os error 98)");
        let said = sentence(&conflicts);
        assert!(
            said.starts_with("t3 (and 1 more) found an address in use: ") && said.contains("test-groups"),
            "{said}"
        );
    }

    #[test]
    fn nothing_found_is_nothing_said() {
        let mut conflicts = AddressConflicts::default();
        for test in 0..2 {
            conflicts.started(TestId(test));
        }
        conflicts.ended(TestId(0), None);
        fails(&mut conflicts, 1, "assertion failed");
        assert_eq!(sentence(&conflicts), "");
    }
}

//! Where an executable has the functions of tokio that change the state of a task.

use std::collections::BTreeSet;
use std::path::Path;

use memchr::memmem;

use super::functions;
use super::image::{self, Image};
use super::names;
use super::task_variables;
use crate::probe::executable::TaskIdPlace;
use crate::probe::task_probe::{ProbePoint, TaskProbe};

/// The functions, by their names without hash. The first argument of each is the task's header; for
/// [`ProbePoint::Spawned`], [`ProbePoint::Bound`] and [`ProbePoint::SpawnedBlocking`] the second argument is. For
/// [`ProbePoint::Signalled`] it is a waker.
const FUNCTIONS: [(&str, ProbePoint); 14] = [
    ("tokio::runtime::task::state::State::transition_to_running", ProbePoint::Running),
    ("tokio::runtime::task::state::State::transition_to_idle", ProbePoint::Idle),
    ("tokio::runtime::task::state::State::transition_to_terminal", ProbePoint::Terminal),
    ("tokio::runtime::task::waker::wake_by_ref", ProbePoint::Woken),
    ("tokio::runtime::task::waker::wake_by_val", ProbePoint::Woken),
    (
        "tokio::runtime::scheduler::multi_thread::handle::Handle::schedule_option_task_without_yield",
        ProbePoint::Spawned,
    ),
    ("tokio::runtime::task::list::OwnedTasks<>::bind_inner", ProbePoint::Bound),
    ("tokio::runtime::task::core::Header::set_owner_id", ProbePoint::Owned),
    ("tokio::runtime::blocking::pool::Spawner::spawn_task", ProbePoint::SpawnedBlocking),
    ("tokio::runtime::scheduler::defer::Defer::defer", ProbePoint::Deferred),
    // tokio before 1.29.
    ("tokio::runtime::defer::Defer::defer", ProbePoint::Deferred),
    (CALLS_DEFER, ProbePoint::Deferred),
    ("tokio::sync::task::atomic_waker::AtomicWaker::wake", ProbePoint::Signalled),
    ("futures_core::task::__internal::atomic_waker::AtomicWaker::wake", ProbePoint::Signalled),
];

/// Calls `Defer::defer`, and is only probed where that has been inlined into it.
const CALLS_DEFER: &str = "tokio::runtime::context::defer";

/// If one of these is missing, the task that a thread polls is not known.
const NEEDED: [ProbePoint; 3] = [ProbePoint::Running, ProbePoint::Idle, ProbePoint::Terminal];

/// As both schemes of mangling write `tokio::runtime`.
const RUNTIME: &str = "5tokio7runtime";
/// As both write the end of `AtomicWaker::wake`.
const SIGNAL: &str = "11AtomicWaker4wake";

/// What tells of a new task, the best first: every spawn passes the first, in the runtime of several threads all of them.
const SPAWNS: [ProbePoint; 3] = [ProbePoint::Owned, ProbePoint::Bound, ProbePoint::Spawned];

/// As both write a function that is there if the executable has a `LocalSet`.
const LOCAL_SET: &str = "4task5local6Shared8schedule";

/// Where an executable tells of its tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskProbes {
    /// Each function, and its place in the executable's file: several of a kind where several versions of tokio
    /// are linked. Empty where tasks cannot be told apart.
    pub places: Vec<TaskProbe>,
    /// Those of them at which tasks are spawned, also where tasks cannot be told apart.
    pub spawns: Vec<TaskProbe>,
    /// Where each thread keeps the id of the task that it polls.
    pub ids: Vec<TaskIdPlace>,
    /// Why they cannot be told apart, in a sentence, with the cure if there is one.
    pub unseen: Option<String>,
    /// Why tasks that other tasks spawn are not seen, or not all of them, in a sentence.
    pub spawns_unseen: Option<&'static str>,
}

/// Looks them up in the executable's table of symbols.
pub fn find(executable: &Path) -> TaskProbes {
    match Image::open(executable) {
        Ok(image) => TaskProbes { ids: task_variables::find(&image), ..find_in(&image) },
        Err(error) => unseen(&format!(
            "the executable could not be read ({error}), so tokio's tasks cannot be told apart: each thread stands \
             for what it runs"
        )),
    }
}

fn find_in(image: &Image) -> TaskProbes {
    let Some(elf) = image.elf() else {
        return unseen(
            "the executable is no ELF file of this machine, so tokio's tasks cannot be told apart: each thread stands \
             for what it runs",
        );
    };
    if elf.elf_symbol_table().is_empty() {
        let unseen = unseen(
            "the executable has no symbols (strip), so tokio's tasks cannot be told apart: each thread stands for \
             what it runs; build with strip = false",
        );
        let spawns_unseen =
            Some("Tasks that requests spawn are not seen, as the executable has no symbols: build with strip = false.");
        return TaskProbes { spawns_unseen, ..unseen };
    }
    let (runtime, signal) = (memmem::Finder::new(RUNTIME), memmem::Finder::new(SIGNAL));
    // The last part of a name is enough to skip most of a runtime's thousands without demangling them.
    let marks = FUNCTIONS.map(|(name, point)| (name, point, memmem::Finder::new(last_segment(name))));
    let mut places = BTreeSet::new();
    let mut calls_defer = Vec::new();
    let local_set = memmem::Finder::new(LOCAL_SET);
    let (mut has_runtime, mut has_local_set) = (false, false);
    for (_, range, symbol) in functions::each(&elf) {
        let is_of_runtime = runtime.find(symbol).is_some();
        if !is_of_runtime && signal.find(symbol).is_none() {
            has_local_set = has_local_set || local_set.find(symbol).is_some();
            continue;
        }
        has_runtime |= is_of_runtime;
        let mut candidates = marks.iter().filter(|(_, _, mark)| mark.find(symbol).is_some()).peekable();
        if candidates.peek().is_none() {
            continue;
        }
        let Ok(symbol) = std::str::from_utf8(symbol) else { continue };
        let function = names::function(symbol);
        // Only one of the schemes says what stands in the brackets.
        let function: String = names::outside_brackets(&function).map(|(_, character)| character).collect();
        let found = candidates.find(|(name, ..)| *name == function);
        if let (Some((name, point, _)), Some(offset)) = (found, image::file_offset(&elf, range.start)) {
            let probe = TaskProbe { executable: 0, point: *point, offset };
            if *name == CALLS_DEFER {
                calls_defer.push(probe);
            } else {
                places.insert(probe);
            }
        }
    }
    if !places.iter().any(|probe| probe.point == ProbePoint::Deferred) {
        places.extend(calls_defer);
    }
    if !has_runtime {
        return unseen("no tokio in the executable: each request is followed on the thread that received it");
    }
    let best = SPAWNS.into_iter().find(|best| places.iter().any(|probe| probe.point == *best));
    places.retain(|probe| !SPAWNS.contains(&probe.point) || Some(probe.point) == best);
    let spawns = places
        .iter()
        .copied()
        .filter(|probe| SPAWNS.contains(&probe.point) || probe.point == ProbePoint::SpawnedBlocking);
    let spawns: Vec<TaskProbe> = spawns.collect();
    let spawns_unseen = match best {
        None => Some(
            "Tasks that requests spawn are not seen, as tokio's functions have been inlined (LTO): build with lto = false.",
        ),
        Some(best) if has_local_set && best != ProbePoint::Owned => Some(
            "Tasks on a LocalSet (spawn_local, actix_web::rt::spawn) are seen in builds without optimisation only.",
        ),
        Some(_) => None,
    };
    if NEEDED.iter().any(|needed| !places.iter().any(|probe| probe.point == *needed)) {
        let unseen = unseen(
            "tokio's functions have been inlined (LTO), so its tasks cannot be told apart: each thread stands for what \
             it runs; build with lto = false",
        );
        return TaskProbes { spawns, spawns_unseen, ..unseen };
    }
    TaskProbes { places: places.into_iter().collect(), spawns, spawns_unseen, ..TaskProbes::default() }
}

fn last_segment(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}

fn unseen(sentence: &str) -> TaskProbes {
    TaskProbes { unseen: Some(sentence.to_owned()), ..TaskProbes::default() }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    fn find_in_bytes(bytes: &[u8]) -> TaskProbes {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("it is written");
        find(file.path())
    }

    fn own_executable() -> PathBuf {
        // So that the runtime and a channel are linked.
        drop(tokio::runtime::Builder::new_multi_thread().worker_threads(1).build());
        drop(tokio::sync::mpsc::channel::<()>(1));
        std::env::current_exe().expect("our own path")
    }

    #[test]
    fn each_function_of_tokios_is_found_in_an_executable() {
        let TaskProbes { places, spawns, ids, unseen, spawns_unseen } = find(&own_executable());
        assert_eq!((unseen, spawns_unseen), (None, None));
        assert!(matches!(ids[..], [TaskIdPlace::At(_)]), "{ids:?}");
        let count = |point: ProbePoint| places.iter().filter(|probe| probe.point == point).count();
        // A debug build has the one function that every spawn passes, and the others say nothing more.
        assert_eq!(spawns.len(), count(ProbePoint::Owned) + count(ProbePoint::SpawnedBlocking));
        for point in FUNCTIONS.map(|(_, point)| point) {
            let expected = match point {
                ProbePoint::Bound | ProbePoint::Spawned => 0..=0,
                ProbePoint::Woken => 2..=2,
                // tokio's own, and that of futures where it is linked.
                ProbePoint::Signalled => 1..=2,
                _ => 1..=1,
            };
            assert!(expected.contains(&count(point)), "{point:?}: {}", count(point));
        }
    }

    #[test]
    fn where_tasks_are_not_seen_it_is_said_why() {
        let said = |path: &str| find(Path::new(path)).unseen.unwrap_or_default();
        assert!(said("/nonexistent/server").contains("could not be read"));
        assert!(said("/dev/null").contains("could not be read"));
        assert!(said("/bin/true").contains("strip = false"));
        assert!(find(Path::new("/bin/true")).spawns_unseen.is_some_and(|reason| reason.contains("strip = false")));
        assert!(find_in_bytes(b"#!/bin/sh").unseen.unwrap_or_default().contains("no ELF"));
    }

    #[test]
    fn a_broken_executable_does_no_harm() {
        let broken = tempfile::NamedTempFile::new().expect("a file");
        let whole = std::fs::copy(own_executable(), broken.path()).expect("it is copied");
        for length in [whole - 1, whole / 2, 4096, 64, 63, 16, 1, 0] {
            broken.as_file().set_len(length).expect("it is cut");
            assert!(find(broken.path()).places.is_empty());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_content_is_looked_through(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let magic = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0";
            prop_assert!(find_in_bytes(&bytes).places.is_empty());
            prop_assert!(find_in_bytes(&[&magic[..], &bytes[..]].concat()).places.is_empty());
        }
    }
}

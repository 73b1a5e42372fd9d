//! Reports of `--explain`.

use super::*;
use cargo_beyla_core::model::explanation::{Cause, Place};

/// More requests than have a line of their own.
fn many() -> Summary {
    let mut summary = fixtures::explained();
    summary.totals.requests = EACH_REQUEST + 1;
    summary
}

#[test]
fn on_a_wide_terminal() {
    assert_snapshot!(rendered(&many(), 160));
}

#[test]
fn on_a_terminal_of_140_columns() {
    assert_snapshot!(rendered(&many(), 140));
}

#[test]
fn on_a_terminal_of_100_columns() {
    assert_snapshot!(rendered(&many(), 100));
}

#[test]
fn on_a_narrow_terminal() {
    assert_snapshot!(rendered(&many(), 80));
}

#[test]
fn each_request_has_its_remarks() {
    for width in [100, 140] {
        let text = rendered(&fixtures::explained(), width);
        let (_, each) = text.split_once("Every request").unwrap();
        assert_snapshot!(format!("each_request_{width}"), each);
    }
}

#[test]
fn all_that_took_a_tenth_of_the_time_is_remarked() {
    let mut summary = fixtures::explained();
    let block = summary.requests.iter().position(|request| &*request.path == "/block").expect("a request");
    let request = std::sync::Arc::make_mut(&mut summary.requests[block]);
    let explanation = request.explanation.as_mut().expect("it was opened");
    let explanation = std::sync::Arc::make_mut(explanation);
    let [sleep] = explanation.places[..] else { panic!("one place") };
    let at = |stack, ns| Place { stack, ns, ..sleep };
    let lock = Place { cause: Cause::Lock, ..at(4, 19_900_000) };
    explanation.places = vec![at(1, 25_000_000), lock, at(3, 5_100_000), at(2, 4_000_000)];
    let text = rendered(&summary, 160);
    let (_, each) = text.split_once("Every request").unwrap();
    let beneath: Vec<&str> = each.lines().skip_while(|line| !line.ends_with("/block?ms=50")).skip(1).take(4).collect();
    assert!(beneath[0].contains("blocked 25.0 ms: std::thread::sleep"), "{each}");
    assert!(beneath[1].contains("blocked 19.9 ms: std::sync::Mutex<T>::lock"), "{each}");
    assert!(beneath[2].contains("blocked 5.10 ms: <std::fs::File as"), "{each}");
    assert!(!beneath[3].contains("blocked"), "less than a tenth: {each}");
}

#[test]
fn without_lines_and_with_notes() {
    assert_snapshot!(rendered(&fixtures::explained_without_lines(), 100));
}

#[test]
fn nothing_wrong_is_nothing_said() {
    let mut summary = fixtures::healthy();
    let plain = rendered(&summary, 140);
    summary.explained = Some(cargo_beyla_core::model::summary::Explained::default());
    // Nothing was opened either: it is the report of any run.
    assert_eq!(rendered(&summary, 140), plain);
}

#[test]
fn an_unknown_place_is_not_remarked() {
    let mut summary = fixtures::explained();
    let explained = summary.explained.as_mut().unwrap();
    (explained.findings, explained.stacks) = Default::default();
    let text = rendered(&summary, 140);
    assert!(!text.contains("ran about"), "{text}");
    assert!(text.contains("blocked 50.0 ms: the system call clock_nanosleep\n"), "{text}");
}

#[test]
fn further_findings_are_counted() {
    let mut summary = many();
    let explained = summary.explained.as_mut().unwrap();
    let finding = explained.findings[1].clone();
    explained.findings = vec![finding; 12];
    let text = rendered(&summary, 100);
    assert!(text.contains("    and 2 more findings; the JSON report has all (--json)\n"), "{text}");
}

#[test]
fn hostile_names_steer_no_terminal() {
    let mut summary = many();
    let explained = summary.explained.as_mut().unwrap();
    explained.unseen = "one\x1b[2J\ntwo".into();
    for frame in explained.stacks.values_mut().flatten() {
        frame.function = format!("\x1b[2J{}", frame.function.repeat(9)).into();
        frame.source = Some((format!("\x07{}", "日本/".repeat(99)).into(), u32::MAX));
    }
    for name in explained.task_types.values_mut() {
        *name = format!("\x1b]0;{}", name.repeat(9)).into();
    }
    for finding in &mut explained.findings {
        finding.route = Some(("M\x1b".repeat(99).into(), "/\u{202e}".repeat(99).into()));
    }
    let mut few = summary.clone();
    few.totals.requests = 18;
    for (summary, width) in
        [&summary, &few].into_iter().flat_map(|summary| [80, 100, 140, 300].map(|width| (summary, width)))
    {
        let text = rendered(summary, width);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
        for line in text.lines() {
            assert!(crate::report::text::width(line) <= width, "{width}: {line}");
        }
    }
}

use std::fmt::Write;
use std::time::Instant;

use super::*;

fn parse_plain(text: &str) -> Result<Node, Wrong> {
    parse(text, |_| None)
}

fn wrong(text: &str) -> String {
    let Wrong { at, message, .. } = parse_plain(text).expect_err(text);
    format!("{at}: {message}")
}

/// As one line, to compare.
fn compact(node: &Node) -> String {
    match &node.value {
        Value::Empty => "-".into(),
        Value::Text(text) => text.value.clone(),
        Value::List(nodes) => format!("[{}]", nodes.iter().map(compact).collect::<Vec<_>>().join(" ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| format!("{}={}", entry.key, compact(&entry.node)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
        }
    }
}

#[test]
fn a_tree_with_its_places() {
    let node = parse_plain("\u{feff}a: 1\nb:\n  - x\n  - {c: 'null', d: ~, e: }\n").unwrap();
    assert_eq!(compact(&node), "{a=1 b=[x {c=null d=- e=-}]}");
    let Value::Map(entries) = &node.value else { panic!("a section") };
    assert_eq!((entries[0].at.to_string(), entries[0].node.at.to_string()), ("1:1".into(), "1:4".into()));
    let Value::List(nodes) = &entries[1].node.value else { panic!("a list") };
    assert_eq!((nodes[0].at.to_string(), nodes[1].at.to_string()), ("3:5".into(), "4:5".into()));
}

#[test]
fn nothing_is_a_document_too() {
    for text in ["", "\n", "# only a comment\n", "---\n"] {
        assert_eq!(compact(&parse_plain(text).unwrap()), "-", "{text:?}");
    }
}

#[test]
fn variables_are_put_in() {
    let variable = |name: &str| (name == "NAME").then(|| "value: [x".to_owned());
    for (text, value) in [
        ("${NAME}", "value: [x"),
        ("a-${NAME}-b", "a-value: [x-b"),
        ("${MISSING}", "-"),
        ("\"${MISSING}\"", ""),
        ("${MISSING:-otherwise}", "otherwise"),
        ("${NAME:-otherwise}", "value: [x"),
        ("$${NAME}", "${NAME}"),
        ("^a$", "^a$"),
        ("$${NAME", "${NAME"),
        ("${1}x${NAME}", "${1}xvalue: [x"),
        ("'${}'", "${}"),
    ] {
        assert_eq!(compact(&parse(text, variable).unwrap()), value, "{text}");
    }
}

#[test]
fn what_a_variable_holds_is_in_no_message() {
    let node = parse("${SECRET}", |_| Some("glc_abc".into())).unwrap();
    assert_eq!(node.expected("a port").message, "expected a port, found '${SECRET}'");
}

#[test]
fn aliases_are_repeated() {
    let node = parse_plain("a: &x [1, 2]\nb: *x\n").unwrap();
    assert_eq!(compact(&node), "{a=[1 2] b=[1 2]}");
}

#[test]
fn what_is_wrong_has_a_place() {
    for (text, part) in [
        ("a: [1", "this is not YAML"),
        ("a: 1\na: 2", "2:1: the key 'a' stands here a second time"),
        ("a: *nowhere", "1:4: this is not YAML"),
        ("a: &x [*x]", "1:8: this alias refers to what contains it"),
        ("a: 1\n---\nb: 2", "2:1: expected one document, found a second"),
        ("[a]: 1", "1:1: expected a key, found a list"),
        ("a: \"\\q\"", "this is not YAML"),
        ("a: 1\nb: ${UNCLOSED", "2:4: a `${` without its `}` stands here"),
        ("a:\n  - 'x ${A} ${B'", "2:5: a `${` without its `}` stands here"),
        ("${A: 1", "1:1: a `${` without its `}` stands here"),
    ] {
        assert!(wrong(text).contains(part), "{text}: {}", wrong(text));
    }
}

#[test]
fn hostile_files_are_refused_soon() {
    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..30 {
        let before = format!("*a{},", level - 1).repeat(9);
        let _ = writeln!(laughs, "a{level}: &a{level} [{before}]");
    }
    let started = Instant::now();
    for (text, part) in [
        (laughs, "values"),
        // The parser has a limit of its own, for what it has to look ahead.
        ("[".repeat(100_000), "recursion limit exceeded"),
        ("[".repeat(100), "nested more than 32 levels deep"),
        ("{a: ".repeat(100), "nested more than 32 levels deep"),
        ("- ".repeat(100_000), "nested more than 32 levels deep"),
        (format!("[{}]", "1,".repeat(400_000)), "values"),
        ((0..100_000).fold(String::new(), |text, at| text + &format!("k{at}: 1\n")), "values"),
        ((0..4_000).fold(String::new(), |text, at| text + &format!("k{at}: &a{at} [*a{}]\n", at.max(1) - 1)), ""),
    ] {
        let found = wrong(&text);
        assert!(found.contains(part), "{}: {found}", &text[..40]);
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

mod any_text {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_panics(text in "[ \\-:?,\\[\\]{}#&*!|>'\"%@`$a-c0-9\n\t\\\\\u{e9}]{0,200}") {
            let _ = super::parse_plain(&text);
        }
    }
}

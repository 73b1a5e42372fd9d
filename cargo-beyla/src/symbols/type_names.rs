//! Names of the types of futures, made readable.

use super::names::{self, outside_brackets, segments};

/// Wrappers that say nothing about the future inside.
const WRAPPERS: [&str; 5] = [
    "core::pin::Pin",
    "alloc::boxed::Box",
    "tokio::runtime::blocking::task::BlockingTask",
    "tracing::instrument::Instrumented",
    "tracing::instrument::WithDispatch",
];

/// The most wrappers that are taken off one name.
const WRAPPED_MAX: usize = 16;

/// The future that a type stands for, without generic arguments. An async block or a closure goes by the function that
/// contains it.
pub fn future(r#type: &str) -> String {
    let mut inner = r#type.trim();
    for _ in 0..WRAPPED_MAX {
        let Some((name, arguments)) = generics(inner) else { break };
        match arguments.first() {
            Some(first) if WRAPPERS.contains(&name) => inner = first,
            _ => break,
        }
    }
    let plain = names::plain_path(inner);
    let mut path: Vec<&str> = segments(&plain).into_iter().map(without_generics).collect();
    while path.len() > 1 && path.last().is_some_and(|last| last.starts_with('{')) {
        path.pop();
    }
    // Debug information has the number of the implementation, not its type.
    path.retain(|segment| !segment.starts_with("{impl#"));
    path.join("::")
}

/// The generic arguments at the end of a name, and what stands before them.
pub fn generics(name: &str) -> Option<(&str, Vec<&str>)> {
    let open = outside_brackets(name).filter(|(_, letter)| *letter == '<').last()?.0;
    let inner = name[open + 1..].strip_suffix('>')?;
    let mut arguments = Vec::new();
    let mut start = 0;
    for (index, _) in outside_brackets(inner).filter(|(_, letter)| *letter == ',') {
        arguments.push(inner[start..index].trim());
        start = index + 1;
    }
    arguments.push(inner[start..].trim());
    Some((name[..open].trim_end_matches("::"), arguments))
}

/// A segment of a path without its arguments. One that is a type in brackets is left whole.
fn without_generics(segment: &str) -> &str {
    match outside_brackets(segment).find(|(_, letter)| *letter == '<') {
        Some((open, _)) if open > 0 && !segment.starts_with("dyn ") => &segment[..open],
        _ => segment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_goes_by_the_function_that_it_is_written_in() {
        let of = |r#type| future(r#type);
        // As DWARF has it, as version 0 of the mangling has it, and as the legacy one does.
        assert_eq!(of("axum::serve::handle::{async_fn#0}::{async_block_env#3}<a::L, b::R<()>>"), "axum::serve::handle");
        assert_eq!(of("axum::serve::handle<a::L, b::R>::{closure#0}::{closure#3}"), "axum::serve::handle");
        assert_eq!(of("axum::serve::handle<a::L,b::R>::{{closure}}::{{closure}}"), "axum::serve::handle");
        assert_eq!(of("server::main::{async_block_env#0}"), "server::main");
        assert_eq!(of("a::{impl#4}::call::{async_block_env#0}<fn(u8) -> a::T>"), "a::call");
        assert_eq!(of("<a::T as b::Trait>::run::{closure#0}"), "<a::T as b::Trait>::run");
        assert_eq!(of("<a::T<u8>>::run::{closure#0}"), "a::T::run");
    }

    #[test]
    fn wrappers_are_taken_off() {
        assert_eq!(
            future("core::pin::Pin<alloc::boxed::Box<server::job::{async_fn_env#0}, alloc::alloc::Global>>"),
            "server::job"
        );
        assert_eq!(
            future("tokio::runtime::blocking::task::BlockingTask<server::read::{closure_env#0}<(u8, u8)>>"),
            "server::read"
        );
        assert_eq!(future("hyper::Connection<a::B, c::D>"), "hyper::Connection");
        assert_eq!(
            future("core::pin::Pin<alloc::boxed::Box<dyn core::future::Future<Output = ()>>>"),
            "dyn core::future::Future"
        );
    }

    #[test]
    fn arguments_are_divided_outside_of_brackets() {
        let (name, arguments) = generics("poll<a::B<c, d>, (e, fn(f) -> g)>").expect("it has arguments");
        assert_eq!(name, "poll");
        assert_eq!(arguments, ["a::B<c, d>", "(e, fn(f) -> g)"]);
        assert_eq!(generics("a::poll::<b, c>").map(|(name, _)| name), Some("a::poll"));
        assert_eq!(generics("poll"), None);
        assert_eq!(generics("<>"), Some(("", vec![""])));
        assert_eq!(future("<>"), "");
        for (broken, named) in
            [("<", "<"), (">", ">"), ("a<b", "a"), ("a>b<", "a>b"), ("{<}", "{<}"), ("", ""), ("Pin<Pin<Pin<", "Pin")]
        {
            assert_eq!((generics(broken), future(broken).as_str()), (None, named));
        }
    }
}

//! Names of functions: demangled, in one form whatever the compiler's scheme of mangling was.

/// The name of a function by its symbol, without hash: `a::b::Type::function` where the schemes print
/// `<a::b::Type>::function` or `a::c::<impl a::b::Type>::function`. A name that is not Rust's remains as it is.
pub fn function(symbol: &str) -> String {
    match rustc_demangle::try_demangle(symbol) {
        Ok(demangled) => plain_path(&format!("{demangled:#}")),
        Err(_) => symbol.to_owned(),
    }
}

/// A path without the brackets that the schemes put around the type of an inherent implementation, and without the
/// generic arguments of functions, which only one of them has.
pub fn plain_path(demangled: &str) -> String {
    let mut plain: Vec<&str> = Vec::new();
    for segment in segments(demangled) {
        let bracketed = segment.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
        match bracketed {
            None => plain.push(segment),
            Some(inner) => match inner.strip_prefix("impl ") {
                Some(r#type) if !has_word(r#type, " for ") => plain = vec![r#type],
                Some(_) => plain.push(segment),
                None if !plain.is_empty() => {}
                None if has_word(inner, " as ") => plain.push(segment),
                None => plain.push(inner),
            },
        }
    }
    plain.join("::")
}

/// The name as reports show it: a closure or an async block goes by the function that contains it.
pub fn readable(function: &str) -> String {
    let mut segments = segments(function);
    while segments.len() > 1 && segments.last().is_some_and(|last| last.starts_with('{')) {
        segments.pop();
    }
    match segments[..] {
        // In debug information without paths, nothing of its name is left.
        [only] if ["{async_fn", "{async_block", "{closure"].iter().any(|start| only.starts_with(start)) => {
            String::new()
        }
        _ => public(&segments.join("::")),
    }
}

/// The name by which users of std know a function: not all of its modules are public.
fn public(function: &str) -> String {
    const PRIVATE: [(&str, &str); 9] = [
        ("std::thread::functions::", "std::thread::"),
        ("std::thread::join_handle::", "std::thread::"),
        ("std::thread::thread::", "std::thread::"),
        ("std::sync::poison::mutex::", "std::sync::"),
        ("std::sync::poison::rwlock::", "std::sync::"),
        ("std::sync::poison::condvar::", "std::sync::"),
        ("std::sync::poison::once::", "std::sync::"),
        ("std::net::tcp::", "std::net::"),
        ("std::net::udp::", "std::net::"),
    ];
    PRIVATE.iter().fold(function.to_owned(), |name, (private, public)| name.replace(private, public))
}

/// The crate that a function belongs to; of a method of a trait, the crate of the type that has it.
pub fn crate_of(function: &str) -> Option<&str> {
    let mut start = function;
    loop {
        let before = start;
        start = start.trim_start_matches(['<', '&', '*', '(', '[', ' ']);
        for qualifier in ["mut ", "const ", "dyn ", "impl "] {
            start = start.strip_prefix(qualifier).unwrap_or(start);
        }
        if start == before {
            break;
        }
    }
    let end = start.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
    (end > 0 && start[end..].starts_with("::")).then(|| &start[..end])
}

/// What a path consists of: the pieces between the `::` that are within no brackets.
pub fn segments(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    let mut start = 0;
    for (index, letter) in outside_brackets(path) {
        if letter == ':' && index >= start && path[index..].starts_with("::") {
            segments.push(&path[start..index]);
            start = index + 2;
        }
    }
    segments.push(&path[start..]);
    segments
}

/// The characters of a type or path that are within no brackets, each with its place; outermost brackets
/// are among them.
pub fn outside_brackets(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut depth = 0_usize;
    let mut previous = ' ';
    text.char_indices().filter(move |(_, letter)| {
        // The arrow of a function's type is no bracket.
        let arrow = *letter == '>' && matches!(previous, '-' | '=');
        previous = *letter;
        match letter {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' | ')' | ']' | '}' if !arrow => {
                depth = depth.saturating_sub(1);
                return depth == 0;
            }
            _ => return depth == 0,
        }
        depth == 1
    })
}

fn has_word(text: &str, word: &str) -> bool {
    outside_brackets(text).any(|(index, _)| text[index..].starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_of_mangling_lead_to_one_name() {
        let name = "tokio::runtime::task::state::State::transition_to_running";
        assert_eq!(
            function("_ZN5tokio7runtime4task5state5State21transition_to_running17hed657f8cc45404aaE"),
            name,
            "legacy"
        );
        assert_eq!(
            function("_RNvMNtNtNtCshYExH3AHPAS_5tokio7runtime4task5stateNtB2_5State21transition_to_running"),
            name,
            "v0"
        );
        assert_eq!(plain_path("a::worker::<impl a::handle::Handle>::run"), "a::handle::Handle::run");
        assert_eq!(
            plain_path("<a::handle::Handle<u8>>::run::<fn() -> u8>::{closure#0}"),
            "a::handle::Handle<u8>::run::{closure#0}"
        );
        assert_eq!(plain_path("<a::T as b::Trait<u8>>::run"), "<a::T as b::Trait<u8>>::run");
        assert_eq!(plain_path("a::<impl b::Trait for a::T>::run"), "a::<impl b::Trait for a::T>::run");
        assert_eq!(function("pthread_mutex_lock"), "pthread_mutex_lock");
    }

    #[test]
    fn closures_go_by_the_function_around_them() {
        assert_eq!(readable("a::b::{{closure}}::{{closure}}"), "a::b");
        assert_eq!(readable("a::b::{async_fn#0}::{closure#3}<u8>"), "a::b");
        assert_eq!(readable("a::{{closure}}::b"), "a::{{closure}}::b");
        assert_eq!(readable("a::b::{closure#0}::{closure#12}"), "a::b");
        assert_eq!(readable("<a::A as B>::f::{{closure}}"), "<a::A as B>::f");
        assert_eq!(readable("{async_fn#0}<a::T>"), "");
        assert_eq!(readable("main"), "main");
        assert_eq!(readable(""), "");
    }

    #[test]
    fn a_function_is_of_the_crate_of_its_type() {
        assert_eq!(crate_of("server::handlers::index"), Some("server"));
        assert_eq!(crate_of("<server::T as core::fmt::Display>::fmt"), Some("server"));
        assert_eq!(crate_of("<&mut server::T as core::fmt::Display>::fmt"), Some("server"));
        assert_eq!(crate_of("core::ptr::drop_in_place<server::T>"), Some("core"));
        assert_eq!(crate_of("main"), None);
        assert_eq!(crate_of("<str>::len"), None);
        assert_eq!(crate_of("::"), None);
    }

    #[test]
    fn brackets_that_close_nothing_or_are_not_closed_are_letters() {
        for (name, plain, crate_name) in [
            ("<", "<", None),
            (">", ">", None),
            ("a::>::<", "a::>::<", Some("a")),
            ("{{", "{{", None),
            ("a::<impl ", "a::<impl ", Some("a")),
            ("é::<ü>::ß", "é::ß", Some("é")),
            ("::", "::", None),
            ("-><->", "-><->", None),
        ] {
            assert_eq!((plain_path(name).as_str(), crate_of(name)), (plain, crate_name), "{name}");
            assert_eq!(readable(name), name, "it has no closure");
        }
    }
}

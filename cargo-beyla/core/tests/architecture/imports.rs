//! Which modules of a crate import which, read from its sources. Code for tests does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The modules that each module imports. Names are as in `analysis::budget::parse`; the root of the crate is empty.
pub(crate) type Imports = BTreeMap<String, BTreeSet<String>>;

/// Reads the crate whose root is this file, with its modules beside it.
pub(crate) fn read_crate(root: &Path) -> Imports {
    let mut modules = BTreeMap::new();
    read_module(String::new(), root, root.parent().expect("the folder of a file"), &mut modules);
    let known: BTreeSet<&str> = modules.keys().map(String::as_str).collect();
    let imports = |(module, code): (&String, &Code)| {
        let others = code.paths.iter().filter_map(|path| resolve(module, path, &known));
        (module.clone(), others.filter(|other| other != module).collect())
    };
    modules.iter().map(imports).collect()
}

fn read_module(module: String, file: &Path, children: &Path, modules: &mut BTreeMap<String, Code>) {
    let text = fs::read_to_string(file).unwrap_or_else(|reason| panic!("{}: {reason}", file.display()));
    let code = Code::read(&text);
    for child in &code.children {
        let name = if module.is_empty() { child.clone() } else { format!("{module}::{child}") };
        let folder = children.join(child);
        let [alone, in_folder] = [children.join(format!("{child}.rs")), folder.join("mod.rs")];
        read_module(name, if alone.exists() { &alone } else { &in_folder }, &folder, modules);
    }
    modules.insert(module, code);
}

/// The module to which a path in `module` leads; `None` if it leads out of the crate.
fn resolve(module: &str, path: &[String], known: &BTreeSet<&str>) -> Option<String> {
    let mut base: Vec<&str> = module.split("::").filter(|segment| !segment.is_empty()).collect();
    let mut rest = path;
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            "self" => {}
            _ => break,
        }
        rest = others;
    }
    let inside = rest.len() < path.len();
    base.extend(rest.iter().map(String::as_str));
    let prefixes = (0..=base.len()).rev().map(|length| base[..length].join("::"));
    let found = prefixes.into_iter().find(|prefix| known.contains(&**prefix))?;
    // Without `crate`, `super` or `self` in front, a path leads to a child or out of the crate.
    (inside || found.len() > module.len()).then_some(found)
}

/// What the code of a module says of others.
#[derive(Debug, Default, PartialEq, Eq)]
struct Code {
    /// The modules that it declares.
    children: Vec<String>,
    /// The paths that it uses, in declarations and elsewhere.
    paths: Vec<Vec<String>>,
}

impl Code {
    fn read(text: &str) -> Self {
        let tokens = without_tests(&tokens(text));
        let mut code = Self::default();
        let mut rest = &tokens[..];
        while let Some((token, after)) = rest.split_first() {
            rest = match (token.as_str(), after) {
                ("mod", [name, end, after @ ..]) if end == ";" => {
                    code.children.push(name.clone());
                    after
                }
                ("use", _) => {
                    let end = after.iter().position(|token| token == ";").expect("the end of a use declaration");
                    expand(&mut &after[..end], &[], &mut code.paths);
                    &after[end..]
                }
                ("crate" | "super" | "self", [colons, ..]) if colons == "::" => {
                    let mut path = vec![token.clone()];
                    let mut rest = after;
                    while let [colons, name, after @ ..] = rest
                        && colons == "::"
                        && is_name(name)
                    {
                        path.push(name.clone());
                        rest = after;
                    }
                    code.paths.push(path);
                    rest
                }
                _ => after,
            };
        }
        code
    }
}

/// `a::{b, c::d}` -> `a::b`, `a::c::d`.
fn expand(tokens: &mut &[String], prefix: &[String], paths: &mut Vec<Vec<String>>) {
    let mut path = prefix.to_vec();
    while let Some((token, rest)) = tokens.split_first() {
        *tokens = rest;
        match token.as_str() {
            "{" => {
                while tokens.first().is_some_and(|token| token != "}") {
                    expand(tokens, &path, paths);
                }
                *tokens = tokens.get(1..).unwrap_or_default();
                path.clear();
            }
            "," => break,
            "as" => *tokens = rest.get(1..).unwrap_or_default(),
            name if is_name(name) && (name != "self" || path.is_empty()) => path.push(name.to_owned()),
            _ => {}
        }
        if tokens.first().is_some_and(|token| token == "}") {
            break;
        }
    }
    if !path.is_empty() {
        paths.push(path);
    }
}

/// Leaves out each item behind `#[cfg(test)]` or `#[cfg(any(test, ...))]`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let starts =
        |rest: &[String], with: &[&str]| rest.len() >= with.len() && rest.iter().zip(with).all(|(a, b)| a == b);
    let mut kept = Vec::new();
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        let of_tests = starts(rest, &["#", "[", "cfg", "(", "test", ")"])
            || starts(rest, &["#", "[", "cfg", "(", "any", "(", "test", ","]);
        if of_tests {
            let attributes = rest.iter().position(|token| token == "]").expect("the end of an attribute") + 1;
            rest = skip_item(&rest[attributes..]);
        } else {
            kept.push(token.clone());
            rest = after;
        }
    }
    kept
}

/// Skips up to the semicolon or the closing brace that ends an item.
fn skip_item(tokens: &[String]) -> &[String] {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(token.as_str(), ";" | "}") {
            return &tokens[at + 1..];
        }
    }
    &[]
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::`, and all else by single characters; without comments, strings and characters.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else if is_name(rest) {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        } else {
            let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            if !first.is_whitespace() {
                tokens.push(rest[..length].to_owned());
            }
            length
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the string or character that the text begins with.
fn literal(text: &str) -> Option<usize> {
    let raw = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - raw.len();
    if let Some(after) = raw.strip_prefix('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let content = after[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(text.len() - content.len() + content.find(&end)? + end.len());
    }
    let quote = raw.chars().next().filter(|quote| ['"', '\''].contains(quote) && prefix <= 1)?;
    let mut characters = raw.char_indices().skip(1);
    if quote == '\'' {
        // A lifetime has no closing quote.
        let content = characters.next()?.1;
        let end = if content == '\\' {
            raw[3..].find('\'').map(|end| end + 3)
        } else {
            Some(1 + content.len_utf8()).filter(|end| raw[*end..].starts_with('\''))
        };
        return end.map(|end| prefix + end + 1);
    }
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '"' => return Some(prefix + at + 1),
            _ => {}
        }
    }
    None
}

#[test]
fn imports_are_read_and_code_for_tests_is_not() {
    let code = Code::read(
        r#"
        //! crate::comment
        pub mod child;
        use crate::{a::{self, B as C}, d::*};
        pub(crate) use child::{E, F};
        /* use crate::comment; */
        const TEXT: &str = "use crate::string; \" crate::string";
        fn f<'a>(x: &'a super::g::H) -> char { crate::i::j(); '"' }
        #[cfg(test)]
        mod tests { use crate::test; fn g() { { } } }
        #[cfg(any(test, feature = "fixtures"))]
        pub mod fixtures;
        use self::child::K;
        "#,
    );
    let paths: Vec<_> = code.paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(code.children, ["child"]);
    assert_eq!(
        paths,
        ["crate::a", "crate::a::B", "crate::d", "child::E", "child::F", "super::g::H", "crate::i::j", "self::child::K"]
    );
}

#[test]
fn paths_lead_to_the_innermost_module_that_there_is() {
    let known = BTreeSet::from(["", "a", "a::b", "a::b::c", "d"]);
    let to =
        |module: &str, path: &str| resolve(module, &path.split("::").map(str::to_owned).collect::<Vec<_>>(), &known);
    assert_eq!(to("d", "crate::a::b::Type").as_deref(), Some("a::b"));
    assert_eq!(to("a::b", "super::Type").as_deref(), Some("a"));
    assert_eq!(to("a::b::c", "super::super::Type").as_deref(), Some("a"));
    assert_eq!(to("a::b", "c::Type").as_deref(), Some("a::b::c"));
    assert_eq!(to("a::b", "hashbrown::HashMap"), None);
    assert_eq!(to("a", "d::Type"), None);
}

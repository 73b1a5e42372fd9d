//! Where something stands in this repository's sources.

use crate::tool;

/// The number of the first line with `code` in the function `name` of a file of the repository.
pub fn line(file: &str, name: &str, code: &str) -> u32 {
    let path = tool::root().join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let head = format!("fn {name}(");
    let mut lines = (1..).zip(text.lines()).skip_while(|(_, line)| !line.contains(&head));
    let found = lines.find(|(_, line)| line.contains(code));
    found.unwrap_or_else(|| panic!("no '{code}' in {name} of {file}")).0
}

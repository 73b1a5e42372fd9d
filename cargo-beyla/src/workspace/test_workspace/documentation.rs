//! Tests in documentation: `rustdoc` builds and runs them, each or all in processes that are its own.

use std::fs;
use std::path::Path;

use cargo_metadata::Package;

/// So many files are searched of a library; with more, there will be tests somewhere.
const FILES_MAX: usize = 2_000;

/// The name of a package whose library's documentation holds tests, or seems to.
pub(super) fn library_with_doc_tests(package: &Package) -> Option<&str> {
    let library = package.targets.iter().find(|target| target.doctest)?;
    let sources = library.src_path.parent()?;
    let mut budget = FILES_MAX;
    has_doc_tests(sources.as_std_path(), &mut budget).then_some(package.name.as_str())
}

/// What cannot be read, rustdoc cannot read either.
fn has_doc_tests(folder: &Path, budget: &mut usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        let name = entry.file_name();
        let found = if kind.is_dir() {
            name != "target" && !name.as_encoded_bytes().starts_with(b".") && has_doc_tests(&path, budget)
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            if *budget == 0 {
                return true;
            }
            *budget -= 1;
            fs::read_to_string(&path).is_ok_and(|text| text.lines().any(begins_doc_test))
        } else {
            false
        };
        if found {
            return true;
        }
    }
    false
}

/// A fence in a documentation comment, or a whole file that is documentation.
fn begins_doc_test(line: &str) -> bool {
    let line = line.trim_start();
    let comment = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
    comment.is_some_and(|text| text.trim_start().starts_with("```"))
        || (line.starts_with('#') && line.contains("doc") && line.contains("include_str!"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_with_tests_is_told_from_other_text() {
        for line in ["    /// ```", "//! ```no_run", "#![doc = include_str!(\"../README.md\")]"] {
            assert!(begins_doc_test(line), "{line}");
        }
        for line in ["// ```", "/// text", "let x = \"```\";", "#[derive(Debug)]"] {
            assert!(!begins_doc_test(line), "{line}");
        }
    }
}

//! The crates are built as they are drawn: data flows one way through their folders, and no files import each other in a
//! circle. No dependency of the core makes system calls or reads the clock.

#[path = "architecture/imports.rs"]
mod imports;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use imports::{Imports, read_crate};

/// What the files of each folder may import, beside the folder itself. A module that is no folder here, such as the one
/// that puts the layers together, may import them all, and none of them may import it.
type Drawing = &'static [(&'static str, &'static [&'static str])];

const CORE: Drawing = &[
    ("model", &[]),
    ("event", &["model"]),
    ("transport", &["event", "model"]),
    ("protocol", &["event", "transport", "model"]),
    ("runtime", &["event", "model"]),
    ("exchange", &["event", "transport", "protocol", "runtime", "model"]),
    ("analysis", &["event", "transport", "protocol", "exchange", "runtime", "model"]),
];

const KERNEL_SIDE: Drawing = &[
    ("kernel", &[]),
    ("process", &["kernel"]),
    ("capture", &["kernel"]),
    ("runtime", &["kernel", "process", "capture"]),
    ("connections", &["kernel", "process", "runtime", "capture"]),
    ("frames", &["kernel", "capture", "connections"]),
    ("calls", &["kernel", "process", "runtime", "capture", "connections", "frames"]),
];

/// Crates that make system calls, read the clock, or bring an async runtime.
const IMPURE: [&str; 8] = ["libc", "nix", "rustix", "aya", "tokio", "mio", "socket2", "chrono"];

fn against_the_drawing(imports: &Imports, drawing: Drawing) -> Vec<String> {
    let folder = |module: &str| module.split("::").next().unwrap_or_default().to_owned();
    let drawing: BTreeMap<&str, &[&str]> = drawing.iter().copied().collect();
    let mut against = Vec::new();
    for (from, to) in imports.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to))) {
        let (from_folder, to_folder) = (folder(from), folder(to));
        let allowed = drawing.get(&*from_folder).is_none_or(|allowed| allowed.contains(&&*to_folder));
        if from_folder != to_folder && !allowed {
            against.push(format!("{from} imports {to}"));
        }
    }
    against
}

/// The modules of a circle of imports, if there is one. A parent and its children may import each other.
fn circle(imports: &Imports) -> Option<Vec<&str>> {
    fn visit<'a>(module: &'a str, imports: &'a Imports, path: &mut Vec<&'a str>, done: &mut Vec<&'a str>) -> bool {
        if done.contains(&module) {
            return false;
        }
        if let Some(begin) = path.iter().position(|on_path| *on_path == module) {
            path.drain(..begin);
            return true;
        }
        path.push(module);
        let related = |other: &str| {
            other.starts_with(&format!("{module}::")) || module.starts_with(&format!("{other}::")) || other.is_empty()
        };
        for other in imports.get(module).into_iter().flatten().filter(|other| !related(other)) {
            if visit(other, imports, path, done) {
                return true;
            }
        }
        path.pop();
        done.push(module);
        false
    }
    let (mut path, mut done) = (Vec::new(), Vec::new());
    imports.keys().any(|module| visit(module, imports, &mut path, &mut done)).then_some(path)
}

/// Reads the crate whose root is this file, as seen from this crate.
fn imports_of(root: &str) -> Imports {
    read_crate(&Path::new(env!("CARGO_MANIFEST_DIR")).join(root))
}

fn assert_follows(root: &str, drawing: Drawing) {
    let imports = imports_of(root);
    for (folder, _) in drawing {
        assert!(imports.keys().any(|module| module.starts_with(&format!("{folder}::"))), "no folder {folder}");
    }
    let against = against_the_drawing(&imports, drawing);
    assert!(against.is_empty(), "against the drawing:\n{}", against.join("\n"));
}

#[test]
fn imports_follow_the_drawing() {
    assert_follows("src/lib.rs", CORE);
    assert_follows("../../ebpf/src/main.rs", KERNEL_SIDE);
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for root in ["src/lib.rs", "../src/lib.rs", "../../ebpf/src/main.rs"] {
        assert_eq!(circle(&imports_of(root)), None, "{root}");
    }
}

#[test]
fn no_dependency_makes_system_calls() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", env!("CARGO_PKG_NAME"), "--edges", "normal", "--target", "all"])
        .args(["--prefix", "none", "--format", "{p}", "--locked", "--offline"])
        // It asks the processor which instructions it has; on some architectures that takes the auxiliary vector.
        .args(["--prune", "cpufeatures"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("text");
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"hashbrown"), "{tree}");
    let impure: Vec<_> = IMPURE.iter().filter(|name| names.contains(name)).collect();
    assert!(impure.is_empty(), "{impure:?}\n{tree}");
}

fn sample(modules: &[(&str, &[&str])]) -> Imports {
    let set = |all: &[&str]| all.iter().map(|other| (*other).to_owned()).collect();
    modules.iter().map(|(module, all)| ((*module).to_owned(), set(all))).collect()
}

#[test]
fn an_import_against_the_drawing_is_found() {
    let of = |from, to| against_the_drawing(&sample(&[(from, &[to])]), CORE);
    assert_eq!(of("model::request", "analysis::suite"), ["model::request imports analysis::suite"]);
    assert_eq!(of("runtime::tracker", "exchange::trace"), ["runtime::tracker imports exchange::trace"]);
    assert_eq!(of("exchange::connection", "trace"), ["exchange::connection imports trace"]);
    for (from, to) in
        [("analysis::findings", "runtime::tracker"), ("model::a", "model::b"), ("trace", "analysis::suite")]
    {
        assert!(of(from, to).is_empty(), "{from} {to}");
    }
}

#[test]
fn a_circle_is_found_except_between_parent_and_child() {
    assert_eq!(circle(&sample(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])])), Some(vec!["b", "c"]));
    assert_eq!(circle(&sample(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])), None);
    assert_eq!(circle(&sample(&[("a", &["a::b"]), ("a::b", &["a"])])), None);
    assert_eq!(circle(&sample(&[("a::b", &["a::c"]), ("a::c", &["a::b"])])), Some(vec!["a::b", "a::c"]));
}

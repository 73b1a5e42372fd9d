//! On programs that are built in the ways in which users build theirs: where they sleep is told by what is left of their
//! names and paths.

use std::process::Command;

use super::*;

/// The workspace's only crate.
const CRATE: &str = "shop";

/// It sleeps in a function that is inlined into another, in a file of its own.
const FILES: [(&str, &str); 2] = [
    ("src/main.rs", "mod cart;\n\nfn main() {\n    cart::pay();\n}\n"),
    (
        "src/cart.rs",
        r"#[inline(never)]
pub fn pay() {
    wait();
    std::hint::black_box(());
}

#[inline(always)]
fn wait() {
    std::thread::sleep(std::time::Duration::from_secs(60));
}
",
    ),
];

/// Where.
const LINE: u32 = 9;

/// A workspace with a program in it.
struct Workspace {
    folder: tempfile::TempDir,
}

/// What leads to the place: file and line, the function, and what it called.
type Found = (Option<(String, u32)>, Option<String>, Option<String>);

fn found(file: Option<&str>, function: Option<&str>, call: Option<&str>) -> Found {
    (file.map(|file| (file.to_owned(), LINE)), function.map(str::to_owned), call.map(str::to_owned))
}

impl Workspace {
    /// Built as cargo does, in the folder of the workspace, with these flags; `ROOT` in them is that folder.
    fn build(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("src")).expect("a folder in it");
        for (path, text) in FILES {
            std::fs::write(folder.path().join(path), text).expect("it is written");
        }
        let workspace = Self { folder };
        let root = workspace.root().display().to_string();
        let built = Command::new("rustc")
            .args(["--edition=2024", "--crate-name", CRATE, "src/main.rs", "-o", "program"])
            .args(flags.iter().map(|flag| flag.replace("ROOT", &root)))
            .current_dir(&root)
            .output()
            .expect("there is a compiler");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        workspace
    }

    /// Its folder, as debug information has it.
    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().expect("it is there")
    }

    /// Where the program sleeps, to one whose workspace is `root` with these crates.
    #[expect(clippy::zombie_processes, reason = "it is waited for as any child of these tests")]
    fn place(&self, root: &Path, crates: &[&str]) -> Found {
        let program = Command::new(self.folder.path().join("program")).spawn().expect("it starts");
        let child = Child(Pid::from_raw(program.id() as i32));
        let (registers, bytes) = child.stack();
        let mut symbols = Symbols::new(root.to_owned(), crates.iter().map(|&name| name.to_owned()).collect());
        assert!(symbols.unwind(child.pid(), &CopiedStack { registers, bytes: &bytes }).stack > 0);
        let frames = symbols.take_stacks().remove(0).1;
        let Landmarks { function, call } = Landmarks::of(&frames);
        let name = |frame: Option<&Frame>| frame.and_then(Frame::name).map(str::to_owned);
        let source = function.and_then(|function| function.source.clone());
        (source.map(|(file, line)| (file.to_string(), line)), name(function), name(call))
    }
}

/// By another folder, by nothing, or not at all; in both schemes of mangling, of which the older one is the compiler's
/// own choice.
#[test]
fn paths_that_are_replaced_lead_to_the_workspace() {
    for (debug, function) in [("-Cdebuginfo=2", "shop::cart::wait"), ("-Cdebuginfo=line-tables-only", "wait")] {
        for mangling in ["-Csymbol-mangling-version=v0", "--cfg=older"] {
            for replaced in ["ROOT=/build", "ROOT=", "ROOT=.", "/nowhere=/build"] {
                let workspace = Workspace::build(&["-O", debug, mangling, "--remap-path-prefix", replaced]);
                let expected = found(Some("src/cart.rs"), Some(function), Some("std::thread::sleep"));
                assert_eq!(workspace.place(&workspace.root(), &[CRATE]), expected, "{debug} {mangling} {replaced}");
            }
        }
    }
}

#[test]
fn where_the_workspace_is_not_at_hand_its_crate_or_the_nearest_function_is_named() {
    let elsewhere = tempfile::tempdir().expect("a folder");
    let function = Some("shop::cart::wait");
    let workspace = Workspace::build(&["-Cdebuginfo=2", "--remap-path-prefix", "ROOT=/build"]);
    let at = Some("/build/src/cart.rs");
    assert_eq!(workspace.place(elsewhere.path(), &[CRATE]), found(at, function, Some("std::thread::sleep")));
    assert_eq!(workspace.place(elsewhere.path(), &["another"]), found(at, function, Some("clock_nanosleep")));
    let workspace = Workspace::build(&["-Cdebuginfo=2"]);
    let file = workspace.root().join("src/cart.rs").display().to_string();
    for root in [elsewhere.path(), Path::new("/")] {
        assert_eq!(workspace.place(root, &["another"]), found(Some(&file), function, Some("clock_nanosleep")));
    }
    let workspace = Workspace::build(&["-Cdebuginfo=0"]);
    let found_without_lines = (None, Some("shop::cart::pay".to_owned()), Some("clock_nanosleep".to_owned()));
    assert_eq!(workspace.place(elsewhere.path(), &["another"]), found_without_lines);
}

#[test]
fn of_a_stripped_program_the_function_of_the_c_library_is_left() {
    let workspace = Workspace::build(&["-O", "-Cstrip=symbols"]);
    assert_eq!(workspace.place(&workspace.root(), &[CRATE]), found(None, None, Some("clock_nanosleep")));
}

#[test]
fn a_c_library_within_the_executable_is_still_none_of_the_users_code() {
    let workspace = Workspace::build(&["-Cdebuginfo=2", "-Ctarget-feature=+crt-static"]);
    let (_, function, call) = workspace.place(Path::new("/"), &["another"]);
    assert_eq!(function.as_deref(), Some("shop::cart::wait"), "{call:?}");
}

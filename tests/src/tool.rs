//! The binary under test.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use cargo_metadata::Message;

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in a folder of the repository")
}

/// Cargo, as it called us.
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The `cargo-beyla` binary, built once in a process.
pub fn tool() -> &'static Path {
    static TOOL: OnceLock<PathBuf> = OnceLock::new();
    TOOL.get_or_init(|| build("cargo-beyla", "cargo-beyla"))
}

/// Where cargo builds what the tests run.
pub fn target_dir() -> &'static Path {
    tool().ancestors().nth(2).expect("the binary lies in the folder of its profile")
}

/// Builds a binary of this repository in the profile that the tests have, and finds it.
pub fn build(package: &str, bin: &str) -> PathBuf {
    let mut command = Command::new(cargo());
    command.current_dir(root()).args([
        "build",
        "--message-format=json-render-diagnostics",
        "-p",
        package,
        "--bin",
        bin,
    ]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // What cargo tells a test of its package makes build scripts run again that look at it.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let output = command.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "{bin} does not build");
    Message::parse_stream(&output.stdout[..])
        .filter_map(|message| match message.expect("cargo's messages") {
            Message::CompilerArtifact(artifact) if artifact.target.name == bin => artifact.executable,
            _ => None,
        })
        .last()
        .expect("cargo names the executable")
        .into()
}

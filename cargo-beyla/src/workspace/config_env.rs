//! The `[env]` table of cargo's configuration, which `cargo run` passes on.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// As much of a `config.toml` as is of use here.
#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    env: HashMap<String, Entry>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Entry {
    Plain(String),
    Detailed {
        value: String,
        /// Also where the environment has the variable.
        #[serde(default)]
        force: bool,
        /// A path, from the folder that holds `.cargo`.
        #[serde(default)]
        relative: bool,
    },
}

/// The variables to set, the environment considered.
pub(super) fn read() -> Vec<(OsString, OsString)> {
    let Ok(here) = std::env::current_dir() else { return Vec::new() };
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    merge(&files(&here, home.as_deref()), |name| std::env::var_os(name).is_some())
}

/// The configuration files, the nearest first.
fn files(here: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = here.ancestors().map(|folder| folder.join(".cargo")).collect();
    if let Some(home) = home.filter(|home| !folders.iter().any(|folder| folder == home)) {
        folders.push(home.to_owned());
    }
    let in_folder = |folder: PathBuf| {
        // The name without an ending is the older one, and wins where both are there.
        ["config", "config.toml"].map(|name| folder.join(name)).into_iter().find(|file| file.is_file())
    };
    folders.into_iter().filter_map(in_folder).collect()
}

/// The nearest file's word counts. One that cannot be read is passed over: cargo has complained of it
/// when it built.
fn merge(files: &[PathBuf], is_set: impl Fn(&str) -> bool) -> Vec<(OsString, OsString)> {
    let mut merged: HashMap<String, (Entry, &Path)> = HashMap::new();
    for file in files.iter().rev() {
        let config: Config =
            std::fs::read_to_string(file).ok().and_then(|text| toml::from_str(&text).ok()).unwrap_or_default();
        merged.extend(config.env.into_iter().map(|(name, entry)| (name, (entry, file.as_path()))));
    }
    let mut variables: Vec<(OsString, OsString)> = merged
        .into_iter()
        .filter_map(|(name, (entry, file))| {
            let (value, force, relative) = match entry {
                Entry::Plain(value) => (value, false, false),
                Entry::Detailed { value, force, relative } => (value, force, relative),
            };
            if is_set(&name) && !force {
                return None;
            }
            let base = file.parent().and_then(Path::parent).filter(|_| relative);
            let value = base.map_or_else(|| value.clone().into(), |base| base.join(&value).into_os_string());
            Some((name.into(), value))
        })
        .collect();
    variables.sort();
    variables
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_nearest_word_counts_and_the_environment_is_respected() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("inner");
        fs::create_dir_all(root.path().join(".cargo")).unwrap();
        fs::create_dir_all(inner.join(".cargo")).unwrap();
        fs::write(
            root.path().join(".cargo/config.toml"),
            "[build]\njobs = 1\n[env]\nFAR = 'far'\nBOTH = 'far'\nSET = 'no'\nFORCED = { value = 'yes', force = true }\n\
             DATA = { value = 'data', relative = true }",
        )
        .unwrap();
        fs::write(inner.join(".cargo/config.toml"), "env.BOTH = 'near'").unwrap();

        let files: Vec<PathBuf> = files(&inner, None).into_iter().filter(|f| f.starts_with(root.path())).collect();
        let variables = merge(&files, |name| matches!(name, "SET" | "FORCED"));
        let data = root.path().join("data").into_os_string();
        let expected: Vec<(OsString, OsString)> = vec![
            ("BOTH".into(), "near".into()),
            ("DATA".into(), data),
            ("FAR".into(), "far".into()),
            ("FORCED".into(), "yes".into()),
        ];
        assert_eq!(variables, expected);
    }
}

//! `cargo beyla init`: writes a configuration file to begin with, and a compose file that starts Jaeger.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::InitArguments;
use crate::console::status::{Status, write};
use crate::error::Error;
use crate::launch::user::InvokingUser;

/// The files: their names and what is in them.
const FILES: [(&str, &str); 2] = [
    ("beyla.yml", include_str!("../../templates/beyla.yml")),
    ("compose.yml", include_str!("../../templates/compose.yml")),
];

/// What to type next.
const NEXT: &str = "
docker compose up -d                     # starts Jaeger: http://localhost:16686
cargo beyla run --jaeger localhost:4318  # sends it the traces of your server
cargo beyla run --config beyla.yml       # its settings are all comments now
";

/// Writes the files into the working directory: all of them or none.
pub(super) fn init(arguments: &InitArguments, status: Status) -> Result<ExitCode, Error> {
    let InitArguments { force } = arguments;
    write_files(Path::new(""), *force)?;
    for (name, _) in FILES {
        status.say("Created", name);
    }
    write(NEXT);
    Ok(ExitCode::SUCCESS)
}

fn write_files(directory: &Path, force: bool) -> Result<(), Error> {
    let existing = FILES.iter().map(|(name, _)| directory.join(name)).find(|path| path.symlink_metadata().is_ok());
    if let Some(path) = existing.filter(|_| !force) {
        return Err(Error::FileExists { path });
    }
    let user = InvokingUser::detect();
    for (name, text) in FILES {
        let path = directory.join(name);
        let failed = |source| Error::File { verb: "write", path: path.clone(), source };
        // Without --force what has come to be there since is not overwritten either.
        let opened = File::options().write(true).create(force).truncate(force).create_new(!force).open(&path);
        opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
        if let Some(user) = &user {
            let (uid, gid) = user.owner();
            // Then it stays root's, which the user will see.
            let _ = std::os::unix::fs::lchown(&path, Some(uid), Some(gid));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten_without_being_told_to() {
        let directory = tempfile::tempdir().unwrap();
        let compose = directory.path().join("compose.yml");
        std::fs::write(&compose, "mine").unwrap();
        let error = write_files(directory.path(), false).unwrap_err();
        assert!(error.to_string().ends_with("compose.yml is there already"), "{error}");
        assert!(!directory.path().join("beyla.yml").exists());
        assert_eq!(std::fs::read_to_string(&compose).unwrap(), "mine");
        write_files(directory.path(), true).unwrap();
        assert!(std::fs::read_to_string(&compose).unwrap().contains("jaeger"));
    }
}

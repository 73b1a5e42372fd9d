//! Where the functions of libraries are that are probed, as the parent found them in what a process executes: those that set
//! up keys for TLS, and those of SQLite.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::any_path;

/// What it is, and so what it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LibraryPoint {
    /// `EVP_AEAD_CTX_init` of aws-lc, or `EVP_AEAD_CTX_init_with_direction`.
    AwsLc,
    /// The same of `BoringSSL`.
    BoringSsl,
    /// `aes_hw_set_encrypt_key` of ring, or what it has in its place.
    Ring,
    /// A call of OpenSSL's `EVP_CipherInit_ex`.
    OpenSsl,
    /// `sqlite3_prepare_v2`, `sqlite3_prepare_v3`.
    SqlitePrepare,
    /// `sqlite3_step`.
    SqliteStep,
    /// `sqlite3_reset`, `sqlite3_finalize`.
    SqliteReset,
    /// `sqlite3_exec`.
    SqliteExec,
    /// Its return.
    SqliteExecReturned,
}

impl LibraryPoint {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::AwsLc,
        Self::BoringSsl,
        Self::Ring,
        Self::OpenSsl,
        Self::SqlitePrepare,
        Self::SqliteStep,
        Self::SqliteReset,
        Self::SqliteExec,
        Self::SqliteExecReturned,
    ];

    /// What cannot be seen without it, in words.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::AwsLc | Self::BoringSsl | Self::Ring | Self::OpenSsl => "TLS cannot be read",
            _ => "calls of SQLite are not seen",
        }
    }

    /// The kernel program for it.
    pub fn program(self) -> &'static str {
        match self {
            Self::AwsLc => "key_aws_lc",
            Self::BoringSsl => "key_boringssl",
            Self::Ring => "key_ring",
            Self::OpenSsl => "key_openssl",
            Self::SqlitePrepare => "sqlite_prepare",
            Self::SqliteStep => "sqlite_step",
            Self::SqliteReset => "sqlite_reset",
            Self::SqliteExec => "sqlite_exec",
            Self::SqliteExecReturned => "sqlite_exec_returned",
        }
    }
}

/// An instruction to be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LibraryProbe {
    /// What it is.
    pub point: LibraryPoint,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
}

/// Those of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryProbes {
    /// The file.
    #[serde(with = "any_path")]
    pub path: PathBuf,
    /// The process that has mapped it and shall alone be probed. Without it the file must be the user's own.
    pub process: Option<NonZeroU32>,
    /// Where it is probed.
    pub probes: Vec<LibraryProbe>,
}

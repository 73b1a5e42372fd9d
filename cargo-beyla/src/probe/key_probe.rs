//! Where the functions are that set up keys for TLS, as the parent found them in what a process executes.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::any_path;

/// Whose function it is, and so where it is given the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyPoint {
    /// `EVP_AEAD_CTX_init` of aws-lc, or `EVP_AEAD_CTX_init_with_direction`.
    AwsLc,
    /// The same of `BoringSSL`.
    BoringSsl,
    /// `aes_hw_set_encrypt_key` of ring, or what it has in its place.
    Ring,
    /// A call of OpenSSL's `EVP_CipherInit_ex`.
    OpenSsl,
}

impl KeyPoint {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AwsLc, Self::BoringSsl, Self::Ring, Self::OpenSsl];

    /// The kernel program for it.
    pub fn program(self) -> &'static str {
        match self {
            Self::AwsLc => "key_aws_lc",
            Self::BoringSsl => "key_boringssl",
            Self::Ring => "key_ring",
            Self::OpenSsl => "key_openssl",
        }
    }
}

/// An instruction to be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyProbe {
    /// What it is.
    pub point: KeyPoint,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
}

/// Those of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProbes {
    /// The file.
    #[serde(with = "any_path")]
    pub path: PathBuf,
    /// The process that has mapped it and shall alone be probed. Without it the file must be the user's own.
    pub process: Option<NonZeroU32>,
    /// Where it is probed.
    pub probes: Vec<KeyProbe>,
}

//! The keys that the process sets up for TLS: probes on functions of its libraries.
//!
//! All are written in C or assembly and take their arguments as the C ABI has it, on every architecture. A key is read
//! before the function looks at it; whether it is one of TLS, its record's readers find out.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::uprobe, programs::ProbeContext};
use cargo_beyla_events::{kind, library, Header, Key, KEY_MAX};

use crate::kernel::memory::user;
use crate::kernel::output;
use crate::process::{current, named, target};

/// The sizes of keys that suites of TLS with AES have, in bytes (RFC 5288, RFC 8446 section B.4).
const AES_128: u32 = 16;
const AES_256: u32 = KEY_MAX as u32;

/// `EVP_AEAD_CTX_init` and `EVP_AEAD_CTX_init_with_direction` of aws-lc.
#[uprobe]
pub fn key_aws_lc(context: ProbeContext) -> u32 {
    aead(&context, library::AWS_LC)
}

/// The same of BoringSSL.
#[uprobe]
pub fn key_boringssl(context: ProbeContext) -> u32 {
    aead(&context, library::BORINGSSL)
}

/// `aes_hw_set_encrypt_key` of ring and those in its place on other processors: the key, and its size in bits.
#[uprobe]
pub fn key_ring(context: ProbeContext) -> u32 {
    if let (Some(key), Some(bits)) = (context.arg(0), context.arg::<u32>(1)) {
        tell(library::RING, key, bits / 8);
    }
    0
}

/// A call of OpenSSL's `EVP_CipherInit_ex`: the fourth argument is the key, if there is one; its size is not among them.
#[uprobe]
pub fn key_openssl(context: ProbeContext) -> u32 {
    if let Some(key) = context.arg(3) {
        tell(library::OPENSSL, key, 0);
    }
    0
}

/// The third argument is the key, the fourth its size in bytes.
#[inline(always)]
fn aead(context: &ProbeContext, library: u8) -> u32 {
    if let (Some(key), Some(length)) = (context.arg(2), context.arg::<u32>(3)) {
        tell(library, key, length);
    }
    0
}

/// Tells of a key of the current process at an address, if it is traced; a `length` of 0 is one that is not known.
#[inline(always)]
fn tell(library: u8, address: u64, length: u32) {
    if address == 0 || !matches!(length, 0 | AES_128 | AES_256) || !target::is_current_or_found() {
        return;
    }
    let mut key = Key {
        header: Header {
            kind: kind::KEY,
            flags: 0,
            size: size_of::<Key>() as u32,
            time_ns: output::now(),
            connection: 0,
        },
        process: if named::is_itself() { 0 } else { current::process() },
        thread: bpf_get_current_pid_tgid() as u32,
        library,
        length: length as u8,
        reserved: [0; 6],
        bytes: [0; KEY_MAX],
    };
    let to = key.bytes.as_mut_ptr();
    // A short key may lie at the end of what can be read.
    if (length != AES_128 && user(to, AES_256, address)) || (length != AES_256 && user(to, AES_128, address)) {
        output::frequent((&raw const key).cast(), size_of::<Key>() as u64);
    } else {
        output::count_lost(output::Lost::Read);
    }
}

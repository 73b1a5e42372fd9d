//! MySQL -> messages, from bytes that may be anything, moved in calls of any length and captured in part: nothing panics,
//! every exchange begins once, and each of its messages ends once at most, after it has begun.
//!
//! With cargo-fuzz installed, in the root of the repository:
//!
//!     mkdir -p fuzz/corpus/mysql
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run mysql fuzz/corpus/mysql fuzz/seeds/mysql -- -max_total_time=60
#![no_main]

mod commands;

use cargo_beyla_core::protocol::mysql::CANDIDATE;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| commands::read(&CANDIDATE, bytes));

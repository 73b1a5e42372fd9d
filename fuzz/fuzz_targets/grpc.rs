//! The content of a gRPC call -> how many messages it holds: however it is cut, the count is the same, and where parts
//! of it are hidden it is the same or absent.
//!
//! With cargo-fuzz installed, in the root of the repository:
//!
//!     mkdir -p fuzz/corpus/grpc
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run grpc fuzz/corpus/grpc fuzz/seeds/grpc -- -max_total_time=60
#![no_main]

use cargo_beyla_core::protocol::grpc::{Encoding, MessageCounter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let Some((cuts, content)) = rest.split_at_checked(16) else { return };
    let encoding = [Encoding::Binary, Encoding::Web, Encoding::WebText][usize::from(first % 3)];
    let counter = || MessageCounter::new(encoding);
    let (mut whole, mut cut, mut holed) = (counter(), counter(), counter());
    whole.read(content);
    let mut left = content;
    for step in cuts.iter().cycle() {
        let (part, others) = left.split_at(usize::from(step % 64 + 1).min(left.len()));
        cut.read(part);
        if step & 0x80 != 0 {
            holed.skip(part.len() as u64);
        } else {
            holed.read(part);
        }
        left = others;
        if left.is_empty() {
            break;
        }
    }
    assert_eq!(cut.ending(), whole.ending());
    assert!(holed.ending().messages.is_none_or(|messages| Some(messages) == whole.ending().messages));
});

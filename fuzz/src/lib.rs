//! The pure core of cargo-beyla, without the rest: that it builds so shows that it calls nothing else.

#[path = "../../cargo-beyla/src/protocol/mod.rs"]
pub mod protocol;
#[path = "../../cargo-beyla/src/request/mod.rs"]
pub mod request;
#[path = "../../cargo-beyla/src/stream/mod.rs"]
pub mod stream;

//! TLS: plaintext in the place of the cipher text that carried it.
//!
//! Nothing here asks a library for anything. A probe tells which keys the process sets up; everything else is arithmetic
//! on the bytes that the socket's records hold (`key.rs`). `layer.rs` decides whether a connection speaks TLS, and passes
//! on what it carries; `connection.rs` has both directions of one that does, `half.rs` one direction: the framing of its
//! records, which key opens them, and what is missing of them. `handshake.rs` knows what was agreed on.
//!
//! A key opens a record only once it has proved itself on one that was captured as a whole, and again behind everything
//! that may hide a change of the key. So what is given on is what was said, or it is missing; it is never something else.

pub mod carried;
mod connection;
mod half;
mod handshake;
mod hello;
mod key;
pub mod keys;
pub mod layer;
mod messages;
mod open;
mod plaintext;
mod record;

#[cfg(test)]
mod tests;

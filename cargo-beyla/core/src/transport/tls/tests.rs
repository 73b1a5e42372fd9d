//! Tests of a whole connection.

mod losses;
mod peer;
mod recorded;
mod splits;
mod wire;

//! Follows the frames of protocols through the calls on a connection.

pub mod chunks;
pub mod openings;
pub mod walker;

//! What was measured is kept under a name, and compared with what is measured later.
//!
//! [`samples`] collects request times as requests end, [`store`] keeps them in a file, [`compare`] sets two of them
//! side by side, and [`estimate`] says of each row what changed, and how sure that is.

pub mod compare;
pub mod estimate;
pub mod name;
pub mod samples;
pub mod store;

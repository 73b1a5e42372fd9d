//! Tasks, threads and wakes: the clocks that open a handler.

pub(crate) mod explain;

//! Events -> connections and byte streams. Pure.


//! Byte streams -> messages; one file a protocol, one trait. Pure.

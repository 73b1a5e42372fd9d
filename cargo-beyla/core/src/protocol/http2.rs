//! HTTP/2: RFC 9113.
mod hpack;

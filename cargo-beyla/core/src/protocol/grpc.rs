//! gRPC in the messages of HTTP, and gRPC-Web: what their fields say and how many messages their contents hold.
//!
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md> and `PROTOCOL-WEB.md` beside it.

mod base64_stream;
mod counter;

use std::time::Duration;

pub use counter::MessageCounter;

/// How the messages of a call lie in the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/grpc`: one after the other.
    Binary,
    /// `application/grpc-web`: likewise, with the trailers behind them.
    Web,
    /// `application/grpc-web-text`: the same in base64.
    WebText,
}

impl Encoding {
    /// Of a content type; `None` if it is none of gRPC.
    pub fn of(content_type: &[u8]) -> Option<Self> {
        let start = content_type.get(..PREFIX.len())?;
        let rest = &content_type[PREFIX.len()..];
        if !start.eq_ignore_ascii_case(PREFIX) {
            return None;
        }
        let end = rest.iter().position(|byte| matches!(byte, b'+' | b';' | b' ' | b'\t')).unwrap_or(rest.len());
        match rest[..end].to_ascii_lowercase().as_slice() {
            b"" => Some(Self::Binary),
            b"-web" => Some(Self::Web),
            b"-web-text" => Some(Self::WebText),
            _ => None,
        }
    }
}

const PREFIX: &[u8] = b"application/grpc";

/// What the head of a request says of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// How its messages lie in the content.
    pub encoding: Encoding,
    /// For how long the client waits, if it says so.
    pub timeout: Option<Duration>,
}

/// What the content of a message, and the trailers behind it, say of the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// How many messages the content held; `None` where their framing was lost sight of, or if this is no gRPC.
    pub messages: Option<u64>,
    /// `grpc-status`, of a response.
    pub status: Option<u32>,
}

impl Ending {
    /// Of a message of which nothing is known.
    pub const UNKNOWN: Self = Self { messages: None, status: None };
}

/// Service and method of a path: `/package.Service/Method`.
pub fn split_path(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.rsplit_once('/')?;
    (!service.is_empty() && !method.is_empty()).then_some((service, method))
}

/// Reads a `grpc-timeout`: up to eight digits and a unit.
pub fn timeout(value: &[u8]) -> Option<Duration> {
    let (&unit, digits) = value.split_last()?;
    let number = number(digits).filter(|_| digits.len() <= 8)?;
    let duration = match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    };
    Some(duration)
}

/// Reads a `grpc-status`.
pub fn status(value: &[u8]) -> Option<u32> {
    number(value.trim_ascii()).and_then(|status| status.try_into().ok())
}

/// Digits and nothing else, and not too many of them.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number * 10 + value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for (content_type, encoding) in [
            ("application/grpc", Some(Encoding::Binary)),
            ("application/grpc+proto", Some(Encoding::Binary)),
            ("Application/gRPC; charset=utf-8", Some(Encoding::Binary)),
            ("application/grpc-web", Some(Encoding::Web)),
            ("application/grpc-web+proto", Some(Encoding::Web)),
            ("application/grpc-web-text+proto", Some(Encoding::WebText)),
            ("application/grpc2", None),
            ("application/grpcs", None),
            ("application/json", None),
            ("application/grp", None),
            ("", None),
        ] {
            assert_eq!(Encoding::of(content_type.as_bytes()), encoding, "{content_type}");
        }
    }

    #[test]
    fn timeouts() {
        for (value, nanoseconds) in [
            ("1H", Some(3_600_000_000_000)),
            ("2M", Some(120_000_000_000)),
            ("99999999S", Some(99_999_999_000_000_000)),
            ("100m", Some(100_000_000)),
            ("5u", Some(5_000)),
            ("7n", Some(7)),
            ("99999999H", Some(359_999_996_400_000_000_000)),
            ("", None),
            ("S", None),
            ("100", None),
            ("-1S", None),
            ("123456789S", None),
            ("1s", None),
        ] {
            assert_eq!(timeout(value.as_bytes()).map(|timeout| timeout.as_nanos()), nanoseconds, "{value}");
        }
    }

    #[test]
    fn paths_and_statuses() {
        assert_eq!(split_path("/pkg.v1.Service/Method"), Some(("pkg.v1.Service", "Method")));
        assert_eq!(split_path("/a/b/Method"), Some(("a/b", "Method")));
        for path in ["/Method", "//Method", "/Service/", "Service/Method", "", "-"] {
            assert_eq!(split_path(path), None, "{path}");
        }
        for (value, expected) in [("0", Some(0)), (" 16 ", Some(16)), ("99", Some(99)), ("", None), ("OK", None)] {
            assert_eq!(status(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(status(b"4294967296"), None);
        assert_eq!(status(&[b'1'; 40]), None);
    }
}

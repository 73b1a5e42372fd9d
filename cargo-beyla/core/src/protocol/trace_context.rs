//! W3C Trace Context (level 1): what the headers `traceparent` and `tracestate` of a request say.
//!
//! What does not follow the recommendation is as good as absent: the request then begins a trace of its
//! own, which is what the recommendation asks of whoever takes part.

use crate::model::trace_context::{SpanId, TraceId};

/// Fields of `tracestate` that a request may have; the lists of more are not kept.
pub const STATE_FIELDS: usize = 4;

/// What is kept of `tracestate`, in bytes: as much as everybody has to pass on.
const STATE_MAX: usize = 512;

/// The members that a `tracestate` may have.
const MEMBERS_MAX: usize = 32;

/// `00-` and two ids and two digits, with the dashes between.
const LENGTH: usize = 55;

/// A valid `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace that the request belongs to.
    pub trace_id: TraceId,
    /// The span of the caller that sent it.
    pub span_id: SpanId,
    /// Whether the caller records its part.
    pub sampled: bool,
}

/// The trace context of a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHeaders<'a> {
    /// What `traceparent` says.
    pub parent: TraceParent,
    /// The values of `tracestate`, in their order; empty where there are none.
    pub states: [&'a [u8]; STATE_FIELDS],
}

impl TraceParent {
    /// Reads the value of a `traceparent`; `None` if it is not valid.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let [version] = hex(&known[..2])?;
        // A later version may say more behind the part that is known.
        let ends = if version == 0 { rest.is_empty() } else { rest.first().is_none_or(|&byte| byte == b'-') };
        let dashes = [2, 35, 52].iter().all(|&at| known[at] == b'-');
        if version == 0xff || !ends || !dashes {
            return None;
        }
        let [flags] = hex(&known[53..55])?;
        Some(Self {
            trace_id: TraceId::new(hex(&known[3..35])?)?,
            span_id: SpanId::new(hex(&known[36..52])?)?,
            sampled: flags & 1 == 1,
        })
    }
}

/// Puts the values of `tracestate` into one; `None` if there is nothing in them, or if one of them is not
/// valid. Of a long one the first members are kept.
pub fn combine_states(values: &[&[u8]]) -> Option<String> {
    let mut combined = String::new();
    let mut keys: Vec<&str> = Vec::new();
    let mut full = false;
    for value in values {
        for member in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty()) {
            let member = std::str::from_utf8(member).ok()?;
            let (key, value) = member.split_once('=')?;
            if !is_key(key) || !is_value(value) || keys.contains(&key) || keys.len() == MEMBERS_MAX {
                return None;
            }
            keys.push(key);
            full |= combined.len() + 1 + member.len() > STATE_MAX;
            if !full {
                combined.push_str(if combined.is_empty() { "" } else { "," });
                combined.push_str(member);
            }
        }
    }
    (!combined.is_empty()).then_some(combined)
}

fn is_key(key: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    key.len() <= 256
        && key.bytes().all(known)
        && key.bytes().next().is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit())
}

fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len()) && value.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=')
}

/// Lower-case digits, and as many as there is room for.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    if pairs.len() != N {
        return None;
    }
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = value(high)? << 4 | value(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn parse(value: &str) -> Option<TraceParent> {
        TraceParent::parse(value.as_bytes())
    }

    #[test]
    fn a_valid_parent_is_read() {
        let parent = parse(&format!("00-{TRACE}-{SPAN}-01")).expect("valid");
        assert_eq!((parent.trace_id.to_string().as_str(), parent.span_id.to_string().as_str()), (TRACE, SPAN));
        assert!(parent.sampled);
        // Only the last bit of the flags has a meaning.
        assert!(parse(&format!("00-{TRACE}-{SPAN}-fb")).is_some_and(|parent| parent.sampled));
        assert!(parse(&format!("00-{TRACE}-{SPAN}-02")).is_some_and(|parent| !parent.sampled));
        assert!(parse(&format!(" 00-{TRACE}-{SPAN}-00\t")).is_some_and(|parent| !parent.sampled));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for (value, valid) in [
            (format!("cc-{TRACE}-{SPAN}-01"), true),
            (format!("cc-{TRACE}-{SPAN}-01-what-comes"), true),
            (format!("cc-{TRACE}-{SPAN}-01-"), true),
            (format!("cc-{TRACE}-{SPAN}-01.what"), false),
            (format!("ff-{TRACE}-{SPAN}-01"), false),
            (format!("00-{TRACE}-{SPAN}-01-more"), false),
        ] {
            assert_eq!(parse(&value).is_some(), valid, "{value}");
        }
    }

    #[test]
    fn what_is_not_valid_is_absent() {
        let zeros = "0".repeat(32);
        for value in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("0-{TRACE}-{SPAN}-001"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}{SPAN}--01"),
            format!("00-{TRACE}-{SPAN}-01é"),
        ] {
            assert_eq!(parse(&value), None, "{value}");
        }
    }

    #[test]
    fn states_are_combined_in_their_order() {
        for (values, combined) in [
            (&["a=1"][..], Some("a=1")),
            (&["a=1 , b=2", "", "c@d=x y"], Some("a=1,b=2,c@d=x y")),
            (&["", " , "], None),
            (&["a=1", "a=2"], None),
            (&["A=1"], None),
            (&["a=1=2"], None),
            (&["a="], None),
            (&["=1"], None),
            (&["a=\u{e9}"], None),
        ] {
            let values: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(combine_states(&values).as_deref(), combined, "{values:?}");
        }
    }

    #[test]
    fn states_are_bounded() {
        let members = |count: usize, length: usize| {
            (0..count).map(|n| format!("k{n}={}", "v".repeat(length))).collect::<Vec<_>>().join(",")
        };
        assert!(combine_states(&[members(32, 1).as_bytes()]).is_some());
        assert_eq!(combine_states(&[members(33, 1).as_bytes()]), None);
        let kept = combine_states(&[members(10, 100).as_bytes()]).expect("valid");
        assert_eq!(kept, members(4, 100));
        assert_eq!(combine_states(&[members(1, 257).as_bytes()]), None);
    }
}

//! Request lines: whether bytes begin with one, and what those of a head that cannot be read tell.

use std::str;

/// No method that anybody uses is longer, in bytes.
const METHOD_MAX: usize = 32;

/// Methods that servers know: RFC 9110, RFC 5789, RFC 4918, RFC 3253, RFC 5323, and those of service discovery and of
/// caches.
const KNOWN: [&str; 21] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "QUERY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "M-SEARCH",
    "PURGE",
];

/// How much of a request line some bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    /// They are none.
    None,
    /// They can become one.
    Begun,
    /// A whole one, with a method that nobody knows.
    Unknown,
    /// A whole one.
    Whole,
}

/// How much of a request line these bytes begin with; empty lines before it are passed over, as servers do.
pub(super) fn likeness(bytes: &[u8]) -> Likeness {
    let (line, ended) = first_line(bytes);
    let mut words = line.splitn(3, |&byte| byte == b' ');
    let (method, target, version) = (words.next().unwrap_or_default(), words.next(), words.next());
    let is_method = method.len() <= METHOD_MAX && method.iter().copied().all(is_token);
    let is_target = target.is_none_or(|target| may_be_target(target, version.is_none()));
    if !is_method || !is_target || (method.is_empty() && !line.is_empty()) {
        return Likeness::None;
    }
    match (version, ended) {
        (Some(b"HTTP/1.1" | b"HTTP/1.0"), true) if is_known(method) => Likeness::Whole,
        (Some(b"HTTP/1.1" | b"HTTP/1.0"), true) => Likeness::Unknown,
        (Some(version), false) if [&b"HTTP/1.1"[..], b"HTTP/1.0"].iter().any(|whole| whole.starts_with(version)) => {
            Likeness::Begun
        }
        (None, false) => Likeness::Begun,
        _ => Likeness::None,
    }
}

/// Whether this many bytes lead into the midst of a method that is written as all are.
pub(super) fn is_method_cut_at(bytes: &[u8], length: usize) -> bool {
    let method = first_line(bytes).0.split(|&byte| byte == b' ').next().unwrap_or_default();
    let start = empty_lines(bytes);
    (start + 1..start + method.len()).contains(&length) && !method.iter().any(u8::is_ascii_lowercase)
}

/// What a request line says, as far as it can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said<'a> {
    pub(super) method: Option<&'a str>,
    pub(super) target: Option<&'a str>,
    /// `http/1.0` or `http/1.1`, if it is one of them.
    pub(super) protocol: Option<&'static str>,
}

impl<'a> Said<'a> {
    /// Reads the beginning of a head that is not whole, or is none. A word is known once something ends it.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let (line, ended) = first_line(bytes);
        let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).peekable();
        let mut next = || words.next().map(|word| (word, ended || words.peek().is_some() || line.ends_with(b" ")));
        let Some((method, true)) = next() else { return Self::default() };
        let is_method = method.len() <= METHOD_MAX && method.iter().copied().all(is_token);
        let Some(method) = str::from_utf8(method).ok().filter(|_| is_method) else { return Self::default() };
        let is_text = |word: &&[u8]| !word.iter().any(u8::is_ascii_control);
        let target = match next() {
            Some((target, true)) => Some(target).filter(is_text).and_then(|target| str::from_utf8(target).ok()),
            // A single word is no method.
            None if ended => return Self::default(),
            _ => None,
        };
        let protocol = match next() {
            Some((b"HTTP/1.0", true)) => Some("http/1.0"),
            Some((b"HTTP/1.1", true)) => Some("http/1.1"),
            _ => None,
        };
        Self { method: Some(method), target, protocol }
    }

    /// Whether it begins with a method that servers know.
    pub(super) fn is_of_known_method(&self) -> bool {
        self.method.is_some_and(|method| is_known(method.as_bytes()))
    }
}

fn is_known(method: &[u8]) -> bool {
    KNOWN.iter().any(|known| known.as_bytes() == method)
}

/// How many bytes the empty lines have that these begin with.
fn empty_lines(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len())
}

/// The first line that is not empty, without its end, and whether it has one.
fn first_line(bytes: &[u8]) -> (&[u8], bool) {
    let bytes = &bytes[empty_lines(bytes)..];
    let end = memchr::memchr(b'\n', bytes);
    let line = &bytes[..end.unwrap_or(bytes.len())];
    (line.strip_suffix(b"\r").unwrap_or(line), end.is_some())
}

/// RFC 9112, section 3.2: a path, an address with its scheme, `*`, or a host with its port. `is_cut` where more of it
/// may come.
fn may_be_target(target: &[u8], is_cut: bool) -> bool {
    const SCHEMES: [&[u8]; 2] = [b"http://", b"https://"];
    let has_scheme = SCHEMES.iter().any(|scheme| target.starts_with(scheme) || is_cut && scheme.starts_with(target));
    let starts = target.starts_with(b"/") || target == b"*" || has_scheme || is_host(target);
    starts && target.iter().all(|byte| !byte.is_ascii_control())
}

/// As in `example.com:443`.
fn is_host(target: &[u8]) -> bool {
    let colon = target.iter().rposition(|&byte| byte == b':');
    colon.is_some_and(|colon| {
        colon > 0 && target.len() > colon + 1 && target[colon + 1..].iter().all(u8::is_ascii_digit)
    })
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines_and_what_is_none() {
        for (text, expected) in [
            ("GET / HTTP/1.1\r\n", Likeness::Whole),
            ("\r\n\nGET / HTTP/1.1\r\nHost", Likeness::Whole),
            ("PROPFIND http://a/b HTTP/1.0\n", Likeness::Whole),
            ("OPTIONS * HTTP/1.1\r\n", Likeness::Whole),
            ("CONNECT a:443 HTTP/1.1\r\n", Likeness::Whole),
            ("helloGET /b HTTP/1.1\r\n", Likeness::Unknown),
            ("GET / HTTP/1.1\r", Likeness::Begun),
            ("GET / HT", Likeness::Begun),
            ("GET htt", Likeness::Begun),
            ("GET ", Likeness::Begun),
            ("hello", Likeness::Begun),
            ("\r\n", Likeness::Begun),
            ("", Likeness::Begun),
            ("GET / HTTP/2.0\r\n", Likeness::None),
            ("GET / HTTP/1.12", Likeness::None),
            ("GET /\r\n", Likeness::None),
            ("GET /GET /b HTTP/1.1\r\n", Likeness::None),
            ("hello world", Likeness::None),
            ("{\"a\": 1}", Likeness::None),
            ("a=b&c=d", Likeness::None),
            ("5\r\nhello\r\n", Likeness::None),
            (" GET / HTTP/1.1\r\n", Likeness::None),
        ] {
            assert_eq!(likeness(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(likeness("x".repeat(METHOD_MAX + 1).as_bytes()), Likeness::None);
    }

    #[test]
    fn a_method_is_cut_within_it() {
        let cut_at = |text: &str| (0..9).filter(|at| is_method_cut_at(text.as_bytes(), *at)).collect::<Vec<_>>();
        assert_eq!(cut_at("POST / HTTP/1.1\r\n"), [1, 2, 3]);
        assert_eq!(cut_at("\r\n\nPOST / HTTP/1.1\r\n"), [4, 5, 6]);
        assert!(cut_at("Post / HTTP/1.1\r\n").is_empty());
    }

    #[test]
    fn what_part_of_a_line_says() {
        let said = |method, target, protocol| Said { method, target, protocol };
        let nothing = Said::default();
        for (text, expected) in [
            ("", nothing),
            ("GE", nothing),
            ("GET ", said(Some("GET"), None, None)),
            ("GET /fo", said(Some("GET"), None, None)),
            ("GET /foo ", said(Some("GET"), Some("/foo"), None)),
            ("GET /foo HTTP/1.0", said(Some("GET"), Some("/foo"), None)),
            ("GET /foo HTTP/1.0\r\nHost: x", said(Some("GET"), Some("/foo"), Some("http/1.0"))),
            ("GET  /foo  HTTP/1.1\n", said(Some("GET"), Some("/foo"), Some("http/1.1"))),
            ("GET /foo HTTP/2.5\r\n", said(Some("GET"), Some("/foo"), None)),
            ("GET /foo\r\n", said(Some("GET"), Some("/foo"), None)),
            ("GET /a\x01b HTTP/1.1\r\n", said(Some("GET"), None, Some("http/1.1"))),
            ("hello\r\n", nothing),
            ("\x16\x03\x01\x02\0", nothing),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", said(Some("PRI"), Some("*"), None)),
        ] {
            assert_eq!(Said::of(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(Said::of(b"GET /\xff HTTP/1.1\r\n"), said(Some("GET"), None, Some("http/1.1")));
    }
}

//! Where OTLP goes: from what is written to the URL that is called.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::uri::{Authority, Scheme, Uri};
use percent_encoding::percent_decode_str;

use super::export::Protocol;
use super::secret::Secret;

/// What is expected of an endpoint.
pub(super) const KIND: &str = "a URL such as http://localhost:4318";

/// The port of OTLP over gRPC; those that end in it (14317) are taken for it too.
const GRPC_PORT: &str = "4317";
/// The port of OTLP over HTTP.
const HTTP_PORT: u16 = 4318;
/// The port of Jaeger's pages.
const JAEGER_PAGES_PORT: u16 = 16686;

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    /// The path of the signal in OTLP over HTTP.
    fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }
}

/// What becomes of the path of an endpoint, in OTLP over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// The path of the signal is appended, unless the endpoint ends with it.
    Base,
    /// The path of the signal is appended in any case.
    Appended,
    /// It is used as it is.
    Given,
    /// The path is used as it is; without one, that of the signal is.
    GivenOrSignal,
}

/// An endpoint as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    scheme: Scheme,
    /// Without credentials, in brackets if it is an address of IPv6.
    host: String,
    port: Option<u16>,
    /// Begins with a slash, or is empty.
    url_path: String,
    query: Option<String>,
    grpc: bool,
    pub(super) path: Path,
    /// Credentials that stood before the host.
    authorization: Option<Secret>,
}

impl Endpoint {
    /// `http://localhost:4318`, `localhost:4318`, `grpc://localhost:4317`.
    pub(super) fn parse(text: &str, path: Path) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
        let (scheme, grpc) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::HTTP, false),
            "https" => (Scheme::HTTPS, false),
            "grpc" => (Scheme::HTTP, true),
            "grpcs" => (Scheme::HTTPS, true),
            _ => return None,
        };
        let uri: Uri = format!("{scheme}://{rest}").parse().ok()?;
        let authority = uri.authority().filter(|authority| !authority.host().is_empty())?;
        let port = Some(port(authority)).filter(|port| !port.is_empty());
        Some(Self {
            scheme,
            host: authority.host().to_owned(),
            port: port.map(str::parse).transpose().ok()?,
            url_path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
            grpc,
            path,
            authorization: credentials(authority),
        })
    }

    /// `localhost`, `localhost:4318`: where Jaeger takes OTLP; else what is wrong.
    pub(super) fn jaeger(text: &str) -> Result<Self, &'static str> {
        let mut endpoint = Self::parse(text, Path::Base).ok_or("expected HOST:PORT such as localhost:4318")?;
        if *endpoint.port.get_or_insert(HTTP_PORT) == JAEGER_PAGES_PORT {
            return Err("16686 is the port of Jaeger's pages; it takes traces on 4318");
        }
        Ok(endpoint)
    }

    /// The protocol that the scheme names.
    pub(super) fn scheme_protocol(&self) -> Option<Protocol> {
        self.grpc.then_some(Protocol::Grpc)
    }

    /// The protocol that is usual on its port.
    pub(super) fn usual_protocol(&self) -> Protocol {
        let port = self.port.map(|port| port.to_string()).unwrap_or_default();
        if port.ends_with(GRPC_PORT) { Protocol::Grpc } else { Protocol::HttpProtobuf }
    }

    /// What is called for a signal: with gRPC only scheme, host and port.
    pub(super) fn resolve(&self, signal: Signal, protocol: Protocol) -> String {
        let Self { scheme, host, .. } = self;
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let origin = format!("{scheme}://{host}{port}");
        if protocol == Protocol::Grpc {
            return origin;
        }
        let given = &self.url_path;
        let path = given.trim_end_matches('/');
        let path = match self.path {
            Path::Base => {
                let signals = [Signal::Traces.path(), Signal::Metrics.path()];
                let base = signals.iter().find_map(|signal| path.strip_suffix(signal)).unwrap_or(path);
                format!("{base}{}", signal.path())
            }
            Path::Appended => format!("{path}{}", signal.path()),
            Path::GivenOrSignal if path.is_empty() => signal.path().to_owned(),
            Path::Given | Path::GivenOrSignal => given.clone(),
        };
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{origin}{path}{query}")
    }

    /// The header that its credentials make.
    pub(super) fn authorization(&self) -> Option<&Secret> {
        self.authorization.as_ref()
    }
}

/// What stands in the place of the port; empty if there is none.
fn port(authority: &Authority) -> &str {
    let text = authority.as_str();
    let behind_user = text.rsplit_once('@').map_or(text, |(_, host)| host);
    behind_user.strip_prefix(authority.host()).unwrap_or_default().trim_start_matches(':')
}

/// The header that the credentials before a host make, if there are any.
fn credentials(authority: &Authority) -> Option<Secret> {
    let (credentials, _) = authority.as_str().rsplit_once('@')?;
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (!credentials.is_empty()).then(|| basic(&decode(user), &decode(password)))
}

/// The value of the header `authorization` for a user with a password.
pub(super) fn basic(user: &str, password: &str) -> Secret {
    Secret::new(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(text: &str, path: Path, signal: Signal) -> String {
        Endpoint::parse(text, path).expect(text).resolve(signal, Protocol::HttpProtobuf)
    }

    #[test]
    fn paths() {
        use Path::{Appended, Base, Given, GivenOrSignal};
        use Signal::{Metrics, Traces};
        for (text, path, signal, url) in [
            ("http://h:4318", Base, Traces, "http://h:4318/v1/traces"),
            ("h:4318", Base, Metrics, "http://h:4318/v1/metrics"),
            ("https://h/otlp/", Base, Traces, "https://h/otlp/v1/traces"),
            ("http://h/v1/traces", Base, Traces, "http://h/v1/traces"),
            ("http://h/v1/traces", Base, Metrics, "http://h/v1/metrics"),
            ("http://h/a/", Appended, Traces, "http://h/a/v1/traces"),
            ("http://h/v1/traces", Appended, Traces, "http://h/v1/traces/v1/traces"),
            ("http://h", Given, Traces, "http://h/"),
            ("http://h/push", Given, Traces, "http://h/push"),
            ("http://h", GivenOrSignal, Metrics, "http://h/v1/metrics"),
            ("http://h/api/v1/push", GivenOrSignal, Metrics, "http://h/api/v1/push"),
            ("http://[::1]:4318/?a=b", Base, Traces, "http://[::1]:4318/v1/traces?a=b"),
            ("HTTPS://h:/x#part", Given, Traces, "https://h/x"),
        ] {
            assert_eq!(http(text, path, signal), url, "{text} {path:?}");
        }
    }

    #[test]
    fn protocols() {
        let usual = |text| Endpoint::parse(text, Path::Base).unwrap().usual_protocol();
        assert_eq!(usual("localhost:4317"), Protocol::Grpc);
        assert_eq!(usual("http://localhost:14317"), Protocol::Grpc);
        assert_eq!(usual("http://localhost:4318"), Protocol::HttpProtobuf);
        assert_eq!(usual("https://h/otlp"), Protocol::HttpProtobuf);
        let endpoint = Endpoint::parse("grpcs://h:443/x?y", Path::Base).unwrap();
        assert_eq!(endpoint.scheme_protocol(), Some(Protocol::Grpc));
        assert_eq!(endpoint.resolve(Signal::Traces, Protocol::Grpc), "https://h:443");
    }

    #[test]
    fn credentials_become_a_header() {
        let endpoint = Endpoint::parse("http://me:p%40ss@h:4318", Path::Base).unwrap();
        assert_eq!(endpoint.resolve(Signal::Traces, Protocol::HttpProtobuf), "http://h:4318/v1/traces");
        assert_eq!(endpoint.authorization().map(Secret::reveal), Some("Basic bWU6cEBzcw=="));
        assert!(!format!("{endpoint:?}").contains("bWU6"));
    }

    #[test]
    fn what_is_no_endpoint() {
        for wrong in ["", "http://", "ftp://h", "unix:///x", "h:99999", "h:x", "http://a b", "://h", "http://:80", "u@"]
        {
            assert_eq!(Endpoint::parse(wrong, Path::Base), None, "{wrong}");
        }
        assert!(Endpoint::jaeger("localhost:16686").unwrap_err().contains("4318"));
        for (text, url) in [
            ("localhost", "http://localhost:4318/v1/traces"),
            ("http://localhost:80", "http://localhost:80/v1/traces"),
            ("[::1]", "http://[::1]:4318/v1/traces"),
        ] {
            assert_eq!(Endpoint::jaeger(text).unwrap().resolve(Signal::Traces, Protocol::HttpProtobuf), url);
        }
    }
}

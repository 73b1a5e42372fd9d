//! Where OTLP goes: from what is written to the URL that is called.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

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
    url: Url,
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
            "http" => ("http", false),
            "https" => ("https", false),
            "grpc" => ("http", true),
            "grpcs" => ("https", true),
            _ => return None,
        };
        let mut url = Url::parse(&format!("{scheme}://{rest}")).ok()?;
        url.host_str().filter(|host| !host.is_empty())?;
        url.set_fragment(None);
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let authorization = (!url.username().is_empty() || url.password().is_some())
            .then(|| basic(&decode(url.username()), &decode(url.password().unwrap_or_default())));
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        Some(Self { url, grpc, path, authorization })
    }

    /// `localhost`, `localhost:4318`: where Jaeger takes OTLP; else what is wrong.
    pub(super) fn jaeger(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "expected HOST:PORT such as localhost:4318";
        let mut endpoint = Self::parse(text, Path::Base).ok_or(WRONG)?;
        if endpoint.url.port().is_none() {
            endpoint.url.set_port(Some(HTTP_PORT)).map_err(|()| WRONG)?;
        }
        if endpoint.url.port() == Some(JAEGER_PAGES_PORT) {
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
        let port = self.url.port().map(|port| port.to_string()).unwrap_or_default();
        if port.ends_with(GRPC_PORT) { Protocol::Grpc } else { Protocol::HttpProtobuf }
    }

    /// What is called for a signal: with gRPC only scheme, host and port.
    pub(super) fn resolve(&self, signal: Signal, protocol: Protocol) -> String {
        let mut url = self.url.clone();
        match protocol {
            Protocol::Grpc => {
                url.set_path("");
                url.set_query(None);
                return url.as_str().trim_end_matches('/').to_owned();
            }
            Protocol::HttpProtobuf => {}
        }
        let path = url.path().trim_end_matches('/');
        let path = match self.path {
            Path::Base => {
                let signals = [Signal::Traces.path(), Signal::Metrics.path()];
                let base = signals.iter().find_map(|signal| path.strip_suffix(signal)).unwrap_or(path);
                format!("{base}{}", signal.path())
            }
            Path::Appended => format!("{path}{}", signal.path()),
            Path::GivenOrSignal if path.is_empty() => signal.path().to_owned(),
            Path::Given | Path::GivenOrSignal => url.path().to_owned(),
        };
        url.set_path(&path);
        url.into()
    }

    /// The header that its credentials make.
    pub(super) fn authorization(&self) -> Option<&Secret> {
        self.authorization.as_ref()
    }
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
        assert_eq!(endpoint.resolve(Signal::Traces, Protocol::Grpc), "https://h");
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
        for wrong in ["", "http://", "ftp://h", "unix:///x", "h:99999", "http://a b", "://h"] {
            assert_eq!(Endpoint::parse(wrong, Path::Base), None, "{wrong}");
        }
        assert!(Endpoint::jaeger("localhost:16686").unwrap_err().contains("4318"));
        let jaeger = Endpoint::jaeger("localhost").unwrap();
        assert_eq!(jaeger.resolve(Signal::Traces, Protocol::HttpProtobuf), "http://localhost:4318/v1/traces");
    }
}

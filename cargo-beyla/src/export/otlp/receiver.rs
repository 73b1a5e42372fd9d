//! Who takes OTLP, and how it is reached.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::secrets::Secrets;
use super::tls::Tls;
use crate::config::secret::masked_url;
use crate::error::Error;
use crate::export::settings::{Compression, OtlpExport, Protocol, Proxy, Setting};

/// How we name ourselves to receivers.
pub(super) const USER_AGENT: &str = concat!("cargo-beyla/", env!("CARGO_PKG_VERSION"));

/// A receiver, as checked before the run.
#[derive(Clone, Debug)]
pub(in crate::export) struct Receiver {
    pub(super) uri: Uri,
    /// The same, as it may be shown.
    pub(in crate::export) endpoint: String,
    pub(in crate::export) protocol: Protocol,
    pub(super) headers: HeaderMap,
    /// What of these must not be shown where the receiver repeats it.
    pub(super) secrets: Secrets,
    pub(super) timeout: Duration,
    pub(super) compression: Compression,
    /// Where its URL begins with `https`.
    pub(super) tls: Option<Tls>,
    pub(super) proxy: Option<Setting<Proxy>>,
}

impl Receiver {
    /// Checks what can be checked without a connection.
    pub(in crate::export) fn new(settings: &OtlpExport) -> Result<Self, Error> {
        let OtlpExport { endpoint, protocol, headers, timeout, compression, tls, proxy } = settings;
        let wrong = |reason: String| Error::Export { endpoint: masked_url(endpoint), reason };
        let uri: Uri = endpoint.parse().map_err(|error| wrong(format!("{error}")))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            Some(scheme) => return Err(wrong(format!("'{scheme}' is neither http nor https"))),
            None => return Err(wrong("it does not begin with http:// or https://".to_owned())),
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(wrong("it names no host".to_owned()));
        }
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            // Values are credentials, and are not shown.
            let name: HeaderName =
                name.parse().map_err(|_| wrong(format!("'{name}' cannot be the name of a header")))?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| wrong(format!("the value of the header '{name}' cannot be one")))?;
            value.set_sensitive(true);
            map.append(name, value);
        }
        let tls = (uri.scheme_str() == Some("https")).then(|| Tls::read(tls)).transpose()?;
        let credentials = proxy.as_ref().and_then(|proxy| proxy.value.credentials.as_ref());
        let secrets = Secrets::new(&map, &uri, credentials);
        Ok(Self {
            uri,
            endpoint: masked_url(endpoint),
            protocol: *protocol,
            headers: map,
            secrets,
            timeout: *timeout,
            compression: *compression,
            tls,
            proxy: proxy.clone(),
        })
    }

    /// What is to be said of a connection that broke, beside the reason.
    pub(super) fn remark(&self) -> &'static str {
        self.tls.as_ref().map_or("", Tls::remark)
    }

    /// Whether a proxy is sent whole requests for it. What is encrypted, and HTTP/2, needs a connection of its own
    /// through the proxy.
    pub(super) fn is_forwarded(&self) -> bool {
        let scheme = self.proxy.as_ref().and_then(|proxy| proxy.value.uri.scheme_str());
        self.tls.is_none() && self.protocol == Protocol::HttpProtobuf && matches!(scheme, Some("http" | "https"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::settings::TlsFiles;

    fn check(endpoint: &str, headers: &[(&str, &str)]) -> Result<Receiver, Error> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Receiver::new(&OtlpExport {
            endpoint: endpoint.to_owned(),
            protocol: Protocol::Grpc,
            headers,
            timeout: Duration::from_secs(1),
            compression: Compression::None,
            tls: TlsFiles::default(),
            proxy: None,
        })
    }

    #[test]
    fn what_cannot_be_an_endpoint_is_told_beforehand() {
        for endpoint in ["http://localhost:4317", "https://[::1]/v1/traces"] {
            assert!(check(endpoint, &[("x-key", "secret")]).is_ok(), "{endpoint}");
        }
        for endpoint in ["", "localhost:4317", "ftp://localhost", "http://", "/v1/traces", "http://a b"] {
            assert!(matches!(check(endpoint, &[]), Err(Error::Export { .. })), "{endpoint}");
        }
        let error = check("http://localhost", &[("x-key", "se\ncret")]).expect_err("a line feed");
        assert!(!error.to_string().contains("cret"), "{error}");
        assert!(check("http://localhost", &[("x key", "")]).is_err());
        let error = check("ftp://me:sekrit@localhost?token=sekrit", &[]).expect_err("the scheme");
        assert!(!error.to_string().contains("sekrit"), "{error}");
        let receiver = check("http://localhost/a?token=sekrit", &[]).expect("it is one");
        assert_eq!(
            (receiver.endpoint.as_str(), receiver.uri.query()),
            ("http://localhost/a?token=********", Some("token=sekrit"))
        );
    }
}

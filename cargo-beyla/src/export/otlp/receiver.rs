//! Who takes OTLP, and how it is reached.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::secrets::Secrets;
use crate::config::secret::masked_url;
use crate::error::Error;
use crate::export::settings::Protocol;

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
}

impl Receiver {
    /// Checks what can be checked without a connection.
    pub(in crate::export) fn new(
        endpoint: &str,
        protocol: Protocol,
        headers: &[(String, String)],
        timeout: Duration,
    ) -> Result<Self, Error> {
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
        let secrets = Secrets::new(&map, &uri);
        Ok(Self { uri, endpoint: masked_url(endpoint), protocol, headers: map, secrets, timeout })
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(endpoint: &str, headers: &[(&str, &str)]) -> Result<Receiver, Error> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Receiver::new(endpoint, Protocol::Grpc, &headers, Duration::from_secs(1))
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

//! The proxy on the way to a URL, by the variables that curl and many others read.

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::environment::Environment;
use super::secret::Secret;
use super::source::{Setting, Source};
use crate::error::Error;

/// The port of a SOCKS proxy that is named without one.
const SOCKS_PORT: u16 = 1080;

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its scheme (`http`, `https`, or one of `socks4`, `socks4a`, `socks5` and `socks5h`), host and port.
    pub uri: Uri,
    /// The credentials that it asks for.
    pub credentials: Option<Credentials>,
}

/// How we name ourselves to a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// To one that speaks HTTP: the value of the header `proxy-authorization`.
    Header(Secret),
    /// To a SOCKS proxy.
    User {
        /// The user's name.
        name: Secret,
        /// The user's password.
        password: Secret,
    },
}

/// The proxy that the environment names for a URL, unless it excepts the URL's host. By the rules of curl: the host may
/// be this machine.
pub(super) fn proxy(environment: &Environment, url: &str) -> Result<Option<Setting<Proxy>>, Error> {
    // The exporter says what is wrong with it.
    let Ok(url) = url.parse::<Uri>() else { return Ok(None) };
    let own =
        if url.scheme_str() == Some("https") { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
    let mut names = own.into_iter().chain(["ALL_PROXY", "all_proxy"]);
    let Some((name, value)) = names.find_map(|name| Some((name, environment.raw(name)?))) else { return Ok(None) };
    let value = value.to_string_lossy();
    let except = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| environment.raw(name)).unwrap_or_default();
    let intercept = |except: &str| Matcher::builder().all(&*value).no(except).build().intercept(&url);
    // What it holds may be a secret.
    let invalid = || Error::Config {
        place: format!("variable {name}"),
        message: "expected the URL of a proxy such as http://localhost:3128".to_owned(),
        hint: None,
    };
    let Some(found) = intercept("") else { return Err(invalid()) };
    if intercept(&except.to_string_lossy()).is_none() {
        return Ok(None);
    }
    let value = of_intercept(&found).ok_or_else(invalid)?;
    Ok(Some(Setting { value, source: Source::Variable(name.to_owned()) }))
}

fn of_intercept(found: &Intercept) -> Option<Proxy> {
    let header =
        found.basic_auth().and_then(|value| value.to_str().ok()).map(|value| Credentials::Header(Secret::new(value)));
    let credentials = header.or_else(|| {
        let (name, password) = found.raw_auth()?;
        Some(Credentials::User { name: Secret::new(name), password: Secret::new(password) })
    });
    let mut uri = found.uri().clone();
    let host = uri.host().filter(|host| !host.is_empty())?;
    if uri.scheme_str().is_some_and(|scheme| scheme.starts_with("socks")) && uri.port().is_none() {
        let mut parts = uri.clone().into_parts();
        parts.authority = Some(format!("{host}:{SOCKS_PORT}").parse().ok()?);
        uri = Uri::from_parts(parts).ok()?;
    }
    Some(Proxy { uri, credentials })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], url: &str) -> String {
        let environment = variables.iter().copied().collect();
        match proxy(&environment, url) {
            Ok(Some(Setting { value, source })) => format!("{} {source}", value.uri),
            Ok(None) => "none".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_scheme_has_its_own() {
        let all = [
            ("HTTP_PROXY", "http://a:1"),
            ("https_proxy", "b:2"),
            ("ALL_PROXY", "socks5://c"),
            ("no_proxy", "localhost, .local,10.0.0.0/8,::1"),
        ];
        for (variables, url, expected) in [
            (&all[..], "http://h:4318/v1/traces", "http://a:1/ variable HTTP_PROXY"),
            (&all[..], "https://h", "http://b:2/ variable https_proxy"),
            (&all[1..], "http://h", "socks5://c:1080/ variable ALL_PROXY"),
            (&all[..], "http://localhost:4318", "none"),
            (&all[..], "https://x.local", "none"),
            (&all[..], "http://10.1.2.3:4317", "none"),
            (&all[..], "http://[::1]:4317", "none"),
            (&all[..], "http://127.0.0.1:4317", "http://a:1/ variable HTTP_PROXY"),
            (&all[3..], "http://h", "none"),
            (&[("HTTP_PROXY", ""), ("http_proxy", "http://d")], "http://h", "http://d/ variable http_proxy"),
        ] {
            assert_eq!(found(variables, url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_none_is_an_error_that_shows_no_password() {
        for value in ["ftp://me:sekrit@p", "http://", "http://me:sekrit@:3128", "a b"] {
            let said = found(&[("HTTPS_PROXY", value), ("ALL_PROXY", "http://p")], "https://h");
            assert!(said.starts_with("variable HTTPS_PROXY: expected the URL of a proxy"), "{value}: {said}");
            assert_eq!(found(&[("HTTPS_PROXY", value)], "http://h"), "none");
        }
        let environment = [("http_proxy", "http://me:sek%72it@p:3128")].into_iter().collect();
        let proxy = proxy(&environment, "http://h").expect("it is one").expect("there is one").value;
        assert_eq!(proxy.credentials, Some(Credentials::Header(Secret::new("Basic bWU6c2Vrcml0"))));
        assert!(!format!("{proxy:?}{}", proxy.uri).contains("sek"), "{proxy:?}");
    }
}

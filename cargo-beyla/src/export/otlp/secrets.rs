//! What a receiver was given in confidence, and may repeat in what it says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Uri};

use crate::config::secret::Secret;
use crate::export::settings::Credentials;

/// What is shorter, in bytes, is left: it is no secret, and would be found in many a word.
const SECRET_MIN: usize = 4;

/// The secrets of one receiver, the longest first: some are part of others.
#[derive(Clone, Debug, Default)]
pub(in crate::export) struct Secrets(Vec<Secret>);

impl Secrets {
    /// Those in the headers that are sent, in the query of the URL, where some put a token, and those that a proxy on
    /// the way is shown.
    pub(super) fn new(headers: &HeaderMap, uri: &Uri, proxy: Option<&Credentials>) -> Self {
        let mut texts = Vec::new();
        let header = match proxy {
            Some(Credentials::Header(value)) => Some(value.reveal()),
            Some(Credentials::User { name: _, password }) => {
                texts.push(password.reveal().to_owned());
                None
            }
            None => None,
        };
        for value in headers.values().filter_map(|value| value.to_str().ok()).chain(header) {
            texts.push(value.to_owned());
            let Some((scheme, credential)) = value.split_once(' ') else { continue };
            let credential = credential.trim();
            if scheme.eq_ignore_ascii_case("basic") {
                texts.extend(user_and_password(credential));
            }
            if scheme.eq_ignore_ascii_case("basic") || scheme.eq_ignore_ascii_case("bearer") {
                texts.push(credential.to_owned());
            }
        }
        let pairs = uri.query().unwrap_or_default().split('&');
        texts.extend(pairs.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value).to_owned()));
        texts.retain(|text| text.len() >= SECRET_MIN);
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        texts.dedup();
        Self(texts.into_iter().map(Secret::new).collect())
    }

    /// Text of the receiver as it may be shown. To be called before it is shortened: half a secret would not be found.
    pub(super) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.reveal(), &secret.to_string()))
    }
}

/// The two together and the password alone, as a receiver decodes them.
fn user_and_password(credential: &str) -> Vec<String> {
    let decoded = STANDARD.decode(credential).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(both) = decoded else { return Vec::new() };
    let password = both.split_once(':').map(|(_, password)| password.to_owned());
    password.into_iter().chain([both]).collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn secrets(headers: &[(&'static str, &str)], uri: &str) -> Secrets {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("the value of a header"))
        });
        let proxy = Credentials::Header(Secret::new("Basic cHJveHk6c2VzYW1l"));
        Secrets::new(&headers.collect(), &uri.parse().expect("a URL"), Some(&proxy))
    }

    #[test]
    fn what_was_sent_in_confidence_is_not_shown() {
        let secrets = secrets(
            &[
                ("authorization", "Basic dXNlcjpzZWtyaXQ="),
                ("x-token", "Bearer glc_abc"),
                ("x-key", "k3y-k3y"),
                ("x-tenant", "a"),
            ],
            "http://h/v1/traces?token=t0ken&x=1",
        );
        for (said, shown) in [
            ("bad auth: Basic dXNlcjpzZWtyaXQ=", "bad auth: ********"),
            ("bad auth: dXNlcjpzZWtyaXQ=, dXNlcjpzZWtyaXQ=", "bad auth: ********, ********"),
            ("user:sekrit is not known; sekrit?", "******** is not known; ********?"),
            ("authorization: bearer glc_abc", "authorization: bearer ********"),
            ("a tenant has the key k3y-k3y", "a tenant has the key ********"),
            ("POST /v1/traces?token=t0ken&x=1", "POST /v1/traces?token=********&x=1"),
            ("Basic cHJveHk6c2VzYW1l: proxy:sesame may not, nor sesame", "********: ******** may not, nor ********"),
            ("", ""),
        ] {
            assert_eq!(secrets.hide(said), shown);
        }
        assert!(!format!("{secrets:?}").contains("glc"), "{secrets:?}");
    }
}

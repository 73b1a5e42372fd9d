//! TLS: the authorities that we trust, and our own certificate.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};

use super::failure::{Failure, Remedy};
use crate::config::export::TlsFiles;
use crate::config::source::Setting;
use crate::error::Error;

/// The largest file that is read, in bytes: some ten times all authorities that a system trusts.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// What the files say, and what came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tls {
    /// `None`: those that the system trusts.
    authorities: Option<Arc<RootCertStore>>,
    client: Arc<Client>,
}

/// Who we are.
#[derive(Debug, Default)]
struct Client {
    identity: Option<Arc<CertifiedKey>>,
    /// Whether the receiver has asked for that on the last connection.
    was_asked: AtomicBool,
}

impl ResolvesClientCert for Client {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        self.identity.clone()
    }

    fn has_certs(&self) -> bool {
        self.identity.is_some()
    }
}

impl Tls {
    /// Reads the files, and finds what can be found wrong without a connection.
    pub(super) fn read(files: &TlsFiles) -> Result<Self, Error> {
        let TlsFiles { certificate, client_certificate, client_key } = files;
        let authorities = certificate.as_ref().map(authorities).transpose()?.map(Arc::new);
        let both = client_certificate.as_ref().zip(client_key.as_ref());
        let identity = both.map(|(certificate, key)| identity(certificate, key)).transpose()?.map(Arc::new);
        Ok(Self { authorities, client: Arc::new(Client { identity, was_asked: AtomicBool::new(false) }) })
    }

    /// What may be behind a connection that broke, to be appended to the reason. With TLS 1.3 a receiver judges our
    /// certificate when the connection is there already, and what it says of it may get lost with the connection.
    pub(super) fn remark(&self) -> &'static str {
        let Client { identity, was_asked } = &*self.client;
        match (was_asked.load(Ordering::Relaxed), identity) {
            (false, _) => "",
            (true, None) => {
                "; it asked for a certificate of ours, which OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE can name"
            }
            (true, Some(_)) => "; it asked for a certificate of ours, and may not take the one that it got",
        }
    }

    /// To be called when a connection is begun, and when a message was taken: then there is nothing to remark.
    pub(super) fn forget(&self) {
        self.client.was_asked.store(false, Ordering::Relaxed);
    }

    /// What a connection is made with. `protocol` is what is to be spoken, as ALPN calls it; with `None`, nothing is
    /// said of that.
    pub(super) fn config(&self, protocol: Option<&str>) -> Result<Arc<ClientConfig>, Failure> {
        let refused = |reason: String| Failure::new(reason, Remedy::None);
        let authorities = match &self.authorities {
            Some(authorities) => Arc::clone(authorities),
            None => Arc::new(of_system().map_err(refused)?),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(error.to_string()))?
            .with_root_certificates(authorities);
        let client: Arc<dyn ResolvesClientCert> = Arc::<Client>::clone(&self.client);
        let mut config = builder.with_client_cert_resolver(client);
        config.alpn_protocols.extend(protocol.map(|protocol| protocol.as_bytes().to_vec()));
        Ok(Arc::new(config))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The authorities that the system trusts.
fn of_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let error = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!("no certificates to trust{error}"));
    }
    Ok(store)
}

fn authorities(file: &Setting<PathBuf>) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(file)? {
        store
            .add(certificate)
            .map_err(|error| wrong(file, &format!("has a certificate that cannot be used: {error}")))?;
    }
    Ok(store)
}

fn identity(certificate: &Setting<PathBuf>, key: &Setting<PathBuf>) -> Result<CertifiedKey, Error> {
    let chain = certificates(certificate)?;
    let pem = read(key)?;
    let found = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let encrypted = pem.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED);
        let what = if encrypted {
            "has a private key under a passphrase, which cannot be asked for"
        } else {
            "has no private key in PEM"
        };
        wrong(key, what)
    })?;
    CertifiedKey::from_der(chain, found, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            wrong(key, &format!("is not the key of the certificate in {}", certificate.value.display()))
        }
        rustls::Error::InvalidCertificate(_) => wrong(certificate, "has a certificate that cannot be used"),
        _ => wrong(key, "has a private key of a kind that cannot be used"),
    })
}

/// What the head of an encrypted key has, in both of its forms.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// All that are in a file, which are one at least.
fn certificates(file: &Setting<PathBuf>) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(wrong(file, "has no certificate in PEM")),
    }
}

fn read(file: &Setting<PathBuf>) -> Result<Vec<u8>, Error> {
    let Setting { value: path, source } = file;
    let bytes = read_bounded(path).map_err(|error| Error::Config {
        place: source.to_string(),
        message: format!("could not read {}: {error}", path.display()),
        hint: None,
    })?;
    if bytes.len() as u64 > FILE_MAX { Err(wrong(file, "is too large for a file in PEM")) } else { Ok(bytes) }
}

/// One byte more shows that the file is too long.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is wrong with a file; nothing of what is in it is shown.
fn wrong(file: &Setting<PathBuf>, what: &str) -> Error {
    let Setting { value: path, source } = file;
    Error::Config { place: source.to_string(), message: format!("{} {what}", path.display()), hint: None }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::config::source::Source;

    const VARIABLES: [&str; 3] = ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"];

    /// What is wrong with three files of these contents; those that are empty are not there.
    fn said(contents: [&str; 3]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let [certificate, client_certificate, client_key] = std::array::from_fn(|at| {
            let path = folder.path().join(format!("{at}.pem"));
            if !contents[at].is_empty() {
                fs::write(&path, contents[at]).expect("a file");
            }
            (contents[at] != "-").then(|| Setting { value: path, source: Source::Variable(VARIABLES[at].to_owned()) })
        });
        match Tls::read(&TlsFiles { certificate, client_certificate, client_key }) {
            Ok(tls) => tls.config(Some("h2")).map_or_else(|failure| failure.reason, |_| "well".to_owned()),
            Err(error) => {
                assert_eq!(error.exit_code(), crate::error::USAGE);
                error.to_string().replace(&format!("{}/", folder.path().display()), "")
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_variable() {
        let made = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new([name.to_owned()]).expect("a name");
            (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
        };
        let ((certificate, key), (other, other_key)) = (made("a"), made("b"));
        let (certificate, key, other, other_key) = (&*certificate, &*key, &*other, &*other_key);
        let both = format!("{other}{certificate}");
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let huge = "x".repeat(FILE_MAX as usize + 1);
        for (contents, expected) in [
            ([certificate, "-", "-"], "well"),
            ([&both, certificate, key], "well"),
            (["-", certificate, key], "well"),
            (["", "-", "-"], "variable CERTIFICATE: could not read 0.pem: No such file or directory (os error 2)"),
            ([key, "-", "-"], "variable CERTIFICATE: 0.pem has no certificate in PEM"),
            ([&huge, "-", "-"], "variable CERTIFICATE: 0.pem is too large for a file in PEM"),
            ([garbage, "-", "-"], "variable CERTIFICATE: 0.pem has a certificate that cannot be used"),
            (["-", certificate, other_key], "variable CLIENT_KEY: 2.pem is not the key of the certificate in 1.pem"),
            (["-", certificate, certificate], "variable CLIENT_KEY: 2.pem has no private key in PEM"),
            (["-", certificate, encrypted], "variable CLIENT_KEY: 2.pem has a private key under a passphrase"),
            (["-", key, key], "variable CLIENT_CERTIFICATE: 1.pem has no certificate in PEM"),
            (["-", garbage, key], "variable CLIENT_CERTIFICATE: 1.pem has a certificate that cannot be used"),
        ] {
            let said = said(contents);
            assert!(said.starts_with(expected), "{said}, and not {expected}");
        }
    }

    #[test]
    fn a_key_is_shown_nowhere() {
        let key = KeyPair::generate().expect("a key");
        let certificate =
            CertificateParams::new(Vec::new()).expect("no names").self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a file");
            Some(Setting { value: path, source: Source::Default })
        };
        let files = TlsFiles {
            certificate: None,
            client_certificate: file("certificate.pem", certificate.pem()),
            client_key: file("key.pem", key.serialize_pem()),
        };
        let shown = format!("{:?}", Tls::read(&files).expect("they fit"));
        let bytes: Vec<String> = key.serialize_der().iter().map(u8::to_string).collect();
        assert!(!shown.contains(&bytes[bytes.len() - 8..].join(", ")), "{shown}");
    }
}

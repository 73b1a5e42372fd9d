//! TLS below OTLP.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tonic::transport::{self, Certificate, ServerTlsConfig};

use super::{Receiver, http};

/// A certificate and its key, in PEM.
pub struct Shown {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// Who vouches for a host and for its clients, and what these show.
pub struct Identity {
    /// The authority's certificate, in PEM.
    pub authority: String,
    /// What a client can show.
    pub client: Shown,
    host: Shown,
    /// Whether clients must show it.
    asks: bool,
}

impl Identity {
    /// Of a host, by an authority that was made for it.
    pub fn of(host: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        let shown = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new([name.to_owned()]).expect("a name");
            let certificate = params.signed_by(&key, &issuer).expect("a certificate").pem();
            Shown { certificate, key: key.serialize_pem() }
        };
        Self { authority, client: shown("client"), host: shown(host), asks: false }
    }

    /// The same; clients must show that they are known to the authority.
    pub fn that_asks(host: &str) -> Self {
        Self { asks: true, ..Self::of(host) }
    }

    fn config(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        let builder = if self.asks {
            let mut roots = RootCertStore::empty();
            roots.add(certificate(&self.authority)).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("an authority"))
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_slice(self.host.key.as_bytes()).expect("a key");
        builder.with_single_cert(vec![certificate(&self.host.certificate)], key).expect("a key and its certificate")
    }

    pub(super) fn of_grpc(&self) -> ServerTlsConfig {
        let config =
            ServerTlsConfig::new().identity(transport::Identity::from_pem(&self.host.certificate, &self.host.key));
        if self.asks { config.client_ca_root(Certificate::from_pem(&self.authority)) } else { config }
    }
}

impl Receiver {
    /// Of OTLP/HTTP over TLS.
    pub fn start_tls(address: SocketAddr, identity: &Identity) -> Self {
        let config = Arc::new(identity.config());
        Self::start_over(TcpListener::bind(address).expect("a free port"), move |stream, store| {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a configuration that fits");
            // A client that does not trust us breaks off.
            let _ = http::serve(StreamOwned::new(connection, stream), store);
        })
    }
}

//! TLS below OTLP/HTTP.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Receiver, http};

/// Who vouches for a host, and what that host shows.
pub struct Identity {
    /// The authority's certificate, in PEM.
    pub authority: String,
    config: Arc<ServerConfig>,
}

impl Identity {
    /// Of a host, by an authority that was made for it.
    pub fn of(host: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([host.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a key and its certificate");
        Self { authority, config: Arc::new(config) }
    }
}

impl Receiver {
    /// Of OTLP/HTTP over TLS.
    pub fn start_tls(address: SocketAddr, identity: &Identity) -> Self {
        let config = Arc::clone(&identity.config);
        Self::start_over(TcpListener::bind(address).expect("a free port"), move |stream, store| {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a configuration that fits");
            // A client that does not trust us breaks off.
            let _ = http::serve(StreamOwned::new(connection, stream), store);
        })
    }
}

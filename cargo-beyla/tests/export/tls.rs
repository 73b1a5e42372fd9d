//! Receivers that show who they are, and ask who we are; and messages that are compressed.

use std::fs;
use std::path::PathBuf;

use cargo_beyla::export::outcome::TracesOutcome;
use cargo_beyla::export::settings::{Compression, ExportSettings, Protocol, Setting, Source, TlsFiles};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use tempfile::TempDir;

use super::failures::{BOTH, take, taken};
use super::grpc_receiver::GrpcReceiver;
use super::http_receiver::HttpReceiver;
use super::identity::{Authority, Identity};
use super::requests::{PATIENCE, export_traces, lost, traces};
use super::traces::{assert_complete, decode};

/// Both kinds of receiver.
struct Receivers {
    http: HttpReceiver,
    grpc: GrpcReceiver,
}

impl Receivers {
    /// With a certificate for localhost; they want one that `clients` has signed, if there is such an authority.
    fn start(authority: &Authority, clients: Option<&Authority>) -> Self {
        let identity = authority.identity("localhost");
        let clients = clients.map(|clients| clients.certificate.as_str());
        Self {
            http: HttpReceiver::start_tls(|_| take(), &identity, clients),
            grpc: GrpcReceiver::start_tls(|_| Some(Ok(taken())), &identity, clients),
        }
    }

    fn settings(&self, protocol: Protocol) -> ExportSettings {
        let port = match protocol {
            Protocol::Grpc => self.grpc.address.port(),
            Protocol::HttpProtobuf => self.http.address.port(),
        };
        traces(&format!("https://localhost:{port}"), protocol)
    }

    fn taken(&self, protocol: Protocol) -> Vec<ExportTraceServiceRequest> {
        match protocol {
            Protocol::Grpc => self.grpc.taken(),
            Protocol::HttpProtobuf => decode(&self.http),
        }
    }
}

/// The files of a client.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, text: &str) -> Setting<PathBuf> {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("a file");
        Setting { value: path, source: Source::Variable("V".to_owned()) }
    }

    fn of(&self, authority: &Authority, client: Option<&Identity>) -> TlsFiles {
        TlsFiles {
            certificate: Some(self.file("authority.pem", &authority.certificate)),
            client_certificate: client.map(|client| self.file("client.pem", &client.certificate)),
            client_key: client.map(|client| self.file("client.key", &client.key)),
        }
    }
}

fn export(receivers: &Receivers, protocol: Protocol, tls: TlsFiles) -> TracesOutcome {
    let mut settings = receivers.settings(protocol);
    settings.traces.as_mut().expect("there are spans").tls = tls;
    export_traces(&settings, 500, PATIENCE)
}

#[test]
fn whom_the_file_names_is_trusted_and_nobody_else() {
    let (authority, other, files) = (Authority::new(), Authority::new(), Files::new());
    let receivers = Receivers::start(&authority, None);
    for protocol in BOTH {
        let outcome = export(&receivers, protocol, files.of(&other, None));
        assert_eq!((outcome.sent.requests, lost(&outcome)), (0, 500));
        let said = "its certificate is of an authority that is not trusted";
        assert!(outcome.sentence().contains(said), "{}", outcome.sentence());
        assert!(export(&receivers, protocol, files.of(&authority, None)).is_complete());
        assert_complete(&receivers.taken(protocol), 500);
    }
}

#[test]
fn who_we_are_is_shown_where_it_is_asked_for() {
    let (authority, clients, files) = (Authority::new(), Authority::new(), Files::new());
    let receivers = Receivers::start(&authority, Some(&clients));
    let (known, unknown) = (clients.identity("client"), authority.identity("client"));
    for protocol in BOTH {
        for (client, said) in [
            (None, "certificate of ours, which OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE can name"),
            (Some(&unknown), "certificate of ours, and may not take the one that it got"),
        ] {
            let outcome = export(&receivers, protocol, files.of(&authority, client));
            assert_eq!((outcome.sent.requests, lost(&outcome)), (0, 500));
            assert!(outcome.sentence().contains(said), "{}", outcome.sentence());
        }
        assert!(export(&receivers, protocol, files.of(&authority, Some(&known))).is_complete());
        assert_complete(&receivers.taken(protocol), 500);
    }
}

#[test]
fn messages_are_compressed_where_that_is_wanted() {
    let http = HttpReceiver::start(|_| take());
    let grpc = GrpcReceiver::start(|_| Some(Ok(ExportTraceServiceResponse::default())));
    let sizes = |compression| {
        for (url, protocol) in [(http.url(), Protocol::HttpProtobuf), (grpc.url(), Protocol::Grpc)] {
            let mut settings = traces(&url, protocol);
            settings.traces.as_mut().expect("there are spans").compression = compression;
            assert!(export_traces(&settings, 100, PATIENCE).is_complete());
        }
        let last = http.received().pop().expect("it came");
        let encoding = last.headers.get("content-encoding").map(|value| value.as_bytes().to_vec());
        let of_grpc =
            grpc.attempts().pop().expect("it came").get("grpc-encoding").map(|value| value.as_bytes().to_vec());
        (last.wire_bytes, encoding, of_grpc)
    };
    let (plain, none, none_of_grpc) = sizes(Compression::None);
    let (compressed, gzip, gzip_of_grpc) = sizes(Compression::Gzip);
    assert_eq!((none, none_of_grpc), (None, None));
    assert_eq!((gzip.as_deref(), gzip_of_grpc.as_deref()), (Some(&b"gzip"[..]), Some(&b"gzip"[..])));
    assert!(compressed * 3 < plain, "{compressed} of {plain} bytes");
    // Both ways they are the same spans.
    let decoded = http.taken();
    assert_eq!(decoded[0], decoded[1]);
    assert_eq!(grpc.taken()[0], grpc.taken()[1]);
}

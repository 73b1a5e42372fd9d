//! What is wrong with a set-up, in words that say what to look at. The libraries name it in terms of their own, and in
//! types of crates that are none of our dependencies: their text tells it.

/// The usual mistake behind an error of a library, if it is one of those.
pub(super) fn mistake(text: &str) -> Option<&'static str> {
    const CERTIFICATE: &str = "invalid peer certificate: ";
    if let Some((_, certificate)) = text.split_once(CERTIFICATE) {
        return SENTENCES_OF_CERTIFICATES.iter().find(|(part, _)| certificate.contains(part)).map(|(_, said)| *said);
    }
    SENTENCES.iter().find(|(part, _)| text.contains(part)).map(|(_, said)| *said)
}

/// Of Rustls.
const SENTENCES_OF_CERTIFICATES: &[(&str, &str)] = &[
    ("UnknownIssuer", UNTRUSTED),
    // Of another authority that has the same name.
    ("BadSignature", UNTRUSTED),
    ("CaUsedAsEndEntity", "its certificate is one of an authority, not of a server"),
    ("not valid yet", "its certificate is not valid yet"),
    ("NotValidYet", "its certificate is not valid yet"),
    ("certificate expired", "its certificate has expired"),
    ("Expired", "its certificate has expired"),
    ("not valid for name", "its certificate is of another name than the URL has"),
    ("NotValidForName", "its certificate is of another name than the URL has"),
    ("Revoked", "its certificate was revoked"),
];

const UNTRUSTED: &str =
    "its certificate is of an authority that is not trusted; OTEL_EXPORTER_OTLP_CERTIFICATE can name it";

/// Of Rustls, and of h2.
const SENTENCES: &[(&str, &str)] = &[
    ("received corrupt message of type", "it does not speak TLS; http:// perhaps?"),
    ("tls handshake eof", "it ended the connection where TLS begins; http:// perhaps?"),
    ("frame with invalid size", NO_GRPC),
    ("unspecific protocol error detected", NO_GRPC),
];

/// Of what answers otherwise than by HTTP/2.
pub(super) const NO_GRPC: &str = "it does not speak gRPC; --otlp-protocol http/protobuf perhaps?";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_up_is_told_from_other_trouble() {
        for (text, said) in [
            ("invalid peer certificate: UnknownIssuer", Some(UNTRUSTED)),
            (
                "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))",
                Some("its certificate is one of an authority, not of a server"),
            ),
            (
                "invalid peer certificate: certificate expired: verification time 2 (UNIX), but certificate is not \
                 valid after 1 (1 seconds ago)",
                Some("its certificate has expired"),
            ),
            (
                "invalid peer certificate: certificate not valid for name \"localhost\"; certificate is only valid for \
                 DnsName(\"a\")",
                Some("its certificate is of another name than the URL has"),
            ),
            ("invalid peer certificate: BadSignature", Some(UNTRUSTED)),
            ("invalid peer certificate: BadEncoding", None),
            ("received corrupt message of type InvalidContentType", Some("it does not speak TLS; http:// perhaps?")),
            ("connection error detected: frame with invalid size", Some(NO_GRPC)),
            ("connection refused", None),
        ] {
            assert_eq!(mistake(text), said, "{text}");
        }
    }
}

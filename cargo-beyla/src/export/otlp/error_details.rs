//! What a receiver says of a failure: as much as is used here of `google.rpc.Status`, its `google.rpc.RetryInfo` and
//! `google.protobuf.Duration`, by the field numbers of their published definitions.

use std::time::Duration;

use prost::Message;

/// The type of `RetryInfo` among the details of a status; a host may stand before it.
const RETRY_INFO: &str = "/google.rpc.RetryInfo";

/// `google.rpc.Status`, without its code.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanoseconds: i32,
}

/// The text of a `google.rpc.Status`, in protobuf; empty if it has none, or is none.
pub(super) fn message(status: &[u8]) -> String {
    Status::decode(status).map(|status| status.message).unwrap_or_default()
}

/// After which time the client may try again, by the details of a `google.rpc.Status`.
pub(super) fn retry_delay(status: &[u8]) -> Option<Duration> {
    let status = Status::decode(status).ok()?;
    let detail = status.details.into_iter().find(|detail| detail.type_url.ends_with(RETRY_INFO))?;
    let delay = RetryInfo::decode(&*detail.value).ok()?.retry_delay?;
    let seconds = Duration::from_secs(delay.seconds.try_into().ok()?);
    seconds.checked_add(Duration::from_nanos(delay.nanoseconds.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use tonic_types::pb;

    use super::*;

    fn status(type_url: &str, delay: Vec<u8>) -> Vec<u8> {
        let other = prost_types::Any { type_url: "type.googleapis.com/google.rpc.Help".into(), value: vec![1, 2] };
        let detail = prost_types::Any { type_url: type_url.into(), value: delay };
        pb::Status { code: 8, message: "slowly".into(), details: vec![other, detail] }.encode_to_vec()
    }

    #[test]
    fn a_receiver_may_say_when_to_try_again() {
        let info = |seconds, nanos| {
            pb::RetryInfo { retry_delay: Some(prost_types::Duration { seconds, nanos }) }.encode_to_vec()
        };
        let url = "type.googleapis.com/google.rpc.RetryInfo";
        assert_eq!(message(&status(url, info(3, 5))), "slowly");
        assert_eq!(retry_delay(&status(url, info(3, 5))), Some(Duration::new(3, 5)));
        for wrong in [
            status(url, info(-3, 0)),
            status(url, info(3, -5)),
            status(url, vec![0xff]),
            status("type.googleapis.com/google.rpc.Other", info(3, 5)),
            vec![0xff],
            Vec::new(),
        ] {
            assert_eq!(retry_delay(&wrong), None, "{wrong:?}");
        }
    }
}

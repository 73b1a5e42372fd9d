//! What server and client share: all that is made of `proto/lab.proto`.

#![expect(missing_docs, clippy::pedantic, reason = "it is generated")]

tonic::include_proto!("lab.v1");

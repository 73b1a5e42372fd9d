//! Bodies of any size, and a client that moves them both ways on one connection of HTTP/2.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::client::conn::http2;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::run::Server;

/// The package's own server of large bodies: see its source.
pub const BULK_SERVER: Server = Server { package: "beyla-tests", bin: "bulk_server" };

/// The most bytes that a body hands over at a time.
const CHUNK_MAX: usize = 1024 * 1024;
/// Of a client, before the server grants more.
const WINDOW: u32 = 1024 * 1024;

/// A body of known size that does not tell it beforehand.
#[derive(Debug)]
pub struct Bulk {
    left: usize,
    chunk: usize,
}

impl Bulk {
    /// Of this size, handed over in chunks.
    pub fn new(size: usize, chunk: usize) -> Self {
        Self { left: size, chunk: chunk.clamp(1, CHUNK_MAX) }
    }
}

impl Body for Bulk {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        static BYTES: [u8; CHUNK_MAX] = [b'x'; CHUNK_MAX];
        let length = self.left.min(self.chunk);
        self.left -= length;
        Poll::Ready((length > 0).then(|| Ok(Frame::data(Bytes::from_static(&BYTES[..length])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

/// Reads a body to its end; its size.
///
/// # Errors
/// If the connection breaks before.
pub async fn drain(mut body: Incoming) -> Result<usize, hyper::Error> {
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        size += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(size)
}

/// Uploads `size` bytes to the bulk server and downloads as many at the same time, and asks meanwhile for small
/// responses of 0, 1, 2, ... bytes, `small` in number: all on one connection of HTTP/2.
pub fn both_ways_at_once(port: u16, size: usize, small: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(4 * WINDOW)
            .handshake(TokioIo::new(stream))
            .await
            .expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let upload = tokio::spawn(exchange(sender.clone(), Method::POST, "/up".into(), size));
        let download = tokio::spawn(exchange(sender.clone(), Method::GET, format!("/down/{size}/65536"), 0));
        for length in 0..small {
            assert_eq!(exchange(sender.clone(), Method::GET, format!("/down/{length}/65536"), 0).await, length);
        }
        assert_eq!(download.await.expect("a download"), size);
        assert_eq!(upload.await.expect("an upload"), size.to_string().len());
        drop(sender);
        connection.await.expect("a task").expect("an end without error");
    });
}

/// One request; the size of the response's body.
async fn exchange(mut sender: http2::SendRequest<Bulk>, method: Method, path: String, size: usize) -> usize {
    let uri = format!("http://127.0.0.1{path}");
    let request = Request::builder().method(method).uri(uri).body(Bulk::new(size, 64 * 1024)).expect("a request");
    let response = sender.send_request(request).await.expect("a response");
    drain(response.into_body()).await.expect("a whole body")
}

//! A gRPC server whose methods take known time and fail as they are asked to.
//!
//! `PORT` takes another port than 8084, 0 any free one.

use std::error::Error;
use std::time::Duration;

use grpc::lab_server::{Lab, LabServer};
use grpc::{DownloadRequest, FailRequest, FailResponse, SleepRequest, SleepResponse, Text, UploadResponse};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};

struct Methods;

#[tonic::async_trait]
impl Lab for Methods {
    async fn echo(&self, request: Request<Text>) -> Result<Response<Text>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn sleep(&self, request: Request<SleepRequest>) -> Result<Response<SleepResponse>, Status> {
        tokio::time::sleep(Duration::from_millis(request.into_inner().milliseconds.into())).await;
        Ok(Response::new(SleepResponse {}))
    }

    async fn fail(&self, request: Request<FailRequest>) -> Result<Response<FailResponse>, Status> {
        match Code::from(i32::try_from(request.into_inner().code).unwrap_or(-1)) {
            Code::Ok => Ok(Response::new(FailResponse {})),
            code => Err(Status::new(code, "as it was asked to")),
        }
    }

    type DownloadStream = Box<dyn Stream<Item = Result<Text, Status>> + Send + Unpin>;

    async fn download(&self, request: Request<DownloadRequest>) -> Result<Response<Self::DownloadStream>, Status> {
        let texts = (0..request.into_inner().texts).map(|number| Ok(Text { text: format!("text {number}") }));
        Ok(Response::new(Box::new(tokio_stream::iter(texts))))
    }

    async fn upload(&self, request: Request<Streaming<Text>>) -> Result<Response<UploadResponse>, Status> {
        let mut texts = request.into_inner();
        let mut count = 0;
        while texts.message().await?.is_some() {
            count += 1;
        }
        Ok(Response::new(UploadResponse { texts: count }))
    }

    type ChatStream = Streaming<Text>;

    async fn chat(&self, request: Request<Streaming<Text>>) -> Result<Response<Self::ChatStream>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::var("PORT").map_or(Ok(8084), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let lab =
        LabServer::new(Methods).accept_compressed(CompressionEncoding::Gzip).send_compressed(CompressionEncoding::Gzip);
    Server::builder().add_service(lab).serve_with_incoming(TcpListenerStream::new(listener)).await?;
    Ok(())
}

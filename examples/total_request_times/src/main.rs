//! An actix-web server that measures its own requests, for comparison with what `cargo beyla run --jaeger` says of
//! them: `GET /hello` on 127.0.0.1:8080.
//!
//! `tracing-actix-web` opens a span for each request, within the trace that its header `traceparent` names, and the
//! handler one within that. They go by OTLP to `OTEL_EXPORTER_OTLP_ENDPOINT`, otherwise to `http://localhost:4318`.
//! `PORT` takes another port, 0 any free one.

use std::error::Error;
use std::io;

use actix_web::{App, HttpServer, Responder, get};
use opentelemetry::global;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::instrument;
use tracing::level_filters::LevelFilter;
use tracing_actix_web::TracingLogger;
use tracing_subscriber::prelude::*;

const NAME: &str = "total_request_times";

#[get("/hello")]
async fn hello() -> impl Responder {
    greeting().await
}

#[instrument]
async fn greeting() -> &'static str {
    "Hello world! from beyla-rust"
}

/// Has all spans of `tracing` sent by OTLP, from a thread of its own.
fn send_spans() -> Result<SdkTracerProvider, Box<dyn Error>> {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let exporter = SpanExporter::builder().with_http().build()?;
    let resource = Resource::builder().with_service_name(NAME).build();
    let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer(NAME));
    // Without a limit, the spans of the client that sends spans would be sent too.
    let spans = spans.with_filter(LevelFilter::INFO);
    // Says so if they cannot be sent.
    let warnings = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_filter(LevelFilter::WARN);
    tracing_subscriber::registry().with(spans).with(warnings).try_init()?;
    Ok(provider)
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = match std::env::var("PORT") {
        Ok(port) => port.parse()?,
        Err(_) => 8080,
    };
    let provider = send_spans()?;
    let app = || App::new().wrap(TracingLogger::default()).service(hello);
    let server = HttpServer::new(app).bind(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("listening on http://{address}");
    }
    server.run().await?;
    // What has not been sent yet.
    provider.shutdown()?;
    Ok(())
}

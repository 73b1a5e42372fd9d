//! Calls each method of the server, and prints what it saw: method, status, number of calls, and the messages that it
//! sent and received in all of them.
//!
//!     grpc_client URL [CALLS [SLEEPS [STREAMS [MESSAGES]]]]
//!
//! CALLS of `Echo`, and as many of `Fail`, which ask for one status after the other; SLEEPS of `Sleep`, every third with
//! a deadline that passes first; STREAMS of each streaming method, all at once, with MESSAGES in each.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use grpc::lab_client::LabClient;
use grpc::{DownloadRequest, FailRequest, SleepRequest, Text};
use tokio::task::JoinSet;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

/// By method and status: calls, messages sent, messages received.
type Counts = BTreeMap<(&'static str, i32), [u64; 3]>;

/// The status of a call, and the messages that it sent and received.
type Call = (Code, u64, u64);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: grpc_client URL [CALLS [SLEEPS [STREAMS [MESSAGES]]]]")?;
    let mut number = |default: u32| arguments.next().map_or(Ok(default), |number| number.parse());
    let (calls, sleeps, streams, messages) = (number(170)?, number(6)?, number(3)?, number(100)?);
    let lab = LabClient::connect(url).await?;
    let mut counts = Counts::new();
    for call in 0..calls {
        count(&mut counts, "Echo", echo(lab.clone()).await);
        count(&mut counts, "Fail", fail(lab.clone(), call % 17).await);
    }
    let deadlines = [None, Some(Duration::from_secs(1)), Some(Duration::from_millis(10))];
    for deadline in deadlines.into_iter().cycle().take(sleeps as usize) {
        count(&mut counts, "Sleep", sleep(lab.clone(), deadline).await);
    }
    let mut streaming = JoinSet::new();
    for _ in 0..streams {
        let lab = lab.clone().send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
        streaming.spawn(download(lab.clone(), messages));
        streaming.spawn(upload(lab.clone(), messages));
        streaming.spawn(chat(lab, messages));
    }
    while let Some(call) = streaming.join_next().await {
        let (method, call) = call?;
        count(&mut counts, method, call);
    }
    println!("method    status   calls     sent received");
    for ((method, status), [calls, sent, received]) in counts {
        println!("{method:9} {status:6} {calls:7} {sent:8} {received:8}");
    }
    Ok(())
}

fn count(counts: &mut Counts, method: &'static str, (code, sent, received): Call) {
    let all = counts.entry((method, code.into())).or_default();
    for (all, one) in all.iter_mut().zip([1, sent, received]) {
        *all += one;
    }
}

async fn echo(mut lab: LabClient<Channel>) -> Call {
    unary(&lab.echo(text(0)).await)
}

async fn fail(mut lab: LabClient<Channel>, code: u32) -> Call {
    unary(&lab.fail(FailRequest { code }).await)
}

async fn sleep(mut lab: LabClient<Channel>, deadline: Option<Duration>) -> Call {
    let mut request = Request::new(SleepRequest { milliseconds: 50 });
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    unary(&lab.sleep(request).await)
}

async fn download(mut lab: LabClient<Channel>, messages: u32) -> (&'static str, Call) {
    ("Download", drain(lab.download(DownloadRequest { texts: messages }).await, 1).await)
}

async fn upload(mut lab: LabClient<Channel>, messages: u32) -> (&'static str, Call) {
    let answer = lab.upload(tokio_stream::iter((0..messages).map(text))).await;
    let (code, _, received) = unary(&answer);
    ("Upload", (code, answer.map_or(0, |answer| answer.into_inner().texts.into()), received))
}

async fn chat(mut lab: LabClient<Channel>, messages: u32) -> (&'static str, Call) {
    ("Chat", drain(lab.chat(tokio_stream::iter((0..messages).map(text))).await, messages.into()).await)
}

fn text(number: u32) -> Text {
    Text { text: format!("text {number}") }
}

fn unary<T>(answer: &Result<Response<T>, Status>) -> Call {
    match answer {
        Ok(_) => (Code::Ok, 1, 1),
        Err(status) => (status.code(), 1, 0),
    }
}

/// Receives all messages of a call that has sent a number of them.
async fn drain(answer: Result<Response<Streaming<Text>>, Status>, sent: u64) -> Call {
    let mut received = 0;
    let mut texts = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) => return (status.code(), sent, received),
    };
    loop {
        match texts.message().await {
            Ok(Some(_)) => received += 1,
            Ok(None) => return (Code::Ok, sent, received),
            Err(status) => return (status.code(), sent, received),
        }
    }
}

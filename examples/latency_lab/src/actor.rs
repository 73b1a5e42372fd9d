//! A task that lives as long as the server, and that requests ask by channel.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// The way to the task.
#[derive(Clone)]
pub(crate) struct Actor(mpsc::Sender<Job>);

struct Job {
    time: Duration,
    done: oneshot::Sender<()>,
}

impl Actor {
    pub(crate) fn start() -> Self {
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(work(receiver));
        Self(sender)
    }

    /// Has the task take so much time, and waits for its answer.
    pub(crate) async fn ask(&self, time: Duration) {
        let (done, answer) = oneshot::channel();
        self.0.send(Job { time, done }).await.expect("the task lives");
        answer.await.expect("the task answers");
    }
}

/// One job after the other; between them, and during each, it leaves its worker to others.
async fn work(mut jobs: mpsc::Receiver<Job>) {
    while let Some(Job { time, done }) = jobs.recv().await {
        tokio::time::sleep(time).await;
        // Who asked may have gone away meanwhile.
        let _ = done.send(());
    }
}

//! A stream with messages, and a consumer that runs.

use std::cell::Cell;
use std::time::Duration;

use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::{self};
use desist_queue::{BoxError, Consumer, Message, Nats, NatsConsumer, Report};
use desist_tokio::{Stop, StopSource};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::server::{PATIENCE, Server};

pub(crate) const MS: fn(u64) -> Duration = Duration::from_millis;

/// A server with a stream and so many messages in it.
pub(crate) async fn with_messages(count: u64) -> Option<(Server, Nats)> {
    let server = Server::start()?;
    let nats = server.connect().await;
    nats.ensure_stream("ORDERS", ["orders.>"]).await.expect("it is new");
    for number in 0..count {
        let id = format!("order-{number}");
        nats.publish("orders.new", id, number.to_string()).await.expect("it is there");
    }
    Some((server, nats))
}

thread_local! {
    /// How often a test, which has a thread of its own, has asked the server.
    static ASKED: Cell<u32> = const { Cell::new(0) };
}

/// What the server knows of the consumer: not delivered, delivered and not acknowledged. Who
/// asks until it is otherwise does not ask for ever.
pub(crate) async fn pending(nats: &Nats, name: &str) -> (u64, usize) {
    ASKED.set(ASKED.get() + 1);
    assert!(ASKED.get() < 60_000, "it does not come to that");
    tokio::time::sleep(MS(1)).await;
    let context = jetstream::new(nats.client());
    let stream = context.get_stream_no_info("ORDERS").await.expect("a name");
    match stream.consumer_info(name).await {
        Ok(info) => (info.num_pending, info.num_ack_pending),
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => (u64::MAX, 0),
        Err(error) => panic!("{error}"),
    }
}

/// A consumer that runs, and tells of each message that is worked on; the work ends when it
/// is told to.
pub(crate) struct Running {
    pub(crate) stop: StopSource,
    begun: mpsc::UnboundedReceiver<(Message, tokio::sync::oneshot::Sender<Result<(), BoxError>>)>,
    pub(crate) ends: JoinHandle<Result<Report, desist_queue::Error>>,
}

pub(crate) fn run(consumer: Consumer<NatsConsumer>) -> Running {
    let stop = StopSource::new();
    let (tell, begun) = mpsc::unbounded_channel();
    let asked = stop.stop();
    let ends = tokio::spawn(async move {
        let work = move |stop: Stop, message: Message| {
            let tell = tell.clone();
            async move {
                let (end, ended) = tokio::sync::oneshot::channel();
                tell.send((message, end)).map_err(|_| "the test is over")?;
                match stop.token().run(ended).await {
                    Ok(Ok(end)) => end,
                    // Nobody decides: until it is asked.
                    Ok(Err(_)) => Err(stop.token().cancelled().await.into()),
                    Err(cancelled) => Err(cancelled.into()),
                }
            }
        };
        consumer.run(&asked, work).await
    });
    Running { stop, begun, ends }
}

impl Running {
    pub(crate) async fn next(
        &mut self,
    ) -> (Message, tokio::sync::oneshot::Sender<Result<(), BoxError>>) {
        timeout(PATIENCE, self.begun.recv()).await.expect("a message comes").expect("it runs")
    }

    pub(crate) async fn end(self) -> Report {
        self.stop.drain();
        let ended = timeout(PATIENCE, self.ends).await.expect("it ends").expect("no panic");
        ended.expect("nothing was gone")
    }
}

pub(crate) async fn nothing(_stop: Stop, _message: Message) {}

//! Messages, and what becomes of each. Every line that this prints was asserted first.
//!
//! `cargo run -p desist-examples --bin 11-queue`; with `-- nats://127.0.0.1:4222` at the end
//! the same on a server of NATS with JetStream (`nats-server -js`), in a stream `EXAMPLE`.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use desist_queue::testing::MemoryBroker;
use desist_queue::{Aside, Backoff, BoxError, Broker, Consumer, Message, Nats, Report, RetryAfter};
use desist_tokio::{Stop, StopSource, sleep};
use tokio::sync::Notify;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// The payloads, each of which ends in another way.
const MESSAGES: [&str; 6] = ["fine", "flaky", "poison", "nonsense", "closed", "long"];

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = prove(std::env::args().nth(1)).await else { return ExitCode::SUCCESS };
    let mut cause = Some(&*error as &dyn Error);
    while let Some(error) = cause {
        eprintln!("{error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}

async fn prove(url: Option<String>) -> Result<(), BoxError> {
    let Some(url) = url else {
        let broker = MemoryBroker::new();
        for payload in MESSAGES {
            broker.publish("example.one", payload);
        }
        return all(broker).await;
    };
    let nats = Nats::connect(&url).await?;
    nats.ensure_stream("EXAMPLE", ["example.>"]).await?;
    // Of its own for each run: whoever ran before has published, too.
    let name = format!("run-{}", std::process::id());
    for payload in MESSAGES {
        let id = format!("{name}-{payload}");
        nats.publish(&format!("example.{name}"), id, payload).await?;
    }
    all(nats.consumer("EXAMPLE", &name).filter(format!("example.{name}"))).await
}

/// What was done to messages, by payload.
#[derive(Default)]
struct Seen {
    tries: Mutex<BTreeMap<String, u64>>,
    /// The long one has begun.
    begun: Notify,
    /// All that end by themselves have.
    ended: Notify,
}

async fn all(broker: impl Broker) -> Result<(), BoxError> {
    let seen = Arc::new(Seen::default());
    let consumer = Consumer::new(broker)
        .concurrency(8)
        .max_deliveries(3)
        .backoff(Backoff::new(MS(20)))
        .drain_for(MS(50));
    let news = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&news);
    let consumer = consumer.on_news(move |news| {
        told.lock().expect("nobody panics").push(news.to_string());
    });

    let first = run(&consumer, &seen, async |stop| {
        tokio::join!(seen.begun.notified(), seen.ended.notified());
        stop.drain();
    });
    let first = first.await?;
    let tries = seen.tries.lock().expect("nobody panics").clone();
    assert_eq!((tries["fine"], tries["flaky"], tries["closed"]), (1, 2, 2));
    assert_eq!(first.done(), 3);
    proved("done", "when its work has succeeded, at the first try or a later one");

    assert_eq!((tries["poison"], tries["nonsense"], first.set_aside()), (3, 1, 2));
    let news = std::mem::take(&mut *news.lock().expect("nobody panics"));
    assert!(news.iter().any(|line| line.ends_with("is set aside: the ship has sunk")));
    assert!(
        news.iter().any(|line| line.ends_with("is set aside: the payload is no ship in sight"))
    );
    proved("set aside", "what failed at its last delivery, and at once what can never be done");

    assert_eq!((tries["long"], first.given_back()), (1, 1));
    proved("given back at once", "what was asked to stop, after its time for the drain");

    let second = run(&consumer, &seen, async |stop| {
        seen.ended.notified().await;
        stop.drain();
    });
    let second = second.await?;
    assert_eq!((second.done(), second.delivered()), (1, 1));
    proved("done by the next", "what was given back, and nothing else");
    println!("the first: {first}\nthe second: {second}");
    Ok(())
}

fn proved(what: &str, how: &str) {
    println!("{what:<20}{how}");
}

/// Until it is asked to stop.
async fn run<B: Broker>(
    consumer: &Consumer<B>,
    seen: &Arc<Seen>,
    stops: impl AsyncFnOnce(&StopSource),
) -> Result<Report, BoxError> {
    let (stop, works) = (StopSource::new(), Arc::clone(seen));
    let work = move |stop, message| work(stop, message, Arc::clone(&works));
    let (report, ()) = tokio::join!(consumer.run(&stop.stop(), work), stops(&stop));
    Ok(report?.into_result()?)
}

async fn work(stop: Stop, message: Message, seen: Arc<Seen>) -> Result<(), BoxError> {
    let payload = String::from_utf8_lossy(message.payload()).into_owned();
    let again = {
        let mut tries = seen.tries.lock().expect("nobody panics");
        let tries = tries.entry(payload.clone()).or_default();
        *tries += 1;
        *tries > 1
    };
    match payload.as_str() {
        "flaky" if !again => Err("the wind is wrong".into()),
        "poison" => {
            if message.deliveries() == 3 {
                seen.ended.notify_one();
            }
            Err("the ship has sunk".into())
        }
        "nonsense" => Err(Aside::new("the payload is no ship in sight").into()),
        "closed" if !again => Err(RetryAfter::new(MS(10), "the harbour is closed").into()),
        "long" if !again => {
            seen.begun.notify_one();
            Ok(sleep(Duration::from_secs(3600), &stop).await?)
        }
        "long" => {
            seen.ended.notify_one();
            Ok(())
        }
        _ => Ok(()),
    }
}

//! What a consumer promises, with brokers in memory and on paused time.

mod acknowledged;
mod alive;
mod bad_input;
mod fates;
mod hands;
mod hostile;
mod ledgers;
mod scripted;
mod seeds;
mod settling;
mod stops;
mod surface;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use desist_queue::testing::MemoryBroker;
use desist_queue::{BoxError, Consumer, Message, News, Report};
use desist_tokio::{Stop, StopSource};
use tokio::time::Instant;

type Later<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
type Work = Arc<dyn Fn(Stop, Message) -> Later<Result<(), BoxError>> + Send + Sync>;

/// Work that can be kept in a table.
fn work<F>(work: impl Fn(Stop, Message) -> F + Send + Sync + 'static) -> Work
where
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    Arc::new(move |stop, message| Box::pin(work(stop, message)))
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A stop whose deadlines are on paused time.
fn stop_source() -> StopSource {
    StopSource::with_clock(desist_tokio::clock())
}

/// Whether these are the same but for what timers may be late.
fn about(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) <= millis(5)
}

#[track_caller]
fn assert_about(one: Duration, other: Duration) {
    assert!(about(one, other), "{one:?}, and not {other:?}");
}

/// Until nothing is in it; what takes longer than a day never happens.
async fn emptied(broker: &MemoryBroker) {
    let empty = tokio::time::timeout(secs(86400), broker.until_empty()).await;
    assert!(empty.is_ok(), "{} messages stay in it", broker.len());
}

/// What happened, in its order, and when.
#[derive(Clone)]
struct Log {
    start: Instant,
    lines: Arc<Mutex<Vec<(Duration, String)>>>,
}

impl Log {
    fn new() -> Self {
        Self { start: Instant::now(), lines: Arc::default() }
    }

    fn say(&self, what: impl Into<String>) {
        self.lines.lock().unwrap().push((self.start.elapsed(), what.into()));
    }

    fn said(&self) -> Vec<String> {
        self.lines.lock().unwrap().iter().map(|(_, what)| what.clone()).collect()
    }

    /// When each of these was said.
    fn times_of(&self, start: &str) -> Vec<Duration> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|(_, what)| what.starts_with(start)).map(|(at, _)| *at).collect()
    }

    fn count_of(&self, start: &str) -> usize {
        self.times_of(start).len()
    }
}

/// The name of a piece of news.
fn name_of(news: &News) -> &'static str {
    match news {
        News::Failed { .. } => "failed",
        News::SetAside { .. } => "aside",
        News::Dropped { .. } => "dropped",
        News::Unheard { .. } => "unheard",
        News::Unsettled { .. } => "unsettled",
        News::Trouble { .. } => "trouble",
        News::Recovered => "recovered",
        _ => "unknown",
    }
}

/// The consumer, and what it tells.
fn logged<B: desist_queue::Broker>(consumer: Consumer<B>) -> (Consumer<B>, Log) {
    let log = Log::new();
    let told = log.clone();
    (consumer.on_news(move |news| told.say(format!("{}: {news}", name_of(news)))), log)
}

/// Its numbers, where they are not zero.
fn numbers(report: &Report) -> String {
    let all = [
        ("delivered", report.delivered()),
        ("done", report.done()),
        ("known", report.known()),
        ("failed", report.failed()),
        ("aside", report.set_aside()),
        ("back", report.given_back()),
        ("again", report.again()),
        ("unsettled", report.unsettled()),
        ("left", report.left().len() as u64),
    ];
    let said = all.iter().filter(|(_, count)| *count > 0);
    said.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

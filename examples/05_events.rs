//! A stream of events that ends when its reader goes, and when the server begins to stop.
//! Every line that this prints was asserted first.
//!
//! `cargo run -p desist-examples --bin 05-events`; with `-- serve` at the end it serves
//! until Ctrl-C, to be tried by hand.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod trial;

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use axum::{Router, routing::get};
use desist::Reason;
use desist_http::{RequestToken, serve};
use desist_tokio::{StopSource, StreamExt as _, signals};
use serde::Deserialize;
use tokio::time::interval;
use tokio_stream::wrappers::IntervalStream;
use tokio_stream::{Stream, StreamExt as _};

use self::trial::{Curl, Failure, Heard, Log, Said, proved};

#[derive(Deserialize)]
struct Pace {
    #[serde(default = "a_second")]
    every_ms: u64,
}

fn a_second() -> u64 {
    1000
}

async fn events(
    State(log): State<Log>,
    Query(Pace { every_ms }): Query<Pace>,
    token: RequestToken,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    log.says(Said::Begun);
    let mut watched = Watched { log, token: token.clone(), events: 0 };
    let ticks = IntervalStream::new(interval(Duration::from_millis(every_ms)));
    let events = ticks.map(move |_| Ok(watched.event()));
    // When its reader goes, it is dropped.
    Sse::new(events.until_cancelled(token.draining()))
}

/// Goes with the stream, and says why.
struct Watched {
    log: Log,
    token: RequestToken,
    events: u64,
}

impl Watched {
    fn event(&mut self) -> Event {
        self.events += 1;
        self.log.says(Said::Progress(self.events));
        Event::default().data(self.events.to_string())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        match self.token.cancellation().or_else(|| self.token.draining().cancellation()) {
            Some(cancelled) => self.log.stopped(&cancelled),
            None => self.log.says(Said::Finished),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let is_by_hand = trial::is_by_hand()?;
    let listener = trial::listen(is_by_hand).await?;
    let url = format!("http://{}/events", listener.local_addr()?);
    let (log, mut heard) = trial::log();
    let app = Router::new().route("/events", get(events)).with_state(log);

    let stop = signals().child();
    let server = tokio::spawn(serve(listener, app).until(stop.stop()).into_future());
    if is_by_hand {
        println!("try `curl --no-buffer {url}`, and Ctrl-C there, or here");
        heard.print().await;
        return trial::ended(&server.await?);
    }
    let url = format!("{url}?every_ms=20");
    an_interrupt(&url, &mut heard).await?;
    a_drain(&url, &mut heard, &stop).await?;
    let report = server.await?;
    assert!(report.asked().is_none(), "nobody had to be stopped");
    trial::ended(&report)
}

async fn an_interrupt(url: &str, heard: &mut Heard) -> Result<(), Failure> {
    let mut curl = Curl::start([url])?;
    heard.begun().await?;
    curl.prints(|line| line == "data: 3").await?;
    let interrupted = curl.interrupt().await?;
    let late = heard.disconnected(interrupted).await?;
    proved(
        "a reader interrupted",
        format_args!("after its third event: heard `disconnected` {late:.1?} after the SIGINT"),
    );
    Ok(())
}

async fn a_drain(url: &str, heard: &mut Heard, stop: &StopSource) -> Result<(), Failure> {
    let mut curl = Curl::start([url])?;
    heard.begun().await?;
    curl.prints(|line| line == "data: 3").await?;
    stop.drain();
    let (reason, _) = heard.stopped().await?;
    assert_eq!(reason, Reason::Shutdown);
    // It fails where an answer is not ended as it should be.
    let answer = curl.answer().await?;
    let events = answer.matches("data: ").count();
    let whole: String = (1..=events).map(|event| format!("data: {event}\n\n")).collect();
    assert_eq!(answer, whole);
    proved("a server that drains", format_args!("ended the stream after event {events}, whole"));
    Ok(())
}

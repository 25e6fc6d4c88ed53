//! A long-running task that ends when curl is interrupted. Every line that this prints
//! was asserted first.
//!
//! `cargo run -p desist-examples --bin 03-long-running-task`; with `-- serve` at the end
//! it serves until Ctrl-C, to be tried by hand.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod trial;

use std::time::Duration;

use axum::extract::{Query, State};
use axum::{Router, routing::get};
use desist::Reason;
use desist_http::{RequestToken, Stopped, serve};
use desist_tokio::{StopSource, signals, sleep};
use serde::Deserialize;

use self::trial::{Curl, Failure, Heard, Log, Said, proved};

/// How long each of the twenty steps takes.
#[derive(Deserialize)]
struct Pace {
    #[serde(default = "a_second")]
    step_ms: u64,
}

fn a_second() -> u64 {
    1000
}

async fn long_running_task(
    State(log): State<Log>,
    Query(Pace { step_ms }): Query<Pace>,
    token: RequestToken,
) -> Result<&'static str, Stopped> {
    log.says(Said::Begun);
    for i in 1..=20 {
        let step = sleep(Duration::from_millis(step_ms), &token).await;
        step.inspect_err(|cancelled| log.stopped(cancelled))?;
        log.says(Said::Progress(i));
    }
    log.says(Said::Finished);
    Ok("long-running task completed\n")
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let is_by_hand = trial::is_by_hand()?;
    let listener = trial::listen(is_by_hand).await?;
    let url = format!("http://{}/longrunningtask", listener.local_addr()?);
    let (log, mut heard) = trial::log();
    let app = Router::new().route("/longrunningtask", get(long_running_task)).with_state(log);

    let stop = signals().child();
    let server = tokio::spawn(serve(listener, app).until(stop.stop()).into_future());
    if is_by_hand {
        println!("try `curl {url}`, and Ctrl-C there, or here");
        heard.print().await;
    } else {
        an_answer(&url, &mut heard).await?;
        an_interrupt(&url, &mut heard).await?;
        a_stop(&url, &mut heard, &stop).await?;
    }
    trial::ended(&server.await?)
}

async fn an_answer(url: &str, heard: &mut Heard) -> Result<(), Failure> {
    let answer = Curl::start([format!("{url}?step_ms=10")])?.answer().await?;
    assert_eq!(answer, "long-running task completed\n");
    heard.begun().await?;
    heard.finished().await?;
    proved("a curl that waits", "is answered when all 20 steps are done");
    Ok(())
}

async fn an_interrupt(url: &str, heard: &mut Heard) -> Result<(), Failure> {
    let curl = Curl::start([url])?;
    heard.begun().await?;
    let interrupted = curl.interrupt().await?;
    let late = heard.disconnected(interrupted).await?;
    proved(
        "a curl interrupted",
        format_args!("the handler heard `disconnected` {late:.1?} after the SIGINT"),
    );
    Ok(())
}

async fn a_stop(url: &str, heard: &mut Heard, stop: &StopSource) -> Result<(), Failure> {
    let curl = Curl::start(["--write-out", "%{http_code}", url])?;
    heard.begun().await?;
    stop.cancel_with(Reason::Shutdown);
    let (reason, _) = heard.stopped().await?;
    assert_eq!(reason, Reason::Shutdown);
    assert_eq!(curl.answer().await?, "cancelled: shutdown\n503");
    proved("a server stopped", "the handler heard `shutdown`, and curl got a 503 that says so");
    Ok(())
}

//! Three services, each of which asks the next: a curl that is interrupted at the first
//! stops the work in the third. Every line that this prints was asserted first.
//!
//! `cargo run -p desist-examples --bin 07-chain`; with `-- serve` at the end it serves
//! until Ctrl-C, to be tried by hand.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod trial;

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::{Router, routing::get};
use desist::Reason;
use desist_http::{Deadlines, RequestToken, SendError, SendWith, ServeReport, serve};
use desist_tokio::{StopSource, signals, sleep};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::trial::{Curl, Failure, Heard, Log, Said, proved};

/// Longer than anybody waits who is not asked to.
const LONG: Duration = Duration::from_secs(3600);

/// It looks at its own shelves before it asks somebody else.
const LOOKS: Duration = Duration::from_millis(50);

/// What a service knows: whom it asks, if there is somebody.
#[derive(Clone)]
struct Service {
    log: Log,
    client: reqwest::Client,
    next: Option<SocketAddr>,
}

async fn stock(State(service): State<Service>, token: RequestToken) -> Result<String, SendError> {
    service.log.says(Said::Begun);
    let left = token.remaining().map_or(0, |left| left.as_millis() as u64);
    service.log.says(Said::Progress(left));
    let counted = service.counts(&token).await;
    let counted = counted.inspect_err(|error| {
        if let Some(cancelled) = error.cancelled() {
            service.log.stopped(cancelled);
        }
    })?;
    service.log.says(Said::Finished);
    Ok(counted)
}

impl Service {
    async fn counts(&self, token: &RequestToken) -> Result<String, SendError> {
        sleep(LOOKS, token).await?;
        let Some(next) = self.next else {
            sleep(LONG, token).await?;
            return Ok("7 in stock\n".into());
        };
        let answer = self.client.get(format!("http://{next}/stock")).send_with(token).await?;
        Ok(answer.error_for_status()?.text().await?)
    }
}

/// One of them, until it is stopped.
fn start(
    listener: TcpListener,
    next: Option<SocketAddr>,
    stop: &StopSource,
) -> Result<(JoinHandle<ServeReport>, Heard), Failure> {
    let (log, heard) = trial::log();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let app = Router::new().route("/stock", get(stock)).with_state(Service { log, client, next });
    let deadlines = Deadlines::new().from_header(Deadlines::HEADER);
    let serving = serve(listener, app).deadlines(deadlines).until(stop.stop());
    Ok((tokio::spawn(serving.into_future()), heard))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let is_by_hand = trial::is_by_hand()?;
    let shop = trial::listen(is_by_hand).await?;
    let (stock, warehouse) = (trial::listen(false).await?, trial::listen(false).await?);
    let url = format!("http://{}/stock", shop.local_addr()?);
    let (to_stock, to_warehouse) = (stock.local_addr()?, warehouse.local_addr()?);

    let stop = signals().child();
    let (first, mut at_shop) = start(shop, Some(to_stock), &stop)?;
    let (second, mut at_stock) = start(stock, Some(to_warehouse), &stop)?;
    let (third, mut at_warehouse) = start(warehouse, None, &stop)?;
    if is_by_hand {
        println!("try `curl {url}` with Ctrl-C, or with `--header 'x-request-timeout-ms: 2000'`");
        at_warehouse.print().await;
    } else {
        let mut all = [&mut at_shop, &mut at_stock, &mut at_warehouse];
        an_interrupt(&url, &mut all).await?;
        a_time(&url, &mut all).await?;
        stop.cancel();
    }
    for server in [first, second, third] {
        trial::ended(&server.await?)?;
    }
    Ok(())
}

async fn an_interrupt(url: &str, all: &mut [&mut Heard; 3]) -> Result<(), Failure> {
    let curl = Curl::start([url])?;
    for one in all.iter_mut() {
        one.begun().await?;
    }
    let interrupted = curl.interrupt().await?;
    let mut late = Duration::ZERO;
    for one in all {
        late = one.disconnected(interrupted).await?;
    }
    proved(
        "a curl interrupted",
        format_args!("the third service heard `disconnected` {late:.1?} after the SIGINT"),
    );
    Ok(())
}

async fn a_time(url: &str, all: &mut [&mut Heard; 3]) -> Result<(), Failure> {
    let header = "x-request-timeout-ms: 900";
    let curl = Curl::start(["--header", header, "--write-out", "%{http_code}", url])?;
    let mut had = Vec::new();
    for one in all.iter_mut() {
        one.begun().await?;
        had.push(one.progress().await?);
    }
    assert!(had[0] < 900 && had.is_sorted_by(|before, after| after < before));
    for one in all {
        // The one that asks may be gone before the one that it asks sees that it is late.
        let (reason, _) = one.stopped().await?;
        assert!(matches!(reason, Reason::Deadline | Reason::Disconnected));
    }
    assert_eq!(curl.answer().await?, "cancelled: deadline\n504");
    proved("a time of 900 ms", format_args!("they had {had:?} ms of it, and curl got a 504"));
    Ok(())
}

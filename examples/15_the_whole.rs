//! All of it in one program: a request comes by HTTP, goes through the mediator to a statement
//! of SQLite, or to an operation that outlives it; and one Ctrl-C ends everything, from the
//! request down to the row. Every line that this prints was asserted first.
//!
//! `cargo run -p desist-examples --bin 15-the-whole`

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod trial;

use std::process::ExitCode;
use std::time::Duration;

use axum::extract::{Path, State as Of};
use axum::response::{IntoResponse, Response};
use axum::{Router, http::StatusCode, routing};
use desist::{Reason, Token};
use desist_host::{Host, HostHandle, Outcome, Phase};
use desist_http::{RequestToken, Stopped, serve};
use desist_mediator::{BuildError, Mediator, Request};
use desist_ops::{BoxError, Context, Filter, Kind, Operations, Sqlite, State};
use desist_sql::sqlite::rusqlite::Connection;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use self::trial::{Folder, proved, within};

/// How long the process goes on with what it has begun when it is asked to stop.
const DRAIN: Duration = Duration::from_millis(100);

type Shop = Operations<Sqlite>;
/// A statement says that it begins, and why it was stopped.
type Says = UnboundedSender<Option<Reason>>;

struct Sum;
impl Request for Sum {
    type Response = String;
}

struct Export(u32);
impl Request for Export {
    type Response = String;
}

fn mediator(shop: Shop, says: Says) -> Result<Mediator, BuildError> {
    let pool = shop.store().pool().clone();
    let sum = move |stop: Token, Sum| {
        let (begins, says) = (says.clone(), says.clone());
        let endless = pool.run(&stop, move |conn| {
            _ = begins.send(None);
            let sql = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n)
                       SELECT sum(x) FROM n";
            conn.query_row(sql, [], |row| row.get(0))
        });
        async move {
            endless.await.inspect_err(|error| {
                _ = says.send(error.cancelled().map(|why| why.reason()));
            })
        }
    };
    let export = move |_stop: Token, Export(rows)| {
        let shop = shop.clone();
        async move { shop.start("export", &rows).await.map(|started| started.id().to_string()) }
    };
    Mediator::builder().handler(sum).handler(export).build()
}

/// An operation: a millisecond for each row, and all of them are there with its end, or none.
async fn export(ctx: Context<Sqlite>, rows: u32) -> Result<(), BoxError> {
    desist_tokio::sleep(Duration::from_millis(rows.into()), ctx.token()).await?;
    let add = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < ?1)
               INSERT INTO exported SELECT x FROM n";
    Ok(ctx.commit(move |tx| Ok(tx.execute(add, [rows])?)).await.map(drop)?)
}

async fn rows(shop: &Shop) -> Result<u32, BoxError> {
    let counts = |conn: &mut Connection| {
        conn.query_row("SELECT count(*) FROM exported", [], |row| row.get(0))
    };
    Ok(shop.store().pool().run(&Token::never(), counts).await?)
}

async fn open(folder: &Folder) -> Result<Shop, BoxError> {
    let store = Sqlite::open(folder.path().join("shop.db")).await?;
    let create = |conn: &mut Connection| conn.execute_batch("CREATE TABLE exported (row)");
    store.pool().write(&Token::never(), create).await?;
    let open = Operations::builder(store).kind(Kind::new("export", export)).drain_for(DRAIN).open();
    Ok(open.await?)
}

/// What a request is answered with: also why it was stopped.
async fn answer<R>(mediator: Mediator, token: RequestToken, asked: R) -> Result<String, Response>
where
    R: Request<Response = String>,
{
    mediator.send(&token, asked).await.map_err(|error| match error.cancelled() {
        Some(why) => Stopped::from(why.clone()).into_response(),
        None => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    })
}

fn main() -> Result<ExitCode, BoxError> {
    let folder = Folder::new("example-whole")?;
    let runtime = tokio::runtime::Runtime::new()?;
    let shop = runtime.block_on(open(&folder))?;
    let (says, heard) = unbounded_channel();
    let sum = async |Of(mediator), token: RequestToken| answer(mediator, token, Sum).await;
    let export = async |Of(mediator), Path(rows), token: RequestToken| {
        answer(mediator, token, Export(rows)).await
    };
    let app = Router::new()
        .route("/sum", routing::get(sum))
        .route("/exports/{rows}", routing::post(export))
        .with_state(mediator(shop.clone(), says)?);
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?.into_std()?;
    let url = format!("http://{}", listener.local_addr()?);
    let (host, worker, (tell, told)) = (Host::builder(), shop.clone(), std::sync::mpsc::channel());
    let asks = client(url, shop.clone(), heard, host.handle());
    let code = host
        .service("operations", move |stop| async move { worker.run(&stop).await.map(drop) })
        .service("http", move |stop| async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            serve(listener, app).drain_for(DRAIN).until(&stop).await.into_result()?;
            Ok::<_, BoxError>(())
        })
        .service("client", move |_stop| asks)
        // The server stops before it is over, and ends its last request.
        .after_nobody()
        .on_report(move |report| {
            let outcomes = report.services().iter().map(|service| service.outcome()).collect();
            _ = tell.send((report.is_clean(), outcomes, report.to_string()));
        })
        .main();
    let (is_clean, outcomes, report): (_, Vec<_>, _) = told.recv()?;
    assert!(is_clean && code == ExitCode::SUCCESS, "{report}");
    assert_eq!(outcomes, [Outcome::Stopped; 3], "{report}");
    let stopped = &runtime.block_on(shop.list(&Filter::new()))?[0];
    assert_eq!((runtime.block_on(rows(&shop))?, stopped.state), (3, State::Waiting));
    proved("the rows", "none of an export that was stopped; it waits for the next process");
    proved("the report", report);
    Ok(code)
}

/// Somebody who asks, and presses Ctrl-C.
async fn client(
    url: String,
    shop: Shop,
    mut heard: UnboundedReceiver<Option<Reason>>,
    host: HostHandle,
) -> Result<(), BoxError> {
    host.reached(Phase::Running).await;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let export = async |rows: u32| {
        let id = client.post(format!("{url}/exports/{rows}")).send().await?.text().await?;
        Ok::<_, BoxError>(id.parse()?)
    };
    let done = shop.wait(export(3).await?, Duration::from_secs(30)).await?;
    assert_eq!((done.state.as_str(), rows(&shop).await?), ("succeeded", 3));
    proved("an export", "outlived its request, and its 3 rows are there");

    let asks = tokio::spawn(client.get(format!("{url}/sum")).send());
    assert_eq!(within("the statement", heard.recv()).await?, Some(None));
    asks.abort();
    assert_eq!(within("its stop", heard.recv()).await?, Some(Some(Reason::Disconnected)));
    proved("a client that leaves", "its statement was stopped: disconnected");

    shop.until_running(export(60_000).await?).await?;
    let asks = tokio::spawn(client.get(format!("{url}/sum")).send());
    assert_eq!(within("the statement", heard.recv()).await?, Some(None));
    #[cfg(unix)]
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT)?;
    #[cfg(not(unix))]
    host.stop();
    assert_eq!(within("the answer", asks).await???.status(), 503);
    assert_eq!(within("its stop", heard.recv()).await?, Some(Some(Reason::Shutdown)));
    proved("a Ctrl-C", "the next one was stopped: shutdown; its client has a 503");
    Ok(())
}

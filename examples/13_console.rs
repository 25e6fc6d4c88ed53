//! A page for people: what runs, what does not stop, and a button that cancels it. Every
//! line that this prints was asserted first.
//!
//! `cargo run -p desist-examples --bin 13-console`; with `-- serve` at the end it goes on, with
//! operations that come and go: open <http://127.0.0.1:3000/console>.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use desist_http::{InFlight, serve};
use desist_ops::console::{Console, HostState};
use desist_ops::http::Routes;
use desist_ops::{BoxError, Context, Filter, Kind, Operations, Outcome, Sqlite, State};
use desist_tokio::{StopSource, TaskGroup, sleep};
use tokio::net::TcpListener;

/// It says how far it is, and stops when it is asked to.
async fn export(ctx: Context<Sqlite>, table: String) -> Result<String, BoxError> {
    let rows = 1000 * (table.len() as u64 % 7 + 3);
    for row in (0..rows).step_by(100) {
        ctx.progress(row, rows, format!("writes {table}"));
        sleep(Duration::from_millis(500), ctx.token()).await?;
    }
    Ok(format!("{table}.csv"))
}

/// An operation of its own for each table.
async fn backup(ctx: Context<Sqlite>, tables: Vec<String>) -> Result<(), BoxError> {
    for table in &tables {
        let _ = ctx.start("export", table).tag("nightly").await?;
    }
    for (done, table) in (0..).zip(&tables) {
        ctx.progress(done, tables.len() as u64, format!("checks {table}"));
        sleep(Duration::from_secs(4), ctx.token()).await?;
    }
    Ok(())
}

/// It does not look at its token.
async fn report(ctx: Context<Sqlite>, year: u32) -> Result<(), BoxError> {
    ctx.progress(1, None, format!("sums up {year}, and hears nothing"));
    tokio::time::sleep(Duration::from_secs(40)).await;
    Ok(())
}

async fn operations() -> Result<Operations<Sqlite>, BoxError> {
    let operations = Operations::builder(Sqlite::open(":memory:").await?)
        .kind(Kind::new("export", export).concurrency(6))
        .kind(Kind::new("backup", backup))
        .kind(Kind::new("report", report).grace(Duration::from_secs(3)))
        .open()
        .await?;
    Ok(operations)
}

/// Somebody who wants things.
async fn wants(operations: Operations<Sqlite>, stop: desist_tokio::Stop) -> Result<(), BoxError> {
    let tables = ["orders", "customers", "invoices", "stock"].map(String::from);
    for (round, actor) in (2026_u32..).zip(["ada", "bob", "grace", "linus"].into_iter().cycle()) {
        let _ = operations.start("backup", &tables[..]).actor(actor).tag("nightly").await?;
        let _ = operations.start("export", &tables[round as usize % 4]).actor(actor).await?;
        let _ = operations.start("report", &round).actor(actor).await?;
        sleep(Duration::from_secs(20), &stop).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let goes_on = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("serve") => true,
        Some(_) => return Err("give it no argument to see its proof, or `serve`".into()),
    };
    let source = StopSource::new();
    let stop = if goes_on { desist_tokio::signals() } else { source.stop() };
    let operations = operations().await?;
    let group = TaskGroup::under(stop.clone());
    let (runs, asks) = (operations.clone(), operations.clone());
    group.spawn("operations", move |stop| async move { runs.run(&stop).await.map(drop) });
    group.spawn("customers", move |stop| wants(asks, stop));

    // Here begins what a service adds.
    let in_flight = InFlight::new();
    let routes = Routes::new(operations.clone()).open_to_loopback("developer");
    let console = Console::new(routes)
        .allow_changes()
        .in_flight(&in_flight)
        .tasks("service", group.spawner())
        .host(|| HostState::new("running"))
        .at("/console");
    let app = Router::new().merge(console);
    // And here it ends.

    let port = if goes_on { 3000 } else { 0 };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let at = listener.local_addr()?;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = serve(listener, app).in_flight(&in_flight).until(stop);
    if goes_on {
        println!("http://{at}/console");
        println!("{}", server.await);
        println!("{}", group.stop(Duration::from_secs(5)).await);
        return Ok(());
    }
    let serving = tokio::spawn(server.into_future());
    prove(&format!("http://{at}/console/"), &operations).await?;
    source.cancel();
    let report = serving.await?;
    assert!(report.is_clean(), "{report}");
    println!("the end: {report}");
    Ok(())
}

async fn prove(console: &str, operations: &Operations<Sqlite>) -> Result<(), BoxError> {
    let client = reqwest::Client::new();
    let page = client.get(console).send().await?;
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str()?;
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    println!("the page: {policy:?}");

    let elsewhere = client.get(console).header("host", "evil.example").send().await?;
    assert_eq!(elsewhere.status(), 403);
    println!("by another name: {}", elsewhere.status());

    // As the page has it: a stream of what there is, and then of what changes.
    let mut live = client.get(format!("{console}live")).send().await?;
    let mut text = String::new();
    while !text.contains(r#""kind":"backup","#) {
        let chunk = live.chunk().await?.ok_or("it goes on")?;
        text.push_str(std::str::from_utf8(&chunk)?);
    }
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert!(names.len() >= 3, "{text}");
    println!("live: {}, ..", names[..3].join(", "));

    let running = operations.list(&Filter::new().kind("backup")).await?;
    let id = running[0].id;
    operations.until_running(id).await?;
    let asks = client.post(format!("{console}api/{id}/cancel"));
    let asks = asks.header("x-desist", "1").header("content-type", "application/json");
    let answer = asks.body(r#"{"tree": true, "message": "the wrong night"}"#).send().await?;
    assert!(answer.status().is_success());
    let stopped = operations.wait(id, Duration::from_secs(30)).await?;
    assert_eq!(stopped.state, State::Finished(Outcome::Cancelled));
    let cancel = stopped.cancel.ok_or("it was asked to stop")?;
    assert!(cancel.to_string().contains("the wrong night"), "{cancel}");
    println!("cancelled: {cancel}");
    Ok(())
}

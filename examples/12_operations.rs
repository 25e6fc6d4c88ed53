//! Operations outlive the request that started them, and the process that ran them.
//!
//! Two replicas share a database. What is started through one is run by the other, and is
//! stopped there by whoever asks, with who and why. What a replica ran when it died is begun
//! again by the next one, and its effect is there once. Every line that this prints was asserted
//! first.
//!
//! `cargo run -p desist-examples --bin 12-operations`

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::time::Duration;

use desist_ops::{
    AfterDeath, BoxError, CancelAnswer, CancelRequest, Context, Kind, Operations, Outcome, Sqlite,
    State,
};
use desist_tokio::{StopSource, sleep};

const SOON: Duration = Duration::from_secs(30);

/// It would take an hour.
async fn export(ctx: Context<Sqlite>, table: String) -> Result<String, BoxError> {
    for second in 0..3600 {
        ctx.progress(second, 3600, format!("writes {table}"));
        sleep(Duration::from_secs(1), ctx.token()).await?;
    }
    Ok(format!("{table}.csv"))
}

/// The first one that takes it up dies over it.
async fn import(ctx: Context<Sqlite>, rows: u32) -> Result<(), BoxError> {
    if ctx.attempt() == 1 {
        sleep(Duration::from_secs(3600), ctx.token()).await?;
    }
    ctx.commit(move |tx| {
        for row in 0..rows {
            tx.execute("INSERT INTO customers VALUES (?1)", [row])?;
        }
        Ok(rows)
    })
    .await?;
    Ok(())
}

async fn replica(path: &std::path::Path, name: &str) -> Result<Operations<Sqlite>, BoxError> {
    let operations = Operations::builder(Sqlite::open(path).await?)
        .kind(Kind::new("export", export).concurrency(2))
        .kind(Kind::new("import", import).after_death(AfterDeath::Restart))
        .lease(Duration::from_secs(1))
        .label(name)
        .open()
        .await?;
    Ok(operations)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let folder = std::env::temp_dir().join(format!("desist-example-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("operations.db");
    let (asks, runs) = (replica(&path, "asks").await?, replica(&path, "runs").await?);
    let stop = StopSource::new();
    let running = tokio::spawn(runs.run(&stop.stop()));

    let id = asks.start("export", "orders").actor("ada").tag("tenant:7").await?.id();
    let seen = asks.until_running(id).await?;
    let ran_on = seen.ran_on.unwrap_or_default();
    assert!(ran_on.contains("runs"), "{ran_on}");
    println!("started through one replica, run by the other: {ran_on}");

    let why = CancelRequest::new().actor("bob").message("the wrong table");
    assert_eq!(asks.cancel(id, why).await?, CancelAnswer::Requested);
    let stopped = asks.wait(id, SOON).await?;
    assert_eq!(stopped.state, State::Finished(Outcome::Cancelled));
    let cancel = stopped.cancel.ok_or("it was asked to stop")?;
    assert!(cancel.to_string().contains("bob: the wrong table"), "{cancel}");
    println!("stopped there: {cancel}");
    let again = asks.cancel(id, CancelRequest::new()).await?;
    assert_eq!(again, CancelAnswer::AlreadyFinished(Outcome::Cancelled));
    println!("asked once more: {again}");

    let [one, two] =
        [asks.start("export", "a"), asks.start("export", "b")].map(|start| start.tag("night"));
    let (one, two) = (one.await?.id(), two.await?.id());
    asks.until_running(one).await?;
    asks.until_running(two).await?;
    // There is no room for a third.
    let third = asks.start("export", "c").tag("night").await?.id();
    let answers = asks.cancel_tagged("night", CancelRequest::new()).await?;
    assert_eq!(answers.len(), 3, "{answers}");
    println!("by tag: {answers}");
    assert!(asks.wait(third, SOON).await?.cancelled_before_start());
    println!("the third never ran");

    let pool = asks.store().pool();
    pool.write(&desist::Token::never(), |conn| conn.execute_batch("CREATE TABLE customers (id)"))
        .await?;
    let id = asks.start("import", &1000).await?.id();
    asks.until_running(id).await?;
    running.abort();
    println!("its process dies ..");
    let next = replica(&path, "next").await?;
    let running = tokio::spawn(next.run(&stop.stop()));
    let done = asks.wait(id, SOON).await?;
    assert_eq!(done.state, State::Finished(Outcome::Succeeded));
    let counts = pool.run(&desist::Token::never(), |conn| {
        conn.query_row("SELECT count(*) FROM customers", [], |row| row.get::<_, i64>(0))
    });
    assert_eq!(counts.await?, 1000);
    let ran_on = done.ran_on.unwrap_or_default();
    assert!(ran_on.contains("next") && done.attempt == 2, "{ran_on}");
    println!("begun again by {ran_on}, attempt {}, and written once", done.attempt);

    stop.drain();
    let report = running.await??;
    assert!(report.is_clean() && report.succeeded() == 1, "{report}");
    println!("the end: {report}");
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

//! Statements that really stop, and a connection that is clean for the next one. Every line
//! that this prints was asserted first.
//!
//! `cargo run -p desist-examples --bin 14-database`, on SQLite; with the URL of a Postgres at
//! the end, `-- postgres://user@host/database`, the same there.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod trial;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use desist::{Reason, Source, Token};
use desist_sql::{Error, postgres, sqlite};
use tokio::sync::oneshot;

use self::trial::{Failure, Folder, failure, proved};

/// Far less than the minutes that a statement would take.
const SOON: Duration = Duration::from_secs(5);
/// So that a statement is in the middle of it.
const A_MOMENT: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    match std::env::args().nth(1) {
        None => on_sqlite().await,
        Some(url) if url.starts_with("postgres") => on_postgres(&url).await,
        Some(_) => Err(failure("give it nothing, or the URL of a Postgres: postgres://user@host")),
    }
}

/// Asks it to stop when it has begun; how long it took from there.
async fn stopped<T, E>(
    request: &Source,
    begun: oneshot::Receiver<()>,
    statement: impl Future<Output = Result<T, Error<E>>>,
) -> Result<Duration, Failure> {
    let asks = async {
        // Whoever does not begin drops it.
        let _begun = begun.await;
        tokio::time::sleep(A_MOMENT).await;
        request.cancel_with(Reason::Disconnected.with("the tab was closed"));
        Instant::now()
    };
    let (result, asked) = tokio::join!(statement, asks);
    let late = asked.elapsed();
    let reason = reason(result)?;
    assert_eq!(reason, Reason::Disconnected);
    assert!(late < SOON, "{late:?}");
    Ok(late)
}

/// Why it has no result.
fn reason<T, E>(result: Result<T, Error<E>>) -> Result<Reason, Failure> {
    let error = result.err().ok_or_else(|| failure("it came to its end"))?;
    assert!(error.failure().is_none(), "it is stopped, and has not failed");
    Ok(error.cancelled().ok_or_else(|| failure("it was not stopped"))?.reason())
}

/// It counts to a thousand million.
const MINUTES: &str =
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 1000000000)
                       SELECT max(x) FROM n";

async fn on_sqlite() -> Result<(), Failure> {
    let folder = Folder::new("example-database")?;
    let opened = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&opened);
    let builder = sqlite::Pool::builder().path(folder.path().join("shop.db")).readers(1);
    let builder = builder.setup(move |_conn| {
        // Ordering: a count, and nothing hangs on it.
        counts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let (pool, never) = (builder.open().await?, Token::never());
    pool.write(&never, |conn| conn.execute_batch("CREATE TABLE stock (id)")).await?;

    let (request, (tell, begun)) = (Source::new(), oneshot::channel());
    let counted = pool.run(&request.token(), move |conn| {
        let _told = tell.send(());
        conn.query_row(MINUTES, [], |row| row.get::<_, i64>(0))
    });
    let late = stopped(&request, begun, counted).await?;
    proved("a query", format_args!("of minutes ended {late:.1?} after it was stopped"));

    let next = pool.run(&never, |conn| {
        assert!(conn.is_autocommit());
        conn.query_row("SELECT 6 * 7", [], |row| row.get::<_, i64>(0))
    });
    assert_eq!(next.await?, 42);
    // Ordering: what it counted is told by the answers of the pool.
    assert_eq!(opened.load(Ordering::Relaxed), 2, "one that writes, one that reads");
    proved("the next", "has its answer on the same connection");

    let (request, (tell, begun)) = (Source::new(), oneshot::channel());
    let added = pool.transaction(&request.token(), move |tx| {
        assert_eq!(tx.execute("INSERT INTO stock VALUES (1), (2)", [])?, 2);
        let _told = tell.send(());
        tx.query_row(MINUTES, [], |row| row.get::<_, i64>(0))
    });
    let late = stopped(&request, begun, added).await?;
    let count = |conn: &mut sqlite::rusqlite::Connection| {
        conn.query_row("SELECT count(*) FROM stock", [], |row| row.get::<_, i64>(0))
    };
    assert_eq!(pool.run(&never, count).await?, 0);
    assert_eq!(pool.write(&never, count).await?, 0);
    proved("a transaction", format_args!("stopped with two rows in it: {late:.1?}, and no row"));

    let (request, began) = (Source::with_timeout(A_MOMENT), Instant::now());
    let counted =
        pool.run(&request.token(), |conn| conn.query_row(MINUTES, [], |row| row.get::<_, i64>(0)));
    let (reason, took) = (reason(counted.await)?, began.elapsed());
    assert_eq!(reason, Reason::Deadline);
    assert!((A_MOMENT..SOON).contains(&took), "{took:?}");
    proved("a deadline", format_args!("of {A_MOMENT:?} was over after {took:.1?}"));

    assert!(pool.close_within(SOON).await.is_clean());
    Ok(())
}

async fn on_postgres(url: &str) -> Result<(), Failure> {
    // Of one connection it is sure whose it is; its table is gone with it.
    let builder = postgres::Pool::builder(url.parse()?).size(1);
    let (pool, never) = (builder.build()?, Token::never());
    let table = async |conn: postgres::Conn| {
        conn.batch_execute("CREATE TEMPORARY TABLE stock (id int)").await?;
        conn.query_one("SELECT pg_backend_pid()", &[]).await
    };
    let pid: i32 = pool.run(&never, table).await?.get(0);

    let (request, (tell, begun)) = (Source::new(), oneshot::channel());
    let token = request.token();
    let slept = pool.run(&token, async move |conn: postgres::Conn| {
        let _told = tell.send(());
        conn.execute("SELECT pg_sleep(60)", &[]).await
    });
    let late = stopped(&request, begun, slept).await?;
    proved("a query", format_args!("of a minute ended {late:.1?} after it was stopped"));

    let next =
        async |conn: postgres::Conn| conn.query_one("SELECT pg_backend_pid(), 6 * 7", &[]).await;
    let row = pool.run(&never, next).await?;
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1)), (pid, 42));
    proved("the next", "has its answer on the same connection");

    let (request, (tell, begun)) = (Source::new(), oneshot::channel());
    let token = request.token();
    let added = pool.transaction(&token, |tx| async move {
        assert_eq!(tx.execute("INSERT INTO stock VALUES (1), (2)", &[]).await?, 2);
        let _told = tell.send(());
        tx.execute("SELECT pg_sleep(60)", &[]).await
    });
    let late = stopped(&request, begun, added).await?;
    let count =
        async |conn: postgres::Conn| conn.query_one("SELECT count(*) FROM stock", &[]).await;
    assert_eq!(pool.run(&never, count).await?.get::<_, i64>(0), 0);
    proved("a transaction", format_args!("stopped with two rows in it: {late:.1?}, and no row"));

    let (request, began) = (Source::with_timeout(A_MOMENT), Instant::now());
    let token = request.token();
    let slept = pool
        .run(&token, async |conn: postgres::Conn| conn.execute("SELECT pg_sleep(60)", &[]).await);
    let (reason, took) = (reason(slept.await)?, began.elapsed());
    assert_eq!(reason, Reason::Deadline);
    assert!((A_MOMENT..SOON).contains(&took), "{took:?}");
    proved("a deadline", format_args!("of {A_MOMENT:?} was over after {took:.1?}"));

    assert!(pool.close_within(SOON).await);
    Ok(())
}

//! A connection is one closure's at a time, and gets back clean.
#![cfg(all(unix, feature = "sqlx"))]

mod common;

use std::error::Error as _;
use std::future::Future;
use std::time::{Duration, Instant};

use common::sqlx::{builder, pg_pool, pool, running, server, until};
use common::{PATIENCE, WHILE};
use desist::{Reason, Source, Token};
use desist_sql::Error;
use desist_sql::sqlx::{Conn, Pool, Tx};
use sqlx::{Executor, Row};

const SLEEP: &str = "SELECT pg_sleep(60)";

async fn pid(pool: &Pool) -> i32 {
    pool.run(&Token::never(), async |conn| Ok::<_, sqlx::Error>(conn.pid())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_used_from_a_handler_of_axum_and_spawned() {
    fn is_sent<F: Future + Send + 'static>(future: F) -> F {
        future
    }
    async fn handler(pool: axum::extract::State<Pool>) -> Result<String, String> {
        let by_async_closure = pool.run(&Token::never(), async |mut conn| {
            sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&mut *conn).await
        });
        let by_block = pool.transaction(&Token::never(), |mut tx| async move {
            sqlx::query_scalar::<_, i32>("SELECT 2").fetch_one(&mut *tx).await
        });
        let one = by_async_closure.await.map_err(|error| error.to_string())?;
        Ok(format!("{one}{}", by_block.await.map_err(|error| error.to_string())?))
    }
    let Some(server) = server() else { return };
    let pool = pool(server, "axum", 1);
    let _route: axum::Router =
        axum::Router::new().route("/", axum::routing::get(handler)).with_state(pool.clone());
    let answered = tokio::spawn(handler(axum::extract::State(pool.clone()))).await.unwrap();
    assert_eq!(answered.unwrap(), "12");
    let run = is_sent(pool.run(&Token::never(), |conn| async move { Ok::<_, ()>(conn.pid()) }));
    assert!(tokio::spawn(run).await.unwrap().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_closure_is_a_stop() {
    let Some(server) = server() else { return };
    let pool = pool(server, "panics", 1);
    let before = pid(&pool).await;
    let in_closure = pool.run(&Token::never(), |_| -> std::future::Ready<Result<(), ()>> {
        panic!("in the closure")
    });
    assert!(tokio::spawn(in_closure).await.unwrap_err().is_panic());
    assert_eq!(pid(&pool).await, before);
    let in_future = pool.run(&Token::never(), async |mut conn| {
        let statement = conn.execute(SLEEP);
        let runs = async {
            while running(server, "panics") != "1" {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = statement => Ok::<_, sqlx::Error>(()),
            () = runs => panic!("in between"),
        }
    });
    assert!(tokio::spawn(in_future).await.unwrap_err().is_panic());
    assert_eq!(pid(&pool).await, before);
    assert_eq!(running(server, "panics"), "0");
    let in_tx = pool.transaction(&Token::never(), async |mut tx| -> sqlx::Result<()> {
        tx.execute("CREATE TABLE panics ()").await?;
        panic!("in the transaction")
    });
    assert!(tokio::spawn(in_tx).await.unwrap_err().is_panic());
    assert_eq!(pid(&pool).await, before);
    assert_eq!(server.psql("SELECT to_regclass('panics') IS NULL"), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_that_is_smuggled_out_is_of_no_use() {
    let Some(server) = server() else { return };
    let pool = pool(server, "smuggled", 2);
    let run = pool.run(&Token::never(), async |conn| Ok::<Conn, sqlx::Error>(conn));
    let mut conn = run.await.unwrap();
    let smuggled = conn.pid();
    let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {smuggled}");
    until("it is terminated", async || server.psql(&gone) == "0").await;
    assert!(conn.execute("SELECT 1").await.is_err());
    assert_ne!(pid(&pool).await, smuggled);
    drop(conn);
    // Both places are there again.
    let both = pool.run(&Token::never(), async |conn| {
        assert_ne!(conn.pid(), smuggled);
        Ok::<_, sqlx::Error>((conn.pid(), pid(&pool).await))
    });
    let (one, other) = both.await.unwrap();
    assert_ne!(one, other);

    let (send, mut kept) = tokio::sync::mpsc::channel::<Tx>(1);
    let tx = pool.transaction(&Token::never(), async move |mut tx| {
        tx.execute("CREATE TABLE smuggled ()").await?;
        send.send(tx).await.unwrap();
        Ok::<_, sqlx::Error>(())
    });
    let error = tx.await.unwrap_err();
    // It might have committed with it.
    assert!(error.is_in_doubt(), "{error:?}");
    assert!(error.source().unwrap().to_string().contains("kept the connection"), "{error:?}");
    let mut tx = kept.recv().await.unwrap();
    assert!(tx.execute("COMMIT").await.is_err());
    assert_eq!(server.psql("SELECT to_regclass('smuggled') IS NULL"), "t");

    // Outside of any runtime.
    let run = pool.run(&Token::never(), async |conn| Ok::<Conn, sqlx::Error>(conn));
    let conn = run.await.unwrap();
    std::thread::spawn(move || drop(conn)).join().unwrap();
    drop(tx);
    assert!(pool.close_within(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_that_is_smuggled_out_of_what_is_dropped_is_of_no_use() {
    let Some(server) = server() else { return };
    let pool = pool(server, "out", 1);
    let (send, mut kept) = tokio::sync::mpsc::channel::<Conn>(1);
    let run = tokio::spawn(pool.run(&Token::never(), async move |conn| {
        send.send(conn).await.unwrap();
        std::future::pending::<sqlx::Result<()>>().await
    }));
    let mut conn = kept.recv().await.unwrap();
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {}", conn.pid());
    until("it is terminated", async || server.psql(&gone) == "0").await;
    assert!(conn.execute("SELECT 1").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_nobody_asked_for_is_the_drivers_error() {
    let Some(server) = server() else { return };
    let pool = pool(server, "unsolicited", 1);
    let source = Source::new();
    let run = pool.run(&source.token(), async |mut conn| conn.execute(SLEEP).await.map(drop));
    let run = tokio::spawn(run);
    until("it runs", async || running(server, "unsolicited") == "1").await;
    server.psql(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
         WHERE application_name = 'unsolicited'",
    );
    let error = run.await.unwrap().unwrap_err();
    let code = error.failure().unwrap().as_database_error().unwrap().code();
    assert_eq!(code.as_deref(), Some("57014"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_the_stop_is_the_stop() {
    let Some(server) = server() else { return };
    let pool = pool(server, "late", 1);
    let source = Source::new();
    let failed = pool.run(&source.token(), async |_| {
        source.cancel_with(Reason::Superseded);
        Err::<(), _>(sqlx::Error::RowNotFound)
    });
    let error = failed.await.unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Superseded);
    // Its time is over, but nobody has said so yet, as with a statement's own timeout.
    let source = Source::with_timeout(Duration::from_millis(20));
    let token = source.token();
    let failed = pool.transaction(&source.token(), async |_| {
        while token.remaining() != Some(Duration::ZERO) {}
        Err::<(), _>(sqlx::Error::RowNotFound)
    });
    let error = failed.await.unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_served_in_order_and_goes_when_stopped() {
    let Some(server) = server() else { return };
    let pool = pool(server, "waits", 1);
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let held = tokio::spawn(pool.run(&Token::never(), async move |_conn| {
        begun.send(()).unwrap();
        gone.await.unwrap();
        Ok::<_, sqlx::Error>(())
    }));
    has_begun.await.unwrap();
    let (served, mut order) = tokio::sync::mpsc::unbounded_channel();
    let mut waiting = Vec::new();
    let mut sources = Vec::new();
    for n in 0..20 {
        let (source, served) = (Source::new(), served.clone());
        let mut run = Box::pin(pool.run(&source.token(), async move |_conn| {
            served.send(n).unwrap();
            Ok::<_, sqlx::Error>(())
        }));
        // In the queue from now on.
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(run.as_mut().poll(cx)))
                .await
                .is_pending()
        );
        waiting.push(tokio::spawn(run));
        sources.push(source);
    }
    // Every other one goes: stopped or dropped, while nothing comes free.
    for n in (0..20).step_by(2) {
        if n % 4 == 0 {
            sources[n].cancel();
        } else {
            waiting[n].abort();
        }
    }
    for (n, waiter) in waiting.into_iter().enumerate() {
        if n == 1 {
            assert_eq!(pool.get_ref().num_idle(), 0);
        }
        if n % 4 == 0 {
            assert!(waiter.await.unwrap().unwrap_err().cancelled().is_some());
        }
    }
    go.send(()).unwrap();
    held.await.unwrap().unwrap();
    drop(served);
    let mut served = Vec::new();
    while let Some(n) = order.recv().await {
        served.push(n);
    }
    assert_eq!(served, (1..20).step_by(2).collect::<Vec<_>>());
    assert!(pid(&pool).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_what_is_out_and_not_for_ever() {
    let Some(server) = server() else { return };
    let pool = pool(server, "closing", 2);
    let source = Source::new();
    let run = tokio::spawn(
        pool.run(&source.token(), async |mut conn| conn.execute(SLEEP).await.map(drop)),
    );
    until("it runs", async || running(server, "closing") == "1").await;
    assert!(!pool.close_within(WHILE).await);
    source.cancel();
    assert!(run.await.unwrap().unwrap_err().cancelled().is_some());
    assert!(pool.close_within(PATIENCE).await);
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'closing'";
    until("all are closed", async || server.psql(sql) == "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gives_its_rows_and_stops_the_server_when_it_is_dropped() {
    let Some(server) = server() else { return };
    let pool = pool(server, "stream", 1);
    let before = pid(&pool).await;
    let token = Token::never();
    let mut rows = pool.stream(&token, sqlx::query("SELECT generate_series(1, $1)").bind(1_000));
    let mut got = Vec::new();
    while let Some(row) = rows.next().await {
        got.push(row.unwrap().get::<i32, _>(0));
    }
    assert_eq!(got, (1..=1_000).collect::<Vec<_>>());
    assert!(rows.next().await.is_none());

    let endless = "SELECT a FROM generate_series(1, 100000) a, generate_series(1, 100000)";
    let mut rows = pool.stream(&token, sqlx::query(endless));
    assert!(rows.next().await.unwrap().is_ok());
    drop(rows);
    until("it is stopped", async || running(server, "stream") == "0").await;
    assert_eq!(pid(&pool).await, before);

    let source = Source::new();
    let mut rows = pool.stream(&source.token(), sqlx::query(endless));
    assert!(rows.next().await.unwrap().is_ok());
    source.cancel_with(Reason::Overload);
    let last = loop {
        if let Err(error) = rows.next().await.expect("it ends with an error") {
            break error;
        }
    };
    assert_eq!(last.cancelled().unwrap().reason(), Reason::Overload);
    assert!(rows.next().await.is_none());
    assert_eq!(running(server, "stream"), "0");

    let mut rows =
        pool.stream(&token, sqlx::query("SELECT 1 / (3 - n) FROM generate_series(1, 3) n"));
    assert!(rows.next().await.unwrap().is_ok() && rows.next().await.unwrap().is_ok());
    assert!(rows.next().await.unwrap().unwrap_err().failure().is_some());
    assert!(rows.next().await.is_none());
    assert_eq!(pid(&pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_works_in_a_closure() {
    let Some(server) = server() else { return };
    let pool = pool(server, "copy", 1);
    let before = pid(&pool).await;
    let copied = pool.transaction(&Token::never(), async |mut tx| {
        tx.execute("CREATE TABLE copied (n int)").await?;
        let mut copy = tx.copy_in_raw("COPY copied FROM STDIN").await?;
        copy.send(&b"1\n2\n"[..]).await?;
        let filled = copy.finish().await?;
        let mut out = tx.copy_out_raw("COPY copied TO STDOUT").await?;
        let mut all = Vec::new();
        while let Some(row) = std::future::poll_fn(|cx| out.as_mut().poll_next(cx)).await {
            all.extend_from_slice(&row?);
        }
        Ok::<_, sqlx::Error>((filled, all))
    });
    assert_eq!(copied.await.unwrap(), (2, b"1\n2\n".to_vec()));
    assert_eq!(pid(&pool).await, before);
}

/// sqlx 0.9 loses count of the answers there.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_out_of_step_does_not_get_back() {
    let Some(server) = server() else { return };
    let refused = "COPY nowhere TO STDOUT";
    // The positive control: sqlx' own pool takes it back, and it answers nothing.
    let alone = pg_pool(server, "alone", 1);
    let mut conn = alone.acquire().await.unwrap();
    assert!(conn.copy_out_raw(refused).await.is_err());
    drop(conn);
    assert_eq!(alone.fetch_all("SELECT 1").await.unwrap().len(), 0);

    let pool = pool(server, "step", 1);
    let before = pid(&pool).await;
    let error = pool
        .run(&Token::never(), async |mut conn| conn.copy_out_raw(refused).await.map(drop))
        .await
        .unwrap_err();
    assert!(error.failure().is_some());
    let one = sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(pool.get_ref()).await;
    assert_eq!(one.unwrap(), 1);
    assert_ne!(pid(&pool).await, before);
    // And what reads the answers to something else is no commit.
    let tx = pool.transaction(&Token::never(), async |mut tx| {
        assert!(tx.copy_out_raw(refused).await.is_err());
        Ok::<_, sqlx::Error>(())
    });
    assert_eq!(tx.await.unwrap_err().to_string(), "the transaction was not committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_looks_whether_its_client_is_there() {
    let Some(server) = server() else { return };
    let ask = |mut conn: Conn| async move {
        let sql = "SELECT current_setting('client_connection_check_interval')";
        sqlx::query_scalar::<_, String>(sql).fetch_one(&mut *conn).await
    };
    let ask_tx = |mut tx: Tx| async move {
        let sql = "SELECT current_setting('client_connection_check_interval')";
        sqlx::query_scalar::<_, String>(sql).fetch_one(&mut *tx).await
    };
    let token = Token::never();
    let watched = pool(server, "watched", 1);
    assert_eq!(watched.run(&token, ask).await.unwrap(), "1s");
    // For the session, by one who does not know of it.
    let shown: String = sqlx::query_scalar("SHOW client_connection_check_interval")
        .fetch_one(watched.get_ref())
        .await
        .unwrap();
    assert_eq!(shown, "1s");
    let watched = pool(server, "watched", 1);
    assert_eq!(watched.transaction(&token, ask_tx).await.unwrap(), "1s");
    let unwatched = builder(server, "unwatched", 1).check_interval(None).build();
    assert_eq!(unwatched.run(&token, ask).await.unwrap(), "0");
    assert_eq!(unwatched.transaction(&token, ask_tx).await.unwrap(), "0");
    // What somebody has set stays.
    unwatched.get_ref().execute("SET client_connection_check_interval = '7s'").await.unwrap();
    let pool = Pool::new(unwatched.get_ref().clone());
    assert_eq!(pool.run(&token, ask).await.unwrap(), "7s");
    assert_eq!(pool.transaction(&token, ask_tx).await.unwrap(), "7s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_the_timeout_of_statements_where_that_is_asked_for() {
    let Some(server) = server() else { return };
    let shown = |pool: &Pool, token: &Token, first: &'static str| {
        pool.run(token, async move |mut conn| {
            let sql = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'";
            let shown = sqlx::query_scalar::<_, i32>(sql).fetch_one(&mut *conn).await;
            conn.execute(first).await?;
            shown
        })
    };
    let (never, source) = (Token::never(), Source::with_timeout(Duration::from_secs(100)));
    let limited = source.token();
    let unasked = pool(server, "unasked", 1);
    assert_eq!(shown(&unasked, &limited, "").await.unwrap(), 0);

    let asked = builder(server, "asked", 1).statement_timeout(true).build();
    // It is set back whatever the closure does, and what it sets itself stays.
    for first in ["", "SELECT 1", "BEGIN", "BEGIN; SELECT 1", "SELECT 1 / 0"] {
        let set = shown(&asked, &limited, first).await;
        assert!(set.is_err() || (90_000..=100_000).contains(&set.unwrap()), "{first}");
        assert_eq!(shown(&asked, &never, "").await.unwrap(), 0, "{first}");
    }
    shown(&asked, &limited, "SET statement_timeout = '5s'").await.unwrap();
    assert_eq!(shown(&asked, &limited, "").await.unwrap(), 5_000);
    assert_eq!(shown(&asked, &never, "").await.unwrap(), 5_000);
    // The server ends it, and it is the stop all the same.
    let source = Source::with_timeout(Duration::from_millis(100));
    let run = asked.run(&source.token(), async |mut conn| conn.execute(SLEEP).await.map(drop));
    assert_eq!(run.await.unwrap_err().cancelled().unwrap().reason(), Reason::Deadline);
    assert_eq!(shown(&asked, &never, "").await.unwrap(), 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_have_died_are_found_before_they_are_given_out() {
    let Some(server) = server() else { return };
    let pool = pool(server, "died", 3);
    let token = Token::never();
    let three = pool.run(&token, async |_a| {
        pool.run(&token, async |_b| pool.run(&token, async |_c| Ok::<_, Error<()>>(())).await)
            .await
            .map_err(drop)
    });
    three.await.map_err(|_: Error<()>| ()).unwrap();
    until("they are idle", async || pool.get_ref().num_idle() == 3).await;
    let sql = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
               WHERE application_name = 'died'";
    // On a slow machine there may be one beside the pool, too.
    assert!(server.psql(sql).parse::<u32>().unwrap() >= 3);
    assert!(pid(&pool).await > 0);
    let tx = pool.transaction(&token, async |mut tx| tx.execute("SELECT 1").await.map(drop));
    tx.await.unwrap();
}

#[test]
fn a_runtime_that_ends_in_between_leaves_nothing_that_runs() {
    let Some(server) = server() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pool = runtime.block_on(async { pool(server, "ended", 1) });
    runtime.spawn(pool.run(&Token::never(), async |mut conn| conn.execute(SLEEP).await));
    let begin = Instant::now();
    while running(server, "ended") != "1" {
        assert!(begin.elapsed() < PATIENCE);
    }
    drop(runtime);
    // The server looks whether its client is there.
    while running(server, "ended") != "0" {
        assert!(begin.elapsed() < PATIENCE);
    }
    drop(pool);
}

//! Statements of tokio-postgres that are stopped, on a real server.
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::common::{PATIENCE, Postgres, in_time, running, runs};
use desist::{Reason, Source, Token, find_cancelled};
use desist_sql::Wait;
use desist_sql::postgres::{Conn, Pool, Tx};
use tokio_postgres::error::SqlState;
use tokio_stream::StreamExt;

/// How long a test waits for what must not happen.
const WHILE: Duration = Duration::from_millis(300);

fn pool_of(server: &Postgres, size: usize) -> Pool {
    Pool::builder(server.address().parse().unwrap()).size(size).build().unwrap()
}

/// Whose connection the pool has, of one.
pub(crate) async fn pid_of(pool: &Pool) -> i32 {
    let never = Token::never();
    let asks = "SELECT pg_backend_pid()";
    let row = pool.run(&never, |conn| async move { conn.query_one(asks, &[]).await });
    in_time(row).await.unwrap().get(0)
}

/// The next statement is answered, and nothing with that mark runs on.
async fn is_clean(pool: &Pool, admin: &tokio_postgres::Client, mark: &str) {
    let never = Token::never();
    let next = pool.run(&never, |conn| async move { conn.query_one("SELECT 7", &[]).await });
    assert_eq!(in_time(next).await.unwrap().get::<_, i32>(0), 7, "{mark}");
    assert_eq!(running(admin, mark).await, 0, "{mark}");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_done_and_its_failures_are_its_own() {
    let Some(server) = Postgres::shared() else { return };
    let pool = pool_of(server, 2);
    let token = Source::new().token();
    let row = pool.run(&token, |conn| async move { conn.query_one("SELECT 41 + 1", &[]).await });
    assert_eq!(in_time(row).await.unwrap().get::<_, i32>(0), 42);
    // In the other form of a closure, and elsewhere.
    let row = tokio::spawn({
        let pool = pool.clone();
        async move { pool.run(&token, async |conn: Conn| conn.query_one("SELECT 43", &[]).await).await }
    });
    assert_eq!(in_time(row).await.unwrap().unwrap().get::<_, i32>(0), 43);
    let never = Token::never();
    let error = pool.run(&never, |conn| async move { conn.batch_execute("SELECT 1/0").await });
    let error = in_time(error).await.unwrap_err();
    assert!(error.cancelled().is_none() && find_cancelled(&error).is_none());
    assert_eq!(error.failure().unwrap().code(), Some(&SqlState::DIVISION_BY_ZERO));
    assert!(in_time(pool.close_within(PATIENCE)).await);
}

/// Statements of every kind, each of which goes on for longer than a test.
const KINDS: [(&str, &str); 9] = [
    ("sleep", "SELECT pg_sleep(600)"),
    ("cpu", "SELECT count(*) FROM generate_series(1, 100000000000)"),
    ("lock", "SELECT pg_advisory_xact_lock(4711)"),
    // Where it waits to be parsed.
    ("table lock", "SELECT * FROM locked"),
    (
        "sort",
        "SELECT * FROM (SELECT md5(n::text) AS m FROM generate_series(1, 100000000) n) s \
         ORDER BY m LIMIT 1",
    ),
    ("rows", "SELECT n, repeat('x', 100) FROM generate_series(1, 100000000) n"),
    ("ddl", "CREATE TABLE never AS SELECT n FROM generate_series(1, 100000000000) n"),
    ("copy out", "COPY (SELECT n FROM generate_series(1, 100000000000) n) TO STDOUT"),
    ("copy in", "COPY copied FROM STDIN"),
];

/// Does that until it is stopped.
async fn goes_on(conn: Conn, kind: &str, statement: &str) -> Result<(), tokio_postgres::Error> {
    match kind {
        "copy out" => {
            let mut pieces = pin!(conn.copy_out(statement).await?);
            while let Some(piece) = pieces.next().await {
                piece?;
            }
        }
        "copy in" => {
            let mut sink = pin!(conn.copy_in::<_, bytes::Bytes>(statement).await?);
            loop {
                poll_fn(|cx| futures_sink::Sink::poll_ready(sink.as_mut(), cx)).await?;
                let line = bytes::Bytes::from_static(b"17\n");
                futures_sink::Sink::start_send(sink.as_mut(), line)?;
                tokio::task::yield_now().await;
            }
        }
        _ => drop(conn.query(statement, &[]).await?),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_stopped_stops_on_the_server() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    admin.batch_execute("CREATE TABLE copied (n int)").await.unwrap();
    let holder = server.client().await;
    holder.batch_execute("CREATE TABLE locked (n int)").await.unwrap();
    holder.batch_execute("BEGIN; LOCK locked; SELECT pg_advisory_lock(4711)").await.unwrap();
    for (kind, statement) in KINDS {
        for goes in ["by a stop", "by its time", "dropped"] {
            let mark = format!("{kind} {goes}");
            let pool = pool_of(server, 1);
            let pid = pid_of(&pool).await;
            let source = Source::new();
            let (token, of_work) = (source.token(), pool.clone());
            let statement = format!("{statement} /*{mark}*/");
            let work = tokio::spawn(async move {
                let goes_on = |conn| async move { goes_on(conn, kind, &statement).await };
                of_work.run(&token, goes_on).await
            });
            runs(&admin, &mark).await;
            if goes == "dropped" {
                work.abort();
                assert!(work.await.unwrap_err().is_cancelled());
            } else {
                let reason = if goes == "by a stop" {
                    source.cancel_with(Reason::Superseded);
                    Reason::Superseded
                } else {
                    source.cancel_after(Duration::from_millis(1));
                    Reason::Deadline
                };
                let error = in_time(work).await.unwrap().unwrap_err();
                assert_eq!(error.cancelled().expect("it was stopped").reason(), reason, "{mark}");
                // It was confirmed.
                assert_eq!(running(&admin, &mark).await, 0, "{mark}");
            }
            is_clean(&pool, &admin, &mark).await;
            // It was proven clean, and not thrown away.
            assert_eq!(pid_of(&pool).await, pid, "{mark}");
            assert!(in_time(pool.close_within(PATIENCE)).await, "{mark}");
        }
    }
    let copied = admin.query_one("SELECT count(*) FROM copied", &[]).await.unwrap();
    assert_eq!(copied.get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_that_is_cancelled_nothing_is_done() {
    // There is no such server, and nobody looks for it.
    let pool = Pool::new("host=127.0.0.1 port=1 user=nobody").unwrap();
    let token = Token::cancelled_with(Reason::Overload);
    let work = |_: Conn| async { Ok::<_, tokio_postgres::Error>(()) };
    let error = in_time(pool.run(&token, work)).await.unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Overload);
    let work = |_: Tx| async { Ok::<_, tokio_postgres::Error>(()) };
    assert!(in_time(pool.transaction(&token, work)).await.unwrap_err().cancelled().is_some());
}

/// Before its statement is on its way, at every poll.
#[tokio::test(flavor = "multi_thread")]
async fn it_may_be_dropped_at_any_moment() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    let pool = pool_of(server, 1);
    for polls in 0..40 {
        let never = Token::never();
        {
            let statement = "SELECT pg_sleep(600) /*any moment*/";
            let work = pool.run(&never, |conn| async move { conn.batch_execute(statement).await });
            let mut work = pin!(work);
            for _ in 0..polls {
                let pending = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_pending())).await;
                assert!(pending);
                tokio::task::yield_now().await;
            }
        }
        is_clean(&pool, &admin, "any moment").await;
    }
    assert!(in_time(pool.close_within(PATIENCE)).await);
}

/// Whoever drops a part of the work, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_work_itself_abandons_is_stopped_when_it_ends() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    let pool = pool_of(server, 1);
    let never = Token::never();
    for soon in [Duration::ZERO, Duration::from_millis(50)] {
        let work = pool.run(&never, |conn| async move {
            let sleeps = conn.batch_execute("SELECT pg_sleep(600) /*abandoned*/");
            assert!(tokio::time::timeout(soon, sleeps).await.is_err());
            // One that was polled once, and is on its way by now.
            let mut other = pin!(conn.batch_execute("SELECT pg_sleep(601) /*abandoned*/"));
            let pending = poll_fn(|cx| Poll::Ready(other.as_mut().poll(cx).is_pending())).await;
            assert!(pending);
            Ok::<_, tokio_postgres::Error>(())
        });
        let pid = pid_of(&pool).await;
        in_time(work).await.unwrap();
        is_clean(&pool, &admin, "abandoned").await;
        assert_eq!(pid_of(&pool).await, pid);
    }
}

/// With one thread nothing of it is sent before the work has ended.
#[tokio::test(flavor = "current_thread")]
async fn what_was_not_even_sent_is_stopped_as_well() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    let pool = pool_of(server, 1);
    let pid = pid_of(&pool).await;
    let never = Token::never();
    let work = pool.run(&never, |conn| async move {
        let mut sleeps = pin!(conn.batch_execute("SELECT pg_sleep(600) /*unsent*/"));
        let pending = poll_fn(|cx| Poll::Ready(sleeps.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
        Ok::<_, tokio_postgres::Error>(())
    });
    in_time(work).await.unwrap();
    is_clean(&pool, &admin, "unsent").await;
    assert_eq!(pid_of(&pool).await, pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_the_work_that_began_it_and_is_stopped() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    let pool = pool_of(server, 1);
    for goes in ["to its end", "by a stop", "dropped", "failing"] {
        let mark = format!("stream {goes}");
        let count = if goes == "to its end" { "1000" } else { "100000000" };
        let value = if goes == "failing" { "1 / (5000 - n)" } else { "n" };
        let statement = format!("SELECT {value} FROM generate_series(1, {count}) n /*{mark}*/");
        let source = Source::new();
        let begins = |conn: Conn| async move {
            let nothing: [&str; 0] = [];
            conn.query_raw(&statement, nothing).await
        };
        let mut rows = in_time(pool.stream(&source.token(), begins)).await.unwrap();
        let mut had = 0;
        while had < 1000 {
            let row = in_time(rows.next()).await.unwrap().unwrap();
            assert!(goes == "failing" || row.get::<_, i32>(0) == had + 1);
            had += 1;
        }
        match goes {
            "to its end" => assert!(in_time(rows.next()).await.is_none()),
            "dropped" => drop(rows),
            "by a stop" => {
                source.cancel_with(Reason::Disconnected);
                let error = loop {
                    match in_time(rows.next()).await.expect("it must not look like an end") {
                        Ok(_) => {}
                        Err(error) => break error,
                    }
                };
                assert_eq!(error.cancelled().unwrap().reason(), Reason::Disconnected);
                assert_eq!(running(&admin, &mark).await, 0);
                assert!(in_time(rows.next()).await.is_none());
            }
            _ => {
                let error = loop {
                    match in_time(rows.next()).await.expect("it fails") {
                        Ok(_) => {}
                        Err(error) => break error,
                    }
                };
                let code = error.failure().unwrap().code();
                assert_eq!(code, Some(&SqlState::DIVISION_BY_ZERO));
            }
        }
        is_clean(&pool, &admin, &mark).await;
    }
    assert!(in_time(pool.close_within(PATIENCE)).await);
}

/// Nobody has the connection before it is clean, whoever waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_wants_does_not_wait_for_the_server() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    let config = server.address().parse().unwrap();
    let pool = Pool::builder(config).size(1).wait(Wait::AtOnce).build().unwrap();
    let source = Source::new();
    let token = source.token();
    let statement = "SELECT pg_sleep(600) /*at once*/";
    let mut work =
        pin!(pool.run(&token, |conn| async move { conn.batch_execute(statement).await }));
    in_time(async {
        tokio::select! {
            _ = work.as_mut() => panic!("it goes on"),
            () = runs(&admin, "at once") => {}
        }
    })
    .await;
    source.cancel();
    // In the poll after that, without anything that is waited for.
    let polled = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
    let Poll::Ready(Err(error)) = polled else { panic!("it waits") };
    assert!(error.cancelled().is_some());
    is_clean(&pool, &admin, "at once").await;
}

/// Whatever the work says of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_stop_is_the_stop() {
    let Some(server) = Postgres::shared() else { return };
    let pool = pool_of(server, 1);
    let source = Source::new();
    let stops = source.clone();
    let fails = |_conn: Conn| async move {
        stops.cancel_with(Reason::Superseded);
        Err::<(), _>("of its own")
    };
    let token = source.token();
    let error = in_time(pool.run(&token, fails)).await.unwrap_err();
    assert_eq!(error.cancelled().expect("it was stopped").reason(), Reason::Superseded);
    // What has come to a good end is that, also after the stop.
    let source = Source::new();
    let stops = source.clone();
    let succeeds = |_conn: Conn| async move {
        stops.cancel();
        Ok::<_, tokio_postgres::Error>("done")
    };
    assert_eq!(in_time(pool.run(&source.token(), succeeds)).await.unwrap(), "done");
}

/// It is not ours to say that it was stopped.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_cancels_is_a_failure() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    let pool = pool_of(server, 1);
    let token = Source::new().token();
    let statement = "SELECT pg_sleep(600) /*somebody else*/";
    let work = pool.run(&token, |conn| async move { conn.batch_execute(statement).await });
    let cancels = async {
        runs(&admin, "somebody else").await;
        let cancels = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                       WHERE query LIKE '%somebody else%' AND pid <> pg_backend_pid()";
        admin.batch_execute(cancels).await.unwrap();
    };
    let (error, ()) = in_time(async { tokio::join!(work, cancels) }).await;
    let error = error.unwrap_err();
    assert!(error.cancelled().is_none());
    assert_eq!(error.failure().unwrap().code(), Some(&SqlState::QUERY_CANCELED));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_connection_is_stopped_and_loses_nobodys() {
    let Some(server) = Postgres::shared() else { return };
    let pool = pool_of(server, 1);
    let (ends, may_end) = tokio::sync::oneshot::channel::<()>();
    let never = Token::never();
    let mut holds = pin!(pool.run(&never, |_conn| async move {
        let _ = may_end.await;
        Ok::<_, tokio_postgres::Error>(())
    }));
    assert!(tokio::time::timeout(WHILE, holds.as_mut()).await.is_err());
    let work = |conn: Conn| async move { conn.batch_execute("SELECT 1").await };
    for by_drop in [false, true] {
        for _ in 0..20 {
            let source = Source::new();
            let token = source.token();
            let mut waits = pin!(pool.run(&token, work));
            assert!(poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx).is_pending())).await);
            if !by_drop {
                source.cancel();
                assert!(in_time(waits).await.unwrap_err().cancelled().is_some());
            }
        }
    }
    let late = Source::with_timeout(WHILE / 10);
    let late = in_time(pool.run(&late.token(), work)).await.unwrap_err();
    assert_eq!(late.cancelled().unwrap().reason(), Reason::Deadline);
    ends.send(()).unwrap();
    in_time(holds).await.unwrap();
    in_time(pool.run(&never, work)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_keeps_a_handle_keeps_it_for_good() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    let pool = pool_of(server, 2);
    let never = Token::never();
    let kept = pool.run(&never, |conn| async move {
        conn.batch_execute("SET application_name = 'kept'").await?;
        Ok::<_, tokio_postgres::Error>(conn)
    });
    let kept = in_time(kept).await.unwrap();
    is_clean(&pool, &admin, "kept").await;
    // Its server's process is ended, and what is kept is of no use.
    in_time(async {
        let counts = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'kept'";
        while admin.query_one(counts, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert!(in_time(kept.batch_execute("SELECT 1")).await.is_err());
    drop(kept);
    assert!(in_time(pool.close_within(PATIENCE)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_work_costs_nobody_else_anything() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    let pool = pool_of(server, 1);
    let panics = tokio::spawn({
        let pool = pool.clone();
        async move {
            let token = Token::never();
            pool.run(&token, |conn| async move {
                conn.batch_execute("BEGIN; CREATE TABLE of_a_panic ()").await?;
                let mut sleeps = pin!(conn.batch_execute("SELECT pg_sleep(600) /*panics*/"));
                let _ = tokio::time::timeout(WHILE / 10, sleeps.as_mut()).await;
                if conn.is_closed() {
                    return Ok::<_, tokio_postgres::Error>(());
                }
                panic!("as a bug in the work")
            })
            .await
        }
    });
    assert!(in_time(panics).await.unwrap_err().is_panic());
    is_clean(&pool, &admin, "panics").await;
    let there = admin.query_one("SELECT to_regclass('of_a_panic') IS NULL", &[]).await.unwrap();
    assert!(there.get::<_, bool>(0), "it was rolled back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_closed_waits_for_what_runs_and_begins_nothing() {
    let Some(server) = Postgres::shared() else { return };
    let pool = pool_of(server, 2);
    let source = Source::new();
    let (token, of_work) = (source.token(), pool.clone());
    let work = tokio::spawn(async move {
        let sleeps = "SELECT pg_sleep(600) /*while it closes*/";
        of_work.run(&token, |conn| async move { conn.batch_execute(sleeps).await }).await
    });
    let admin = server.client().await;
    runs(&admin, "while it closes").await;
    assert!(!in_time(pool.close_within(WHILE)).await, "it still runs");
    let never = Token::never();
    let late = pool.run(&never, |_conn| async { Ok::<_, tokio_postgres::Error>(()) });
    let late = in_time(late).await.unwrap_err();
    assert_eq!(late.to_string(), "the pool is closed, and no more work begins");
    source.cancel();
    assert!(in_time(pool.close_within(PATIENCE)).await);
    assert!(in_time(work).await.unwrap().unwrap_err().cancelled().is_some());
}

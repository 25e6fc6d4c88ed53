//! Each kind of statement is stopped on the server, whenever and however the stop comes.
#![cfg(all(unix, feature = "sqlx"))]

mod common;

use std::time::{Duration, Instant};

use common::sqlx::{pg_pool, pool, server, until};
use common::{PATIENCE, Server};
use desist::{Reason, Source, Token};
use desist_sql::sqlx::{Conn, Pool};
use sqlx::{Executor, PgPool};

/// What would take a minute, or for ever.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Sleep,
    Cpu,
    LockWait,
    Sort,
    LargeResult,
    CopyOut,
    CopyIn,
    Ddl,
}

const KINDS: [Kind; 8] = [
    Kind::Sleep,
    Kind::Cpu,
    Kind::LockWait,
    Kind::Sort,
    Kind::LargeResult,
    Kind::CopyOut,
    Kind::CopyIn,
    Kind::Ddl,
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Token,
    Deadline,
    Drop,
}

const WAYS: [Way; 3] = [Way::Token, Way::Deadline, Way::Drop];

impl Kind {
    fn sql(self) -> &'static str {
        match self {
            Self::Sleep => "SELECT pg_sleep(60)",
            Self::Cpu => {
                "SELECT sum(a * b) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"
            }
            Self::LockWait => "DELETE FROM held",
            Self::Sort => {
                "SELECT max(s) FROM (SELECT md5(n::text) s FROM generate_series(1, 30000000) n \
                 ORDER BY 1 OFFSET 1) sorted"
            }
            Self::LargeResult => "SELECT repeat('x', 1000) FROM generate_series(1, 20000000) n",
            Self::CopyOut => {
                "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000000) n) TO STDOUT"
            }
            Self::CopyIn => "COPY filled FROM STDIN",
            Self::Ddl => "CREATE INDEX ON indexed ((slow(n)))",
        }
    }

    async fn work(self, mut conn: Conn) -> sqlx::Result<()> {
        let sql = self.sql();
        match self {
            Self::CopyOut => {
                let mut rows = conn.copy_out_raw(sql).await?;
                while let Some(row) = std::future::poll_fn(|cx| rows.as_mut().poll_next(cx)).await {
                    row?;
                }
            }
            Self::CopyIn => {
                let mut copy = conn.copy_in_raw(sql).await?;
                loop {
                    copy.send(&b"1\n"[..]).await?;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            Self::LargeResult => {
                let mut rows = conn.fetch(sqlx::query(sql));
                while let Some(row) = std::future::poll_fn(|cx| rows.as_mut().poll_next(cx)).await {
                    row?;
                }
            }
            _ => {
                sqlx::query(sql).execute(&mut *conn).await?;
            }
        }
        Ok(())
    }

    /// Whether its connection can be used again, as it must if it can.
    fn keeps_connection(self) -> bool {
        !matches!(self, Self::CopyOut | Self::CopyIn)
    }
}

/// What the statements are about, and a lock on it.
async fn prepare(server: &Server) -> Option<sqlx::Transaction<'static, sqlx::Postgres>> {
    let admin = pg_pool(server, "admin", 1);
    let mut lock = admin.begin().await.unwrap();
    lock.execute(
        "CREATE FUNCTION slow(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(0.1); RETURN n; END $$;
         CREATE TABLE indexed AS SELECT n FROM generate_series(1, 1000) n;
         CREATE TABLE filled (n int);
         CREATE TABLE held ();
         COMMIT; BEGIN; LOCK TABLE held",
    )
    .await
    .unwrap();
    Some(lock)
}

/// How many statements of that kind run for a pool of that name.
async fn running(admin: &PgPool, name: &str, kind: Kind) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE state = 'active' AND application_name = $1 AND query = $2",
    )
    .bind(name)
    .bind(kind.sql())
    .fetch_one(admin)
    .await
    .unwrap()
}

async fn pid(pool: &Pool) -> i32 {
    pool.run(&Token::never(), async |conn| Ok::<_, sqlx::Error>(conn.pid())).await.unwrap()
}

/// Stops it when `when` says so.
async fn stop(pool: &Pool, kind: Kind, way: Way, when: impl AsyncFnOnce()) {
    let source = Source::new();
    let run = pool.run(&source.token(), async move |conn| kind.work(conn).await);
    let run = tokio::spawn(run);
    when().await;
    match way {
        Way::Token => drop(source.cancel_with(Reason::Superseded)),
        Way::Deadline => source.cancel_after(Duration::ZERO),
        Way::Drop => run.abort(),
    }
    let ended = run.await;
    if way == Way::Drop {
        assert!(ended.unwrap_err().is_cancelled());
        return;
    }
    let error = ended.unwrap().unwrap_err();
    let stop = error.cancelled().unwrap_or_else(|| panic!("{kind:?} {way:?}: {error:?}"));
    let reason = if way == Way::Token { Reason::Superseded } else { Reason::Deadline };
    assert_eq!(stop.reason(), reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_statement_it_stops_and_the_next_one_is_answered() {
    let Some(server) = server() else { return };
    let _lock = prepare(server).await;
    let admin = pg_pool(server, "admin", 1);
    let mut waits = Vec::new();
    for (kind, way) in KINDS.into_iter().flat_map(|kind| WAYS.map(|way| (kind, way))) {
        let pool = pool(server, "during", 1);
        let before = pid(&pool).await;
        stop(&pool, kind, way, async || {
            until("it runs", async || running(&admin, "during", kind).await == 1).await;
        })
        .await;
        if way == Way::Drop {
            // There was nobody to wait for it.
            until("it is stopped", async || running(&admin, "during", kind).await == 0).await;
        }
        assert_eq!(running(&admin, "during", kind).await, 0, "{kind:?} {way:?}");
        let begin = Instant::now();
        let after = pid(&pool).await;
        waits.push(begin.elapsed());
        assert_eq!(before == after, kind.keeps_connection(), "{kind:?} {way:?}");
        assert!(pool.close_within(PATIENCE).await);
    }
    waits.sort();
    // How fast it is on an idle machine is what the benches say. Here it is that the next one
    // does not wait for what was stopped, nor as a rule for any of our own bounds.
    assert!(waits[waits.len() / 2] < Duration::from_secs(1), "{waits:?}");
    assert!(*waits.last().unwrap() < PATIENCE / 2, "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_start_of_a_statement_it_stops_as_well() {
    let Some(server) = server() else { return };
    let admin = pg_pool(server, "admin", 1);
    let pool = pool(server, "start", 1);
    // From before the connection is there to the midst of the statement.
    for delay in (0..60).map(|n| Duration::from_micros(n * 50)) {
        for way in WAYS {
            let kind = Kind::Cpu;
            stop(&pool, kind, way, async || {
                let begin = Instant::now();
                while begin.elapsed() < delay {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            if way == Way::Drop {
                // Nobody has waited for it: until its owner gives the connection back.
                drop(pool.get_ref().acquire().await.unwrap());
            }
            assert_eq!(running(&admin, "start", kind).await, 0, "{delay:?} {way:?}");
        }
    }
    assert!(pid(&pool).await > 0);
}

#[tokio::test]
async fn before_it_nothing_is_sent() {
    // Nobody is there to whom it could be.
    let options = common::sqlx::pool_options(1);
    let pool = Pool::new(options.connect_lazy("postgres://localhost:1/none").unwrap());
    let token = Token::cancelled_with(Reason::Overload);
    let run = pool.run(&token, async |_| -> sqlx::Result<()> { panic!("it is not called") });
    assert_eq!(run.await.unwrap_err().cancelled().unwrap().reason(), Reason::Overload);
    let tx = pool.transaction(&token, async |_| -> sqlx::Result<()> { panic!("it is not called") });
    assert_eq!(tx.await.unwrap_err().cancelled().unwrap().reason(), Reason::Overload);
    let mut rows = pool.stream(&token, sqlx::query("SELECT 1"));
    let error = rows.next().await.unwrap().unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Overload);
    assert!(rows.next().await.is_none());
    assert_eq!(pool.get_ref().size(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_it_the_result_stands() {
    let Some(server) = server() else { return };
    let pool = pool(server, "after", 1);
    let source = Source::new();
    let one = pool.run(&source.token(), async |mut conn| {
        let one = sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&mut *conn).await;
        source.cancel();
        one
    });
    assert_eq!(one.await.unwrap(), 1);
    assert!(source.is_cancelled());
    assert!(pid(&pool).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_closure_has_left_undone_is_stopped_after_its_end() {
    let Some(server) = server() else { return };
    let (admin, pool) = (pg_pool(server, "admin", 1), pool(server, "undone", 1));
    let before = pid(&pool).await;
    let kind = Kind::Cpu;
    let run = pool.run(&Token::never(), async |mut conn| {
        let statement = sqlx::query(kind.sql()).execute(&mut *conn);
        let runs = until("it runs", async || running(&admin, "undone", kind).await == 1);
        tokio::select! {
            _ = statement => panic!("it takes a minute"),
            () = runs => Ok::<_, sqlx::Error>(()),
        }
    });
    run.await.unwrap();
    assert_eq!(pid(&pool).await, before);
    assert_eq!(running(&admin, "undone", kind).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_want_to_wait_does_not_and_the_server_stops_all_the_same() {
    let Some(server) = server() else { return };
    let running = || common::sqlx::running(server, "at once");
    // It does not heed a cancel, so that one would have to wait until it is terminated.
    let sql = "DO $$ BEGIN LOOP
                   BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END;
               END LOOP; END $$";
    let pool = common::sqlx::builder(server, "at once", 1)
        .clean_within(Duration::from_secs(3))
        .wait(desist_sql::Wait::AtOnce)
        .build();
    let source = Source::new();
    let run = pool.run(&source.token(), async move |mut conn| conn.execute(sql).await);
    let run = tokio::spawn(run);
    until("it runs", async || running() == "1").await;
    source.cancel();
    assert!(run.await.unwrap().unwrap_err().cancelled().is_some());
    assert_eq!(running(), "1");
    until("it is stopped", async || running() == "0").await;
    assert!(pid(&pool).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_nobody_will_feed_is_not_waited_for() {
    let Some(server) = server() else { return };
    let pool = common::sqlx::builder(server, "starves", 1).clean_within(PATIENCE * 10).build();
    pool.get_ref().execute("CREATE TABLE starved (n int)").await.unwrap();
    let source = Source::new();
    let run = pool.run(&source.token(), async |mut conn| {
        // As when its future is dropped before sqlx knows that it has begun.
        std::mem::forget(conn.copy_in_raw("COPY starved FROM STDIN").await?);
        source.cancel();
        std::future::pending::<sqlx::Result<()>>().await
    });
    let stopped = tokio::time::timeout(PATIENCE, run).await.unwrap();
    assert!(stopped.unwrap_err().cancelled().is_some());
    assert!(pid(&pool).await > 0);
}

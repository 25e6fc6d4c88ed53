//! Behind PgBouncer.
#![cfg(all(unix, feature = "sqlx"))]

mod common;

use std::str::FromStr;

use common::sqlx::{pool_options, server, until};
use common::{Bouncer, PATIENCE, Server};
use desist::{Reason, Source, Token};
use desist_sql::sqlx::Pool;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor};

fn options(bouncer: &Bouncer, name: &str) -> PgConnectOptions {
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", bouncer.port);
    let options = PgConnectOptions::from_str(&url).unwrap().application_name(name);
    // What it does not know in this version.
    options.statement_cache_capacity(0).disable_statement_logging()
}

const SLEEP: &str = "SELECT pg_sleep(60)";

fn running(server: &Server, name: &str) -> String {
    server.psql(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' \
         AND state = 'active' AND query = '{SLEEP}'"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn in_session_mode_all_of_it_works() {
    let Some(server) = server() else { return };
    let Some(bouncer) = Bouncer::start(server, "session") else { return };
    let pool = Pool::new(pool_options(1).connect_lazy_with(options(&bouncer, "session")));
    let source = Source::new();
    let run = pool.run(&source.token(), async |mut conn| conn.execute(SLEEP).await.map(drop));
    let run = tokio::spawn(run);
    until("it runs", async || running(server, "session") == "1").await;
    source.cancel_with(Reason::Superseded);
    let error = run.await.unwrap().unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Superseded);
    assert_eq!(running(server, "session"), "0");
    let one = pool.run(&Token::never(), async |mut conn| {
        sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&mut *conn).await
    });
    assert_eq!(one.await.unwrap(), 1);
    assert!(pool.close_within(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_transaction_mode_transactions_work() {
    let Some(server) = server() else { return };
    let Some(bouncer) = Bouncer::start(server, "transaction") else { return };
    let pool = Pool::new(pool_options(4).connect_lazy_with(options(&bouncer, "transaction")));
    pool.get_ref().execute("CREATE TABLE bounced (n int)").await.unwrap();
    // The others change backends with each transaction, and must not be hit.
    let stop = Source::new();
    let others: Vec<_> = (0..3)
        .map(|_| {
            let (pool, stop) = (pool.clone(), stop.token());
            tokio::spawn(async move {
                let mut done = 0;
                while !stop.is_cancelled() {
                    let tx = pool.transaction(&Token::never(), async |mut tx| {
                        tx.execute("INSERT INTO bounced VALUES (1)").await?;
                        tx.execute("SELECT pg_sleep(0.001)").await
                    });
                    tx.await.unwrap();
                    done += 1;
                }
                done
            })
        })
        .collect();
    for _ in 0..20 {
        let source = Source::new();
        let run = tokio::spawn(pool.transaction(&source.token(), async |mut tx| {
            tx.execute("INSERT INTO bounced VALUES (2)").await?;
            tx.execute(SLEEP).await
        }));
        until("it runs", async || running(server, "transaction") == "1").await;
        source.cancel();
        assert!(run.await.unwrap().unwrap_err().cancelled().is_some());
        assert_eq!(running(server, "transaction"), "0");
    }
    stop.cancel();
    let mut done = 0;
    for other in others {
        done += other.await.unwrap();
    }
    assert!(done > 0);
    assert_eq!(server.psql("SELECT count(*), max(n) FROM bounced"), format!("{done}|1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_session_mode_a_handle_that_comes_late_costs_nobody_else_a_backend() {
    let Some(server) = server() else { return };
    let Some(bouncer) = Bouncer::start(server, "session") else { return };
    let options = options(&bouncer, "late");
    for _ in 0..10 {
        let pool = Pool::new(pool_options(1).connect_lazy_with(options.clone()));
        let (send, kept) = tokio::sync::oneshot::channel();
        let run = pool.run(&Token::never(), async |conn| {
            send.send(conn).unwrap();
            Ok::<_, sqlx::Error>(())
        });
        run.await.unwrap();
        // A moment too late. The pooler has a backend to give to somebody else, or not yet.
        drop(kept.await.unwrap());
        let mut stranger = options.connect().await.unwrap();
        stranger.execute("SELECT pg_sleep(0.05)").await.unwrap();
        assert!(pool.close_within(PATIENCE).await);
    }
}

async fn refuses(pool: &Pool) {
    let token = Token::never();
    let run = pool.run(&token, async |_| -> sqlx::Result<()> { panic!("it is not called") });
    let mut rows = pool.stream(&token, sqlx::query("SELECT 1"));
    for error in [run.await.unwrap_err(), rows.next().await.unwrap().unwrap_err()] {
        assert!(error.is_no_connection(), "{error:?}");
        assert!(error.to_string().contains("take transaction"), "{error}");
    }
    let tx = pool.transaction(&token, async |mut tx| tx.execute("SELECT 1").await.map(drop));
    tx.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_transaction_mode_all_else_is_refused_when_it_is_known() {
    let Some(server) = server() else { return };
    let Some(bouncer) = Bouncer::start(server, "transaction") else { return };
    let options = options(&bouncer, "known");
    let pool = pool_options(1).connect_lazy_with(options.clone());
    refuses(&Pool::builder(pool).behind_transaction_pooler().build()).await;

    // Or when it is seen: somebody else takes the backend that served it, and it has another.
    let pool = Pool::builder(pool_options(1).connect_lazy_with(options.clone()));
    let pool = pool.side_ready(false).build();
    // The pooler has four, and gives away what was used last, or a little before.
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(options.connect().await.unwrap());
    }
    let run = pool.run(&Token::never(), async |conn| {
        for other in &mut others {
            let taken = other.fetch_all("BEGIN; SELECT pg_backend_pid()").await?.pop().unwrap();
            if sqlx::Row::get::<i32, _>(&taken, 0) == conn.pid() {
                return Ok::<_, sqlx::Error>(());
            }
        }
        panic!("nobody was given its backend");
    });
    run.await.unwrap();
    until("it is seen", async || pool.get_ref().size() == 0).await;
    refuses(&pool).await;
}

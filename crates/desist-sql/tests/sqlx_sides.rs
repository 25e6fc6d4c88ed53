//! The connections beside the pool, over which the server is told to stop: they may die while
//! nobody uses them, or not be had at all.
#![cfg(all(unix, feature = "sqlx"))]

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::{Duration, Instant};

use common::sqlx::{builder, options, pg_pool, running, server, until};
use common::{PATIENCE, Server, Wire};
use desist::{Source, Token};
use desist_sql::sqlx::Pool;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection};

const SLEEP: &str = "SELECT pg_sleep(60)";

/// Long enough that one that is idle is asked whether it is alive.
const IDLE: Duration = Duration::from_millis(120);

async fn pid(pool: &Pool) -> i32 {
    pool.run(&Token::never(), async |conn| Ok::<_, sqlx::Error>(conn.pid())).await.unwrap()
}

/// Stops a statement, sees that the server does, and says which backend it was, and how long
/// the stop took.
async fn stop(server: &Server, pool: &Pool, name: &str) -> (i32, Duration) {
    let source = Source::new();
    let (tell, told) = tokio::sync::oneshot::channel();
    let run = tokio::spawn(pool.run(&source.token(), async move |mut conn| {
        tell.send(conn.pid()).unwrap();
        conn.execute(SLEEP).await.map(drop)
    }));
    let pid = told.await.unwrap();
    until("it runs", async || running(server, name) == "1").await;
    let begin = Instant::now();
    source.cancel();
    assert!(run.await.unwrap().unwrap_err().cancelled().is_some());
    let took = begin.elapsed();
    until("it is stopped", async || running(server, name) == "0").await;
    (pid, took)
}

/// How many are beside a pool of one, whose backend that is.
fn sides(server: &Server, name: &str, pid: i32) -> String {
    server.psql(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND pid <> {pid}"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_killed_while_it_was_idle_costs_nobody_a_connection() {
    let Some(server) = server() else { return };
    let pool = builder(server, "killed sides", 1).build();
    let (before, _) = stop(server, &pool, "killed sides").await;
    let kill = format!(
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
         WHERE application_name = 'killed sides' AND pid <> {before}"
    );
    assert_ne!(server.psql(&kill), "0");
    tokio::time::sleep(IDLE).await;
    assert_eq!(stop(server, &pool, "killed sides").await.0, before);
    // It was cancelled, and is not another one now.
    assert_eq!(pid(&pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_the_network_has_forgotten_holds_nobody_up() {
    let Some(server) = server() else { return };
    let wire = Wire::to(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()))).await;
    let pg_pool = pg_pool(server, "hole", 1);
    // That of the pool goes straight to the server, and those beside it by the wire.
    drop(pg_pool.acquire().await.unwrap());
    let options = PgConnectOptions::from_str(&server.tcp_url()).unwrap().port(wire.addr.port());
    pg_pool.set_connect_options(options.application_name("sides").disable_statement_logging());
    let pool = Pool::builder(pg_pool).clean_within(PATIENCE).build();
    let (before, _) = stop(server, &pool, "hole").await;
    wire.cut();
    wire.heal();
    tokio::time::sleep(IDLE).await;
    let (again, took) = stop(server, &pool, "hole").await;
    assert_eq!((again, pid(&pool).await), (before, before));
    // It takes a quarter of a second to see that it is dead.
    assert!(took < PATIENCE / 2, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_there_when_the_server_has_no_connection_left() {
    // Five for whom this is about. Who looks on has the others, each for a moment.
    let limits = [("max_connections", "9"), ("superuser_reserved_connections", "4")];
    let Some(server) = Server::start(&limits) else { return };
    server.psql("CREATE ROLE app LOGIN");
    server.psql("GRANT pg_signal_backend TO app");
    let within = Duration::from_millis(300);
    for is_ready in [true, false] {
        let name = if is_ready { "ready" } else { "unready" };
        let options = options(&server, name).username("app").disable_statement_logging();
        let pool = common::sqlx::pool_options(1).connect_lazy_with(options.clone());
        let pool = Pool::builder(pool).side_ready(is_ready).clean_within(within).build();
        let before = pid(&pool).await;
        if is_ready {
            until("it is ready", async || sides(&server, name, before) == "1").await;
        }
        let mut others: Vec<PgConnection> = Vec::new();
        let all = if is_ready { 3 } else { 4 };
        let other = options.clone().application_name("others");
        until("the server is full", async || {
            others.extend(other.connect().await);
            others.len() == all
        })
        .await;
        assert!(other.connect().await.is_err());
        let (stopped, _) = stop(&server, &pool, name).await;
        assert_eq!(stopped, before);
        // Cancelled, or hung up on.
        assert_eq!(pid(&pool).await == before, is_ready);
        drop(others);
        assert!(pool.close_within(PATIENCE).await);
        let left = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
        until("they are gone", async || server.psql(left) == "0").await;
    }
}

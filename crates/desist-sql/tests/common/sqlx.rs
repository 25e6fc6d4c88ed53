//! Pools over a server of the binary's own.

use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use desist::Token;
use desist_sql::sqlx::{Builder, Pool, Tx};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, PgPool};

use super::{PATIENCE, Server};

/// That of the binary; `None`: there is no Postgres, and that was said.
pub(crate) fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&[("max_connections", "200")])).as_ref()
}

pub(crate) fn options(server: &Server, name: &str) -> PgConnectOptions {
    PgConnectOptions::from_str(&server.url()).unwrap().application_name(name)
}

pub(crate) fn pg_pool(server: &Server, name: &str, most: u32) -> PgPool {
    pool_options(most).connect_lazy_with(options(server, name).disable_statement_logging())
}

pub(crate) fn pool_options(most: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(most).test_before_acquire(false).acquire_timeout(PATIENCE)
}

pub(crate) fn builder(server: &Server, name: &str, most: u32) -> Builder {
    Pool::builder(pg_pool(server, name, most))
}

pub(crate) fn pool(server: &Server, name: &str, most: u32) -> Pool {
    builder(server, name, most).build()
}

/// Waits for what there is no event of.
///
/// # Panics
///
/// It does not come.
pub(crate) async fn until<F: AsyncFnMut() -> bool>(what: &str, mut is: F) {
    let begin = Instant::now();
    while !is().await {
        assert!(begin.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// How many statements run for pools of that name, without those of ours that ask or cancel.
pub(crate) fn running(server: &Server, name: &str) -> String {
    server.psql(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' \
         AND state = 'active' AND query !~ 'pg_backend_pid|set_config|pg_stat_get_activity'"
    ))
}

/// One with numbers in it.
pub(crate) async fn table(pool: &Pool, name: &str) {
    let sql = format!("CREATE TABLE {name} (n int)");
    pool.get_ref().execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
}

pub(crate) async fn add(tx: &mut Tx, table: &str, n: i32) -> sqlx::Result<()> {
    let sql = format!("INSERT INTO {table} VALUES ({n})");
    tx.execute(sqlx::AssertSqlSafe(sql)).await.map(drop)
}

pub(crate) async fn rows(pool: &Pool, table: &str) -> Vec<i32> {
    let sql = format!("SELECT n FROM {table} ORDER BY n");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(pool.get_ref()).await.unwrap()
}

/// Which serves a pool of one.
pub(crate) async fn backend(pool: &Pool) -> i32 {
    pool.run(&Token::never(), async |conn| Ok::<_, sqlx::Error>(conn.pid())).await.unwrap()
}

/// How many are in the midst of a transaction, for a pool of that name; our own statements
/// have one each, for a moment.
pub(crate) fn open(server: &Server, name: &str) -> String {
    server.psql(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' \
         AND (state LIKE 'idle in transaction%' OR xact_start IS NOT NULL AND query !~ \
         'pg_backend_pid|set_config|pg_stat_get_activity')"
    ))
}

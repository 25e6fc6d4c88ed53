//! The sql rows: `desist_sql` beside the bare driver and a plain pool, on a server of its
//! own.
//!
//!   sql                        all of it
//!   sql --quick                fewer rounds: shows that it works
//!   sql --quick --check        fails where it is far from its aims
//!   sql --quick --check --handicap   the same with ours twice as slow: it must fail
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod databases;
mod overhead;
/// As the tests talk to it.
#[path = "../../../../crates/desist-sql/tests/postgres/common/server.rs"]
#[allow(dead_code)]
mod server;
mod stopping;

use std::process::ExitCode;

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use desist_sql::postgres::Pool;
use tokio::runtime::Builder;
use tokio_postgres::NoTls;

use self::server::Postgres;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| !["--quick", "--check", "--handicap"].contains(&arg.as_str())) {
        eprintln!("usage: sql [--quick] [--check] [--handicap]");
        return ExitCode::from(2);
    }
    let has = |arg: &str| args.iter().any(|had| had == arg);
    let (rounds, stops) = if has("--quick") { (20, 20) } else { (400, 400) };
    let times = if has("--handicap") { 2 } else { 1 };
    let Some(server) = Postgres::start() else { return ExitCode::FAILURE };
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let is_cheap = overhead::measure(&server, rounds, times);
    let is_soon = runtime.block_on(stopping::measure(&server, stops));
    if !has("--check") || is_cheap && is_soon {
        return ExitCode::SUCCESS;
    }
    eprintln!("sql: a statement, or its stop, takes far longer than it is to take");
    ExitCode::FAILURE
}

/// Ours, with room for one.
fn pool(server: &Postgres) -> Pool {
    let pool = Pool::builder(server.address().parse().expect("an address")).size(1);
    pool.build().expect("a pool")
}

fn plain_pool(server: &Postgres) -> deadpool_postgres::Pool {
    let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager =
        Manager::from_config(server.address().parse().expect("an address"), NoTls, config);
    deadpool_postgres::Pool::builder(manager).max_size(1).build().expect("a pool")
}

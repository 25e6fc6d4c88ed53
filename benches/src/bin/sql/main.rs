//! The sql rows: `desist_sql` beside the bare driver and a plain pool, on a server of its
//! own.
//!
//!   sql            all of it
//!   sql --quick    fewer rounds: shows that it works
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
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (rounds, statements, stops) = match args[..] {
        [] => (400, 200, 400),
        ["--quick"] => (20, 50, 20),
        _ => {
            eprintln!("usage: sql [--quick]");
            return ExitCode::from(2);
        }
    };
    let Some(server) = Postgres::start() else { return ExitCode::FAILURE };
    overhead::measure(&server, rounds, statements);
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(stopping::measure(&server, stops));
    ExitCode::SUCCESS
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

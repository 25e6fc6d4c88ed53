//! The rows of operations: how soon a cancel on one replica is heard on another, beside a bare
//! NOTIFY; how soon one that is started begins; and how many go through in a second.
//!
//!   ops                              all of it
//!   ops --quick                      fewer: shows that it works
//!   ops --quick --check              fails where it is far from its aims
//!   ops --quick --check --handicap   the same with pushes off: it must fail
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod notified;
mod replicas;
/// As the tests talk to it.
#[path = "../../../../crates/desist-sql/tests/common/server.rs"]
#[allow(dead_code)]
mod server;

use std::process::ExitCode;
use std::time::Duration;

use desist_ops::{Postgres, Sqlite};
use tokio::runtime::Builder;

use self::notified::Notified;
use self::replicas::Replicas;
use self::server::Server;

/// How long the server may take to start.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The aim, and what a loaded machine is not refused for.
const AIM: f64 = 50.0;
const BOUND: f64 = 400.0;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| !["--quick", "--check", "--handicap"].contains(&arg.as_str())) {
        eprintln!("usage: ops [--quick] [--check] [--handicap]");
        return ExitCode::from(2);
    }
    let has = |arg: &str| args.iter().any(|had| had == arg);
    let (rounds, many) = if has("--quick") { (30, 200) } else { (500, 5000) };
    let Some(server) = Server::start(&[]) else { return ExitCode::FAILURE };
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let is_soon = runtime.block_on(async {
        let is_soon = on_postgres(&server, rounds, many, has("--handicap")).await;
        on_sqlite(rounds, many).await;
        is_soon
    });
    if !has("--check") || is_soon {
        return ExitCode::SUCCESS;
    }
    eprintln!("ops: a cancel takes far longer to be heard than it is to take");
    ExitCode::FAILURE
}

async fn on_postgres(server: &Server, rounds: usize, many: usize, handicap: bool) -> bool {
    let config: tokio_postgres::Config = server.tcp_url().parse().expect("an address");
    let store = || {
        let builder = Postgres::builder(config.clone());
        let builder = if handicap { builder.without_push() } else { builder };
        std::future::ready(builder.build().expect("a store"))
    };
    let mut bare = Notified::open(&config).await;
    let replicas = Replicas::open(store).await;
    let (mut notified, mut heard, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let rounds = if handicap { rounds.min(5) } else { rounds };
    for _ in 0..rounds {
        let one = bare.measure().await;
        let ours = replicas.cancelled().await;
        notified.push(one);
        heard.push(ours);
        ratios.push(ours / one);
    }
    println!("Postgres: a bare NOTIFY, sent to received: {}", said(&mut notified));
    println!(
        "Postgres: cancel on one replica -> token on another: {}; aim: p99 <= {AIM} ms; {:.1} NOTIFYs (median)",
        said(&mut heard),
        at(&mut ratios, 0.5)
    );
    println!(
        "Postgres: started on one -> begins on another: {}",
        said(&mut replicas.started(rounds).await)
    );
    println!(
        "Postgres: {:.0} operations a second, with one replica that runs 64",
        replicas.throughput(many).await
    );
    at(&mut heard, 0.99) <= BOUND
}

async fn on_sqlite(rounds: usize, many: usize) {
    let folder = std::env::temp_dir().join(format!("desist-bench-ops-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("operations.db");
    let replicas = Replicas::open(|| {
        let path = path.clone();
        async move { Sqlite::open(path).await.expect("a store") }
    })
    .await;
    let mut heard = Vec::new();
    for _ in 0..rounds {
        heard.push(replicas.cancelled().await);
    }
    println!(
        "SQLite: cancel in one process -> token in another, which looks every 25 ms: {}",
        said(&mut heard)
    );
    println!(
        "SQLite: started in one -> begins in another: {}",
        said(&mut replicas.started(rounds).await)
    );
    println!("SQLite: {:.0} operations a second", replicas.throughput(many).await);
    drop(replicas);
    let _ = std::fs::remove_dir_all(&folder);
}

fn at(all: &mut [f64], part: f64) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all[((all.len() - 1) as f64 * part).round() as usize]
}

fn said(all: &mut [f64]) -> String {
    format!("p50 {:.2} ms, p99 {:.2}, longest {:.2}", at(all, 0.5), at(all, 0.99), at(all, 1.0))
}

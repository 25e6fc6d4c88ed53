//! What such a process does.

use std::env;
use std::io::{self, BufRead};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use desist_ops::{CancelRequest, Operations, OperationsBuilder, Postgres, Sqlite, Store};
use desist_tokio::{Stop, signals};
use tokio::sync::mpsc;

use crate::MS;
use crate::kinds::{Effects, with_kinds};
use crate::log::Log;
use crate::process::{Place, READY, SETUP, Setup};

#[test]
fn the_worker() {
    let Ok(setup) = env::var(SETUP) else { return };
    let setup: Setup = serde_json::from_str(&setup).unwrap();
    let (tells, orders) = mpsc::unbounded_channel();
    // Whoever started it is gone: so is this.
    thread::spawn(move || {
        io::stdin().lock().lines().map_while(Result::ok).for_each(|line| drop(tells.send(line)));
        std::process::exit(99);
    });
    let code = tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        match &setup.place {
            Place::Postgres(url) => {
                let mut store = Postgres::builder(url.parse().unwrap());
                if !setup.push {
                    store = store.without_push();
                }
                run(&setup, store.build().unwrap(), orders).await
            }
            Place::Sqlite(path) => {
                let store = Sqlite::open(path).await.unwrap();
                run(&setup, store, orders).await
            }
        }
    });
    std::process::exit(code);
}

/// One like that, in whichever process.
pub(crate) fn builder<S: Effects>(setup: &Setup, store: S) -> OperationsBuilder<S> {
    let mut builder = Operations::builder(store)
        .label(&setup.label)
        .lease(MS(setup.lease))
        .look_every(MS(setup.look_every))
        .drain_for(MS(setup.drain_for));
    if !setup.fence {
        builder = builder.without_the_fence();
    }
    with_kinds(builder, setup)
}

/// It may be that the server is away just now.
pub(crate) async fn opened<S: Effects>(setup: &Setup, store: &S) -> Operations<S> {
    loop {
        match builder(setup, store.clone()).open().await {
            Ok(operations) => return operations,
            Err(error) if error.is_database() => tokio::time::sleep(MS(50)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn run<S: Effects>(setup: &Setup, store: S, orders: mpsc::UnboundedReceiver<String>) -> i32 {
    let stop: Stop = signals();
    println!("{READY}");
    let operations = tokio::select! {
        operations = opened(setup, &store) => operations,
        _ = stop.draining().cancelled() => return 0,
    };
    let log = Arc::new(Log::open(&setup.log));
    tokio::spawn(obeys(operations.clone(), log, orders));
    match operations.run(&stop).await {
        Ok(report) if report.stragglers().is_empty() => 0,
        Ok(report) => {
            println!("{}: {report}", setup.label);
            3
        }
        Err(error) => panic!("{error}"),
    }
}

/// Cancels what it is told to, and writes down what was answered.
async fn obeys<S: Store>(
    operations: Operations<S>,
    log: Arc<Log>,
    mut orders: mpsc::UnboundedReceiver<String>,
) {
    while let Some(order) = orders.recv().await {
        let Some(id) = order.strip_prefix("cancel ").and_then(|id| id.parse().ok()) else {
            continue;
        };
        let request = CancelRequest::new().actor("another process");
        let asks = tokio::time::timeout(Duration::from_secs(10), operations.cancel(id, request));
        if let Ok(Ok(answer)) = asks.await {
            log.write(&format!("answered:{}", crate::clients::answer(&answer)), id, 0);
        }
    }
}

//! A service that is deployed again under load.

use std::collections::BTreeSet;

use desist_ops::{Operations, Postgres, Store};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::base::{Base, OnPostgres, setup};
use crate::clients::Said;
use crate::judge::{judge, until_over};
use crate::kinds::Effects;
use crate::log::Folder;
use crate::process::{Process, Setup};
use crate::{MS, PATIENCE, until, worker};

/// Starts operations until it is over; which.
async fn starts<S: Store>(
    operations: Operations<S>,
    over: watch::Receiver<bool>,
    pause: u64,
) -> Said {
    let mut started = BTreeSet::new();
    let mut n = 0;
    while !*over.borrow() {
        n += 37;
        started.insert(operations.start("rolling", &n).await.unwrap().id().to_string());
        sleep(MS(pause)).await;
    }
    Said { started, ..Said::default() }
}

/// One process after the other is asked to stop, and there is another one before it has.
pub(crate) async fn deploys<B: Base, S: Effects>(
    base: &B,
    operations: Operations<S>,
    all: Setup,
    rounds: usize,
    pause: u64,
) {
    let (ends, over) = watch::channel(false);
    let starting = tokio::spawn(starts(operations, over, pause));
    let labelled = |n| Setup { label: format!("w{n}"), ..all.clone() };
    let mut processes: Vec<_> = (0..3).map(|n| Process::start(&labelled(n))).collect();
    // As long as it takes until something was in hand that went back.
    let back = "SELECT count(*) FROM desist_ops_event WHERE what = 'given_back'";
    let mut n = 0;
    while n < rounds || base.number(back).await == 0 {
        assert!(n < rounds + 100, "nothing was in hand");
        let mut next = Process::start(&labelled(n + 3));
        next.until_ready();
        let runs = || async {
            let asks = format!("SELECT count(*) FROM desist_ops WHERE ran_on = 'w{}'", n + 3);
            (base.number(&asks).await > 0).then_some(())
        };
        until("the next one runs some", runs).await;
        let asked = std::mem::replace(&mut processes[n % 3], next);
        let begin = std::time::Instant::now();
        let code = tokio::task::spawn_blocking(|| asked.term()).await.unwrap();
        assert_eq!(code, Some(0), "asked to stop");
        assert!(begin.elapsed() < MS(20_000), "it took {:?}", begin.elapsed());
        n += 1;
    }
    ends.send_replace(true);
    let said = starting.await.unwrap();
    until_over(base, PATIENCE).await;
    for process in processes {
        assert_eq!(process.term(), Some(0), "asked to stop");
    }
    let verdict = judge(base, &said, &all.log).await;
    println!("{n} restarts: {:?}", verdict.counts);
    assert!(verdict.wrong.is_empty(), "{}", verdict.said());
    assert_eq!(verdict.count("succeeded"), said.started.len(), "{:?}", verdict.counts);
    let burned = "SELECT count(*) FROM desist_ops WHERE attempt <> 1 OR attempts <> 1";
    assert_eq!(base.number(burned).await, 0, "an attempt was counted that was none");
    assert_eq!(verdict.count("events:taken_over"), 0);
    // Whoever has left has said so.
    assert_eq!(base.number("SELECT count(*) FROM desist_ops_node").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_nothing_and_costs_no_attempt() {
    let Some(base) = OnPostgres::shared() else { return };
    let folder = Folder::new();
    // On a loaded machine nobody is to be taken for dead.
    let setup = Setup { lease: 30_000, ..setup(base.place(), &folder, "who asks") };
    let operations: Operations<Postgres> = worker::opened(&setup, &base.store()).await;
    base.is_watched().await;
    deploys(&base, operations, setup, 6, 15).await;
}

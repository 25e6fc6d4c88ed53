//! Somebody holds operations in a transaction of its own for long: `Postgres::cancel_in`.

use desist_ops::{CancelAnswer, CancelRequest, Operations, Outcome, Postgres, State};
use tokio_postgres::{Client, NoTls};

use crate::base::{Base, OnPostgres, setup};
use crate::judge::{judge, until_over};
use crate::log::{self, Folder};
use crate::process::{Process, Setup};
use crate::{MS, PATIENCE, until, worker};

async fn client(base: &OnPostgres) -> Client {
    let (client, connection) = tokio_postgres::connect(&base.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_holds_costs_no_lease_and_keeps_nobody_else_waiting() {
    tokio::join!(no_lease_is_lost(), others_are_taken_over(), others_say_how_far_they_are());
}

/// Of a process whose runs end, and wait for who holds them.
async fn no_lease_is_lost() {
    const COUNT: usize = 40;
    let Some(base) = OnPostgres::shared() else { return };
    let folder = Folder::new();
    let all = Setup { lease: 8000, concurrency: 50, ..setup(base.place(), &folder, "who asks") };
    let operations: Operations<Postgres> = worker::opened(&all, &base.store()).await;
    base.is_watched().await;
    let process = Process::start(&Setup { label: "w".into(), ..all.clone() });
    let mut ids = Vec::new();
    for _ in 0..COUNT {
        ids.push(operations.start("late", &0_u64).await.unwrap().id());
    }
    let stand =
        || async { (log::first(&log::read(&all.log), "inside").len() == COUNT).then_some(()) };
    until("all stand at the gate", stand).await;
    let hold = operations.start("hold", &0_u64).await.unwrap().id();
    operations.until_running(hold).await.unwrap();

    let mut client = client(&base).await;
    let tx = client.transaction().await.unwrap();
    for id in &ids {
        let answer = Postgres::cancel_in(&tx, *id, &CancelRequest::new()).await.unwrap();
        assert_eq!(answer, CancelAnswer::Requested);
    }
    // All of them end, and nobody can write so.
    std::fs::write(&all.gate, "").unwrap();
    let ended =
        || async { (log::first(&log::read(&all.log), "ended").len() == COUNT).then_some(()) };
    until("all have ended", ended).await;
    // For longer than a lease.
    tokio::time::sleep(MS(all.lease * 5 / 4)).await;
    let nodes = base.number("SELECT count(*) FROM joined WHERE label = 'w'").await;
    assert_eq!(nodes, 1, "it has lost its lease, and all that it ran");
    // And it hears of what it runs.
    let asked = operations.cancel(hold, CancelRequest::new()).await.unwrap();
    assert_eq!(asked, CancelAnswer::Requested);
    let heard = || async {
        log::first(&log::read(&all.log), "stopped").contains_key(&hold.to_string()).then_some(())
    };
    until("it hears", heard).await;

    // What was not committed was not asked for.
    tx.rollback().await.unwrap();
    until_over(&base, PATIENCE).await;
    for id in ids {
        let done = operations.get(id).await.unwrap().unwrap();
        assert_eq!((done.state, done.attempt), (State::Finished(Outcome::Succeeded), 1));
    }
    assert_eq!(process.term(), Some(0));
    let verdict = judge(&base, &Default::default(), &all.log).await;
    assert!(verdict.wrong.is_empty(), "{}", verdict.said());
}

/// Though the first one to be taken over is held.
async fn others_are_taken_over() {
    let Some(base) = OnPostgres::shared() else { return };
    let folder = Folder::new();
    let all = Setup { lease: 20_000, concurrency: 1, ..setup(base.place(), &folder, "who asks") };
    let operations: Operations<Postgres> = worker::opened(&all, &base.store()).await;
    base.is_watched().await;
    let labelled = |label: &str| Setup { label: label.into(), ..all.clone() };
    let mut dead = Vec::new();
    for label in ["first", "second"] {
        // Each has room for one.
        let process = Process::start(&labelled(label));
        let id = operations.start("hold", &0_u64).await.unwrap().id();
        let running = operations.until_running(id).await.unwrap();
        assert_eq!(running.ran_on.as_deref(), Some(label));
        dead.push((process, id));
    }
    let mut client = client(&base).await;
    let tx = client.transaction().await.unwrap();
    let held = dead[0].1;
    let answer = Postgres::cancel_in(&tx, held, &CancelRequest::new()).await.unwrap();
    assert_eq!(answer, CancelAnswer::Requested);
    let mut ids = Vec::new();
    for (at, (process, id)) in dead.into_iter().enumerate() {
        process.kill();
        ids.push(id);
        // The one that is held is the first to be dead.
        let label = ["first", "second"][at];
        let over = format!("UPDATE desist_ops_node SET lease_until = {at} WHERE label = '{label}'");
        base.rows(&over).await;
    }
    let third = Process::start(&labelled("third"));
    let other = ids[1];
    let taken = || async {
        let operation = operations.get(other).await.unwrap().unwrap();
        (operation.ran_on.as_deref() == Some("third")).then_some(())
    };
    until("the other one is taken over", taken).await;

    tx.commit().await.unwrap();
    let done = operations.wait(held, PATIENCE).await.unwrap();
    assert_eq!(done.state, State::Finished(Outcome::Cancelled), "{done:?}");
    assert!(operations.cancel(other, CancelRequest::new()).await.unwrap().is_requested());
    until_over(&base, PATIENCE).await;
    assert_eq!(third.term(), Some(0));
    assert_eq!(base.number("SELECT count(*) FROM desist_ops_node").await, 0);
    let verdict = judge(&base, &Default::default(), &all.log).await;
    assert!(verdict.wrong.is_empty(), "{}", verdict.said());
}

/// Though the progress of one that is held cannot be written.
async fn others_say_how_far_they_are() {
    let Some(base) = OnPostgres::shared() else { return };
    let folder = Folder::new();
    let all = Setup { lease: 20_000, ..setup(base.place(), &folder, "who asks") };
    let operations: Operations<Postgres> = worker::opened(&all, &base.store()).await;
    base.is_watched().await;
    let process = Process::start(&all);
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(operations.start("steps", &0_u64).await.unwrap().id());
    }
    for id in &ids {
        operations.until_running(*id).await.unwrap();
    }
    // The last one, in the order in which rows are written.
    ids.sort_unstable();
    let (held, others) = ids.split_last().unwrap();
    let mut client = client(&base).await;
    let tx = client.transaction().await.unwrap();
    Postgres::cancel_in(&tx, *held, &CancelRequest::new()).await.unwrap();
    for id in others {
        let from = operations.get(*id).await.unwrap().unwrap().version;
        let goes_on = || async {
            let operation = operations.get(*id).await.unwrap().unwrap();
            (operation.version >= from + 2).then_some(())
        };
        until("the others are seen to go on", goes_on).await;
    }
    tx.commit().await.unwrap();
    for id in others {
        operations.cancel(*id, CancelRequest::new()).await.unwrap();
    }
    until_over(&base, PATIENCE).await;
    assert_eq!(process.term(), Some(0));
    let verdict = judge(&base, &Default::default(), &all.log).await;
    assert!(verdict.wrong.is_empty(), "{}", verdict.said());
}

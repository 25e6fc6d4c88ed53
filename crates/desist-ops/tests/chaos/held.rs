//! Somebody holds operations in a transaction of its own for long: `Postgres::cancel_in`.

use desist_ops::{CancelAnswer, CancelRequest, Operations, Outcome, Postgres, State};
use tokio_postgres::NoTls;

use crate::base::{Base, OnPostgres, setup};
use crate::judge::{judge, until_over};
use crate::log::{self, Folder};
use crate::process::{Process, Setup};
use crate::{MS, PATIENCE, until, worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_operations_in_a_transaction_costs_no_process_its_lease() {
    const COUNT: usize = 40;
    let Some(base) = OnPostgres::shared() else { return };
    let folder = Folder::new();
    let all = Setup { lease: 6000, concurrency: 50, ..setup(base.place(), &folder, "who asks") };
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

    let (mut client, connection) = tokio_postgres::connect(&base.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
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

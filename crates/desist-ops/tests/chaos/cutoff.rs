//! A process that is cut off, or stopped, in the middle of a transaction: what it holds there.

use desist_ops::{CancelRequest, Operations, Outcome, Postgres, State};

use crate::base::{Base, OnPostgres, setup};
use crate::cable::{Cable, Cut, Trap};
use crate::judge::{judge, until_over};
use crate::log::{self, Folder};
use crate::process::{Place, Process, Setup};
use crate::{MS, PATIENCE, until, worker};

/// One process behind a cable that is cut in the moment in which it would say this, another one
/// that takes over; how long that takes.
async fn cut_at(said: &'static str, kind: &str) {
    let Some(base) = OnPostgres::shared() else { return };
    let folder = Folder::new();
    let all = Setup { lease: 4000, ..setup(base.place(), &folder, "who asks") };
    let operations: Operations<Postgres> = worker::opened(&all, &base.store()).await;
    base.is_watched().await;
    let cable = Cable::to(base.port).await;
    let place = Place::Postgres(base.url_at(cable.port()));
    let first = Process::start(&Setup { place, label: "first".into(), ..all.clone() });
    let id = operations.start(kind, &0_u64).await.unwrap().id();
    operations.until_running(id).await.unwrap();
    cable.set_trap(Trap::Cut(said));
    // Its run comes to its end now, if it stands at the gate.
    std::fs::write(&all.gate, "").unwrap();
    cable.until_cut().await;

    let second = Process::start(&Setup { label: "second".into(), ..all.clone() });
    let begin = std::time::Instant::now();
    let asks = || async {
        let from = base.rows("SELECT detail FROM desist_ops_event WHERE what = 'taken_over'").await;
        (!from.is_empty()).then_some(())
    };
    until("somebody takes over what a process had that was cut off", asks).await;
    let taken = begin.elapsed();
    println!("cut off at {said}, {kind}: taken over after {taken:.1?}");
    // A lease, a look, and as long as a server lets a transaction stand.
    assert!(taken < MS(30_000), "it took {taken:?}, with a lease of {} ms", all.lease);

    // Whatever comes of the bytes that were on their way.
    cable.is(Cut::Whole);
    let _ = operations.cancel(id, CancelRequest::new()).await.unwrap();
    until_over(&base, PATIENCE).await;
    first.kill();
    assert_eq!(second.term(), Some(0));
    let verdict = judge(&base, &Default::default(), &folder.file("log")).await;
    assert!(verdict.wrong.is_empty(), "{}", verdict.said());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_cut_off_in_the_middle_of_a_step_keeps_nothing_for_ever() {
    tokio::join!(
        // It renews its lease: its row is locked.
        cut_at("cancel_at FROM desist_ops WHERE node = $1", "hold"),
        // It writes an end: the operation is locked.
        cut_at("in_spite_of_a_cancel", "late"),
        // The same, at the end of a commit.
        cut_at("in_spite_of_a_cancel", "gate"),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_late_is_not_taken_for_lost() {
    let Some(base) = OnPostgres::shared() else { return };
    let folder = Folder::new();
    let all = Setup { lease: 30_000, look_every: 200, ..setup(base.place(), &folder, "who asks") };
    let operations: Operations<Postgres> = worker::opened(&all, &base.store()).await;
    base.is_watched().await;
    let cable = Cable::to(base.port).await;
    let place = Place::Postgres(base.url_at(cable.port()));
    let process = Process::start(&Setup { place, label: "w".into(), ..all.clone() });
    cable.set_trap(Trap::Unanswered("in_spite_of_a_cancel"));
    let id = operations.start("quick", &0_u64).await.unwrap().id();
    cable.until_unanswered().await;
    // It is done, and what runs it does not know; and it looks at its lease, and sees it gone.
    let done = operations.wait(id, PATIENCE).await.unwrap();
    assert_eq!(done.state, State::Finished(Outcome::Succeeded));
    let lease = "SELECT lease_until FROM desist_ops_node";
    for _ in 0..3 {
        let before = base.number(lease).await;
        let renewed = || async { (base.number(lease).await > before).then_some(()) };
        until("it renews its lease", renewed).await;
    }
    cable.answers();
    let line = || async {
        let lines = log::read(&all.log);
        let ends = ["ended", "failed", "lost"];
        lines.into_iter().find(|line| ends.contains(&&*line.what)).map(|line| line.what)
    };
    assert_eq!(until("it has its answer", line).await, "ended");
    assert_eq!(process.term(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_whose_claim_is_never_answered_runs_soon_and_once() {
    let Some(base) = OnPostgres::shared() else { return };
    let folder = Folder::new();
    let all = Setup { lease: 30_000, ..setup(base.place(), &folder, "who asks") };
    let operations: Operations<Postgres> = worker::opened(&all, &base.store()).await;
    base.is_watched().await;
    let cable = Cable::to(base.port).await;
    let place = Place::Postgres(base.url_at(cable.port()));
    let process = Process::start(&Setup { place, label: "w".into(), ..all.clone() });
    cable.set_trap(Trap::Unanswered("claimed"));
    // Its process lives, so nobody takes over from it; and it has one attempt.
    let id = operations.start("frail", &0_u64).await.unwrap().id();
    cable.until_unanswered().await;
    let begin = std::time::Instant::now();
    let done = operations.wait(id, PATIENCE).await.unwrap();
    assert_eq!(done.state, State::Finished(Outcome::Succeeded), "{done:?}");
    assert_eq!(done.attempt, 1, "{done:?}");
    let took = begin.elapsed();
    println!("a claim that was never answered: done after {took:.1?}");
    // Longer than a step may take, and then it is looked for.
    assert!(took < MS(20_000), "it took {took:?}");
    assert_eq!(process.term(), Some(0));
    let verdict = judge(&base, &Default::default(), &all.log).await;
    assert!(verdict.wrong.is_empty(), "{}", verdict.said());
}

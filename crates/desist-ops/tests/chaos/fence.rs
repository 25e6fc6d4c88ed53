//! A process that goes on after its operations were given to others: what it writes is refused,
//! and without that there would be two of everything.

use desist_ops::{Operations, Outcome, Postgres, State};
use rustix::process::Signal;

use crate::base::{Base, OnPostgres, setup};
use crate::judge::{Verdict, judge};
use crate::log::{self, Folder};
use crate::process::{Process, Setup};
use crate::{PATIENCE, until, worker};

/// When the first one loses its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loses {
    /// It is stopped for longer than its lease. It finds that out as soon as it goes on.
    WhileStopped,
    /// The database says so, and it does not know: as if its clock were slow.
    Unknowing,
}

/// A first process in the middle of its run, a second one that takes over and ends it, and the
/// first one again.
async fn goes_on(kind: &str, loses: Loses, fence: bool) -> Option<Verdict> {
    let base = OnPostgres::shared()?;
    let folder = Folder::new();
    let all = Setup { fence, ..setup(base.place(), &folder, "who asks") };
    let operations: Operations<Postgres> = worker::opened(&all, &base.store()).await;
    base.is_watched().await;
    // One that does not look at its lease for long does not see it go.
    let (lease, look_every) =
        if loses == Loses::Unknowing { (300_000, 300_000) } else { (4000, 1000) };
    let first = Setup { label: "first".into(), lease, look_every, ..all.clone() };
    let first = Process::start(&first);
    let id = operations.start(kind, &0_u64).await.unwrap().id();
    let log = || async { log::first(&log::read(&all.log), "inside").get(&id.to_string()).copied() };
    until("it stands at the gate", log).await;
    first.signal(Signal::STOP);
    if loses == Loses::Unknowing {
        base.rows("UPDATE desist_ops_node SET lease_until = 0 WHERE label = 'first'").await;
    }
    let second = Process::start(&Setup { label: "second".into(), ..all.clone() });
    let done = operations.wait(id, PATIENCE).await.unwrap();
    assert_eq!(done.state, State::Finished(Outcome::Succeeded), "{done:?}");
    assert_eq!(done.ran_on.as_deref(), Some("second"));

    std::fs::write(&all.gate, "").unwrap();
    first.signal(Signal::CONT);
    // Its handler has come to an end, and what it wanted to write is written, or refused.
    until("it goes on", || async {
        let lines = log::read(&all.log);
        let of_first = |line: &&log::Line| line.by == first.id() && line.what != "stopped";
        lines
            .iter()
            .filter(of_first)
            .any(|line| line.what != "begun" && line.what != "inside")
            .then_some(())
    })
    .await;
    assert_eq!((first.term(), second.term()), (Some(0), Some(0)));
    let now = operations.get(id).await.unwrap().unwrap();
    println!("{kind}, {loses:?}, fence {fence}: {:?}, then {:?}", done.output, now.output);
    Some(judge(&base, &Default::default(), &all.log).await)
}

/// In both ways at once.
async fn both(kind: &str, fence: bool) -> Option<[Verdict; 2]> {
    let (stopped, unknowing) = tokio::join!(
        goes_on(kind, Loses::WhileStopped, fence),
        goes_on(kind, Loses::Unknowing, fence)
    );
    Some([stopped?, unknowing?])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_lost_its_operation_commits_and_changes_nothing() {
    let (commits, gives) = tokio::join!(both("gate", true), both("late", true));
    for verdict in commits.into_iter().chain(gives).flatten() {
        assert!(verdict.wrong.is_empty(), "{}", verdict.said());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_fence_there_would_be_two_effects_and_another_outcome_and_it_is_seen() {
    let commits = goes_on("gate", Loses::Unknowing, false);
    let (Some(commits), Some(gives)) = tokio::join!(commits, both("late", false)) else { return };
    let said = commits.said();
    assert!(said.contains(": 2 effects, and 1 is right"), "{said}");
    for verdict in gives {
        let said = verdict.said();
        assert!(said.contains("it changed after its end"), "{said}");
    }
}

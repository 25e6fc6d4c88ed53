//! Everybody cancels, again and again.

use std::collections::BTreeMap;
use std::time::Instant;

use desist_ops::{CancelAnswer, CancelRequest, OperationId, Operations, Outcome, State};
use desist_tokio::StopSource;
use tokio::task::JoinSet;

use crate::base::{Base, OnPostgres, OnSqlite, setup};
use crate::dice::Dice;
use crate::judge::{judge, until_over};
use crate::kinds::Effects;
use crate::log::Folder;
use crate::process::Setup;
use crate::{PATIENCE, worker};

const TASKS: u64 = 8;
/// What is kept of them.
const KEPT: usize = 100;

/// All of them ask about all of these, so often, each in another order.
async fn storm<S: Effects>(
    operations: &Operations<S>,
    ids: &[OperationId],
    times: usize,
) -> Vec<(OperationId, CancelAnswer)> {
    let mut asking = JoinSet::new();
    let begin = Instant::now();
    for task in 0..TASKS {
        let (operations, mut ids) = (operations.clone(), ids.repeat(times));
        Dice::new(task).shuffle(&mut ids);
        asking.spawn(async move {
            let mut answers = Vec::new();
            for id in ids {
                let request = CancelRequest::new().actor(format!("task {task}"));
                answers.push((id, operations.cancel(id, request).await.unwrap()));
            }
            answers
        });
    }
    let all: Vec<_> = asking.join_all().await.into_iter().flatten().collect();
    let rate = all.len() as f64 / begin.elapsed().as_secs_f64();
    println!("{} cancels of {} operations, {rate:.0} a second", all.len(), ids.len());
    all
}

/// Of each the first answer is another one than all the others.
fn each_has_one_first(answers: &[(OperationId, CancelAnswer)]) {
    let mut firsts = BTreeMap::new();
    let mut names = BTreeMap::<_, Vec<_>>::new();
    for (id, answer) in answers {
        let first = firsts.entry(*id).or_insert(0);
        match answer {
            CancelAnswer::Requested | CancelAnswer::CancelledBeforeStart => *first += 1,
            CancelAnswer::AlreadyRequested(request) => {
                names.entry(*id).or_default().push(request.by().map(str::to_owned));
            }
            CancelAnswer::AlreadyFinished(Outcome::Cancelled) => {}
            other => panic!("{id}: {other}"),
        }
    }
    assert!(firsts.values().all(|first| *first == 1), "{firsts:?}");
    for (id, mut names) in names {
        names.dedup();
        assert_eq!(names.len(), 1, "{id}: the first one is one: {names:?}");
    }
}

async fn storms<B: Base, S: Effects>(
    base: &B,
    operations: Operations<S>,
    setup: &Setup,
    times: usize,
) {
    let stop = StopSource::new();
    let runs = tokio::spawn(operations.run(&stop.stop()));
    // One that does not stop before it may.
    let one = operations.start("late", &0_u64).await.unwrap().id();
    let many = operations.start("hold", &0_u64).await.unwrap().id();
    let mut many = vec![many];
    for _ in 1..200 {
        many.push(operations.start("hold", &0_u64).await.unwrap().id());
    }
    operations.until_running(one).await.unwrap();
    let answers = storm(&operations, &[one], times * 10).await;
    each_has_one_first(&answers);
    assert!(answers.iter().all(|(_, answer)| answer.is_requested()));
    let events = operations.events(one, 0).await.unwrap();
    let kept = events.iter().filter(|event| event.what == "cancel_requested").count();
    assert!(kept <= KEPT && events.len() < KEPT + 10, "{kept} of {} events", events.len());

    let answers = storm(&operations, &many, times / 5).await;
    each_has_one_first(&answers);

    std::fs::write(&setup.gate, "").unwrap();
    until_over(base, PATIENCE).await;
    let answer = operations.cancel(one, CancelRequest::new()).await.unwrap();
    assert_eq!(answer, CancelAnswer::AlreadyFinished(Outcome::Succeeded));
    assert!(operations.get(one).await.unwrap().unwrap().succeeded_in_spite_of_a_cancel());
    for id in many {
        let done = operations.get(id).await.unwrap().unwrap();
        assert_eq!(done.state, State::Finished(Outcome::Cancelled), "{done:?}");
    }
    stop.cancel();
    assert!(runs.await.unwrap().unwrap().is_clean());
    let verdict = judge(base, &Default::default(), &setup.log).await;
    assert!(verdict.wrong.is_empty(), "{}", verdict.said());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_of_requests_each_is_answered_and_none_is_lost_on_postgres() {
    let Some(base) = OnPostgres::shared() else { return };
    let folder = Folder::new();
    let setup = setup(base.place(), &folder, "here");
    let setup = Setup { lease: 60_000, concurrency: 120, ..setup };
    let operations = worker::opened(&setup, &base.store()).await;
    base.is_watched().await;
    storms(&base, operations, &setup, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_of_requests_each_is_answered_and_none_is_lost_on_sqlite() {
    let folder = Folder::new();
    let base = OnSqlite { path: folder.file("operations.db") };
    let setup = setup(base.place(), &folder, "here");
    let setup = Setup { lease: 60_000, concurrency: 120, ..setup };
    let operations = worker::opened(&setup, &base.store().await).await;
    base.is_watched().await;
    storms(&base, operations, &setup, 5).await;
}

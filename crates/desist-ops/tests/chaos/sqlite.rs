//! Processes of one machine, on one file.

use desist_ops::{CancelAnswer, CancelRequest};
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::base::{Base, OnSqlite, setup};
use crate::chaos::leases_lost;
use crate::clients::Clients;
use crate::dice::{self, Dice};
use crate::judge::{judge, until_over};
use crate::log::{self, Folder};
use crate::process::{Process, Setup};
use crate::{MS, PATIENCE, rolling, until, worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_one_process_is_heard_in_another_one_of_the_same_file_at_once() {
    let folder = Folder::new();
    let base = OnSqlite { path: folder.file("operations.db") };
    let setup = setup(base.place(), &folder, "who asks");
    let setup = Setup { lease: 60_000, look_every: 20_000, concurrency: 40, ..setup };
    let operations = worker::opened(&setup, &base.store().await).await;
    base.is_watched().await;
    let processes: Vec<_> = (0..2).map(|_| Process::start(&setup)).collect();
    let mut asked = Vec::new();
    for _ in 0..40 {
        asked.push((operations.start("hold", &0_u64).await.unwrap().id(), log::now()));
    }
    // One that is taken, and not begun, is told before it begins: that is no way to measure.
    let all_begun = || async {
        let begun = log::first(&log::read(&setup.log), "begun");
        asked.iter().all(|(id, _)| begun.contains_key(&id.to_string())).then_some(())
    };
    until("all have begun", all_begun).await;
    for (id, at) in &mut asked {
        *at = log::now();
        let answer = operations.cancel(*id, CancelRequest::new()).await.unwrap();
        assert_eq!(answer, CancelAnswer::Requested);
    }
    until_over(&base, PATIENCE).await;
    processes.into_iter().for_each(|process| assert_eq!(process.term(), Some(0)));
    let stopped = log::first(&log::read(&setup.log), "stopped");
    let took = asked.iter().map(|(id, at)| stopped[&id.to_string()].saturating_sub(*at));
    let mut took: Vec<_> = took.collect();
    took.sort_unstable();
    println!("40 cancels on SQLite: p50 {:.1?}, the longest {:.1?}", took[20], took[39]);
    // A look every 50 ms; without it a lease's third, 20 s.
    assert!(took[39] < MS(5000), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_file_nothing_is_lost_or_done_twice_though_processes_are_killed_and_stopped() {
    let (seed, seconds) = (dice::seed(), dice::seconds(10) / 2);
    let mut dice = Dice::new(seed);
    let folder = Folder::new();
    let base = OnSqlite { path: folder.file("operations.db") };
    let setup = setup(base.place(), &folder, "who asks");
    let operations = worker::opened(&setup, &base.store().await).await;
    base.is_watched().await;
    let (ends, over) = watch::channel(false);
    let clients = Clients::new(over);
    let mut asking = JoinSet::new();
    asking.spawn(clients.clone().starts(operations.clone(), dice.another(), 10));
    asking.spawn(clients.clone().cancels(operations.clone(), dice.another(), 30));

    let mut labels = 0;
    let mut process = || {
        labels += 1;
        Process::start(&Setup { label: format!("w{labels}"), ..setup.clone() })
    };
    let mut processes = vec![process(), process(), process()];
    let (begin, mut killed, mut stopped) = (Instant::now(), 0, 0);
    while begin.elapsed().as_secs() < seconds || killed < 3 || !enough(&base).await {
        assert!(begin.elapsed().as_secs() < seconds + 120, "it is never enough");
        sleep(MS(200 + dice.below(500))).await;
        let place = dice.below(3) as usize;
        for process in &mut processes {
            if let Some(id) = clients.some_id(&mut dice) {
                process.cancels(id);
            }
        }
        if dice.below(5) < 4 && killed <= 4 * stopped + 3 {
            std::mem::replace(&mut processes[place], process()).kill();
            killed += 1;
        } else {
            // Longer than its lease. If it stands in a write, all others wait for it.
            processes[place].signal(Signal::STOP);
            sleep(MS(setup.lease + 800)).await;
            processes[place].signal(Signal::CONT);
            stopped += 1;
        }
    }
    ends.send_replace(true);
    asking.join_all().await;
    until_over(&base, MS(30_000)).await;
    let said = clients.all_said();
    processes.into_iter().for_each(|process| assert_eq!(process.term(), Some(0)));
    let verdict = judge(&base, &said, &setup.log).await;
    let again = leases_lost(&base).await;
    println!(
        "seed {seed}, on SQLite: {killed} killed, {stopped} stopped, {again} leases lost; {}\n  \
         found: {:?}",
        said.summary(),
        verdict.counts,
    );
    assert!(verdict.wrong.is_empty(), "seed {seed}: {}", verdict.said());
}

/// Chaos that changes nothing shows nothing.
async fn enough(base: &OnSqlite) -> bool {
    let taken = "SELECT count(*) FROM desist_ops_event WHERE what = 'taken_over'";
    base.number(taken).await > 0 && leases_lost(base).await > 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_file_a_rolling_restart_loses_nothing_and_costs_no_attempt() {
    let folder = Folder::new();
    let base = OnSqlite { path: folder.file("operations.db") };
    let setup = Setup { lease: 30_000, ..setup(base.place(), &folder, "who asks") };
    let operations = worker::opened(&setup, &base.store().await).await;
    base.is_watched().await;
    rolling::deploys(&base, operations, setup, 5, 20).await;
}

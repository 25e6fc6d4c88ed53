//! Everything at once.

use std::collections::BTreeSet;

use desist_ops::Postgres;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::base::{Base, OnPostgres, setup};
use crate::clients::Clients;
use crate::deeds::{ALL, Deed, Theatre};
use crate::dice::{self, Dice};
use crate::judge::{Verdict, judge, until_over};
use crate::log::{self, Folder};
use crate::process::Setup;
use crate::server::Server;
use crate::{MS, worker};

/// At the end, nothing moves for so long at most: everything is whole, and a lease is 2 s.
const STILL: std::time::Duration = std::time::Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_to_processes_cables_and_the_server_all_that_was_promised_holds() {
    let Some(server) = Server::start(&[("max_connections", "400")]) else { return };
    let (seed, seconds) = (dice::seed(), dice::seconds(10));
    println!("seed {seed}, for {seconds} s");
    let begin = Instant::now();
    let base = OnPostgres::new(&server);
    let folder = Folder::new();
    let mut dice = Dice::new(seed);
    let setup = setup(base.place(), &folder, "who asks");
    let direct = worker::opened(&setup, &base.store()).await;
    base.is_watched().await;

    let mut theatre = Theatre::new(server, base.clone(), setup.clone(), 4).await;
    let cut_off = Postgres::open(&base.url_at(theatre.asks.port())).unwrap();
    let cut_off = worker::builder(&setup, cut_off).open().await.unwrap();
    let (ends, over) = watch::channel(false);
    let clients = Clients::new(over);
    let mut asking = JoinSet::new();
    for operations in [&direct, &direct, &cut_off] {
        asking.spawn(clients.clone().starts(operations.clone(), dice.another(), 4));
        asking.spawn(clients.clone().cancels(operations.clone(), dice.another(), 30));
    }

    let (mut deeds, mut round) = (Vec::new(), 0);
    // On a slow machine it takes longer until it was enough.
    while begin.elapsed().as_secs() < seconds || !enough(&theatre, &clients, &setup).await {
        assert!(begin.elapsed().as_secs() < seconds + 120, "it is never enough");
        sleep(MS(100 + dice.below(450))).await;
        if deeds.is_empty() {
            // Each of them, and then each of them again.
            deeds = ALL.to_vec();
            // While the server is away nothing else can happen.
            if round % 2 == 1 {
                deeds.retain(|deed| *deed != Deed::ServerKilled);
            }
            round += 1;
            dice.shuffle(&mut deeds);
        }
        let deed = deeds.pop().unwrap();
        if !theatre.does(deed, &mut dice).await {
            deeds.insert(0, deed);
        }
        (0..4).for_each(|_| theatre.cancels(&clients, &mut dice));
        if dice.below(6) == 0 {
            theatre.cut_who_asks(&mut dice);
        }
    }
    ends.send_replace(true);
    theatre.heals().await;
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    let chaos = begin.elapsed();
    until_over(&base, STILL).await;
    let over = begin.elapsed();
    let said = clients.all_said();
    let (labels, counts) = (theatre.labels(), theatre.counts.clone());
    let (unwell, lost) = (theatre.ends().await, leases_lost(&base).await);
    let verdict = judge(&base, &said, &folder.file("log")).await;
    println!(
        "seed {seed}: {chaos:.1?} of chaos, {:.1?} until nothing was left, {labels} processes, \
         {unwell} of them ended late, {lost} leases lost\n  done: {counts:?}\n  {}\n  found: {:?}",
        over - chaos,
        said.summary(),
        verdict.counts,
    );
    assert!(verdict.wrong.is_empty(), "seed {seed}: {}", verdict.said());
    had_effect(&verdict);
}

/// Chaos that changes nothing shows nothing.
async fn enough(theatre: &Theatre, clients: &Clients, setup: &Setup) -> bool {
    let done = ALL.iter().all(|deed| theatre.counts.contains_key(deed));
    let taken = "SELECT count(*) FROM desist_ops_event WHERE what = 'taken_over'";
    let base = &theatre.base;
    done && clients.said().started.len() > 300
        && log::read(&setup.log).iter().any(|line| line.what == "lost")
        && base.number(taken).await > 0
        && leases_lost(base).await > 0
}

/// One process, and another node.
pub(crate) async fn leases_lost<B: Base>(base: &B) -> usize {
    let mut labels = BTreeSet::new();
    let joined = base.rows("SELECT label FROM joined").await;
    joined.iter().filter(|row| !labels.insert(row[0].clone())).count()
}

fn had_effect(verdict: &Verdict) {
    for what in [
        "log:stopped",
        "succeeded",
        "failed",
        "cancelled",
        "answered:cancelled_before_start",
        "answered:requested",
        "answered:already_finished",
    ] {
        assert!(verdict.count(what) > 0, "nothing of this has happened: {what}");
    }
}

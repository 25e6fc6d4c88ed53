//! Everything at once.

use std::collections::BTreeSet;

use desist_ops::Postgres;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::base::{Base, OnPostgres, setup};
use crate::clients::{Clients, Said};
use crate::deeds::{ALL, Deed, Theatre};
use crate::dice::{self, Dice};
use crate::judge::{Verdict, judge, until_over};
use crate::log::Folder;
use crate::server::Server;
use crate::{MS, worker};

/// At the end, nothing moves for so long at most: everything is whole, and a lease is 2 s.
const STILL: std::time::Duration = std::time::Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_to_processes_cables_and_the_server_all_that_was_promised_holds() {
    let Some(server) = Server::start(&[("max_connections", "400")]) else { return };
    let (seed, seconds) = (dice::seed(), dice::seconds(13));
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
    while begin.elapsed().as_secs() < seconds {
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
        if let Some(deed) = deeds.pop() {
            theatre.does(deed, &mut dice).await;
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
    let unwell = theatre.ends().await;
    let verdict = judge(&base, &said, &folder.file("log")).await;
    println!(
        "seed {seed}: {chaos:.1?} of chaos, {:.1?} until nothing was left, {labels} processes, \
         {unwell} of them ended late\n  done: {counts:?}\n  {}\n  found: {:?}",
        over - chaos,
        said.summary(),
        verdict.counts,
    );
    assert!(verdict.wrong.is_empty(), "seed {seed}: {}", verdict.said());
    had_effect(&base, &counts, &said, &verdict).await;
}

/// Chaos that changes nothing shows nothing.
async fn had_effect(
    base: &OnPostgres,
    counts: &std::collections::BTreeMap<Deed, usize>,
    said: &Said,
    verdict: &Verdict,
) {
    for deed in ALL {
        assert!(counts.contains_key(&deed), "{deed:?} was not done");
    }
    // One process, and another node: its lease was over.
    let mut labels = BTreeSet::new();
    let joined = base.rows("SELECT label, node FROM joined").await;
    let again = joined.iter().filter(|row| !labels.insert(row[0].clone())).count();
    println!("  leases lost: {again}");
    assert!(again > 0, "nobody has lost its lease");
    assert!(said.started.len() > 300, "{}", said.summary());
    for what in [
        "events:taken_over",
        "log:lost",
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

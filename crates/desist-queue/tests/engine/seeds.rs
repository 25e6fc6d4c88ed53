//! Whatever happens, in whatever order: scripts made from seeds, on virtual time.
//!
//! What a script does follows from its seed. The jitter of pauses does not, nor the order in
//! which a consumer looks at what it has in hand: a seed that fails may have to be run often.

use std::collections::BTreeMap;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use desist_queue::testing::MemoryBroker;
use desist_queue::{Aside, Backoff, BoxError, Consumer, Ledger, Message, MessageId, Recent};
use desist_queue::{Report, RetryAfter};
use desist_tokio::{Stop, StopSource};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::{millis, numbers, secs, stop_source};

const SEEDS: u64 = 2000;

/// As it was published by Sebastiano Vigna.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn time(&mut self, most: Duration) -> Duration {
        millis(self.below(most.as_millis() as u64 + 1))
    }
}

/// What is known of a message.
#[derive(Debug, Default)]
struct Known {
    tries: u64,
    run: usize,
    has_succeeded: bool,
    /// More than one at once.
    overlaps: usize,
}

#[derive(Clone)]
struct World {
    seed: u64,
    patience: Duration,
    broker: MemoryBroker,
    known: Arc<Mutex<BTreeMap<MessageId, Known>>>,
    /// Where work would only fail.
    wrong: Arc<Mutex<Vec<String>>>,
}

/// The work on one runs.
struct Runs(World, MessageId);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.known.lock().unwrap().get_mut(&self.1).unwrap().run -= 1;
    }
}

impl World {
    fn publish(&self) {
        let id = self.broker.publish("orders.new", "two boats");
        self.known.lock().unwrap().entry(id).or_default();
    }

    fn begins(&self, id: &MessageId) -> (Runs, u64) {
        let mut all = self.known.lock().unwrap();
        let known = all.get_mut(id).unwrap();
        (known.tries, known.run) = (known.tries + 1, known.run + 1);
        known.overlaps += usize::from(known.run > 1);
        (Runs(self.clone(), id.clone()), known.tries)
    }

    fn succeeds(&self, id: &MessageId) {
        self.known.lock().unwrap().get_mut(id).unwrap().has_succeeded = true;
        self.check();
    }

    /// What holds at every moment.
    fn check(&self) {
        let known = self.known.lock().unwrap();
        for message in self.broker.done() {
            if !known[message.id()].has_succeeded {
                let wrong = format!("{} is acknowledged, and not done", message.id());
                self.wrong.lock().unwrap().push(wrong);
            }
        }
    }

    async fn work(self, stop: Stop, message: Message) -> Result<(), BoxError> {
        let id = message.id().clone();
        let (_runs, tries) = self.begins(&id);
        let number: u64 = id.as_str().trim_start_matches("memory:").parse()?;
        let mut random = Random(self.seed ^ (number << 32) ^ (tries << 48));
        let time = random.time(self.patience * 2);
        if random.below(3) > 0 {
            desist_tokio::sleep(time, &stop).await?;
        } else {
            sleep(time).await;
        }
        match random.below(20) {
            0..4 => return Err("no ink".into()),
            4 => panic!("no paper"),
            5 => return Err(Aside::new("no boat").into()),
            6..8 => return Err(RetryAfter::new(random.time(secs(5)), "closed").into()),
            8 => pending().await,
            9 => {
                stop.token().await;
                sleep(random.time(secs(2))).await;
                stop.check()?;
            }
            _ => {}
        }
        self.succeeds(&id);
        Ok(())
    }
}

/// Of several consumers.
#[derive(Clone)]
struct Shared(Arc<Recent>);

impl Ledger for Shared {
    async fn is_done(&self, id: &MessageId) -> Result<bool, BoxError> {
        Ledger::is_done(&*self.0, id).await
    }

    async fn note(&self, id: &MessageId) -> Result<(), BoxError> {
        self.0.note(id).await
    }
}

/// What it did; nothing is known of a run that was dropped.
async fn consume(world: World, mut random: Random, ledger: Option<Shared>) -> Option<Report> {
    let (drain_for, grace) = (random.time(secs(5)), random.time(secs(3)));
    let mut consumer = Consumer::new(world.broker.clone())
        .concurrency(random.below(5) as usize)
        .max_deliveries(random.below(5))
        .backoff(Backoff::new(random.time(secs(2))).longest(secs(4)))
        .drain_for(drain_for)
        .grace(grace);
    if random.below(3) == 0 {
        consumer = consumer.work_timeout(random.time(secs(20)));
    }
    if let Some(ledger) = ledger {
        consumer = consumer.ledger(ledger);
    }
    sleep(random.time(secs(20))).await;
    let (lives, ends) = (random.time(secs(40)), random.below(8));
    let source = stop_source();
    let working = world.clone();
    let run =
        consumer.run(&source.stop(), move |stop, message| working.clone().work(stop, message));
    if ends == 0 {
        let ended = tokio::time::timeout(lives, run).await;
        assert!(ended.is_err(), "it ends, and nobody asked it to: {ended:?}");
        return None;
    }
    let ended = async { (run.await, Instant::now()) };
    let ((report, end), asked) = tokio::join!(ended, asks(&source, &mut random, lives, ends));
    let bound = if ends < 6 { drain_for + grace } else { grace } + secs(1) + millis(10);
    assert!(end - asked <= bound, "it took {:?} to stop, and not {bound:?}", end - asked);
    let report = report.unwrap();
    // Each delivery is in it once.
    let [failed, back, again] = [report.failed(), report.given_back(), report.again()];
    let settled = report.done() + report.known() + report.set_aside() + failed + back + again;
    let told = settled + report.unsettled() + report.left().len() as u64;
    assert_eq!(report.delivered(), told, "{}", numbers(&report));
    assert!(report.left().is_empty(), "{}", numbers(&report));
    Some(report)
}

/// Asks it to stop, and says when.
async fn asks(source: &StopSource, random: &mut Random, lives: Duration, ends: u64) -> Instant {
    sleep(lives).await;
    let asked = Instant::now();
    match ends {
        6.. => {
            source.cancel();
        }
        5 => {
            source.drain();
            sleep(random.time(secs(5))).await;
            source.cancel();
        }
        _ => {
            source.drain();
        }
    }
    asked
}

async fn script(seed: u64) {
    let mut random = Random(seed);
    let patience = secs(2) + random.time(secs(10));
    let world = World {
        seed,
        patience,
        broker: MemoryBroker::with_patience(patience),
        known: Arc::default(),
        wrong: Arc::default(),
    };
    for _ in 0..random.below(8) {
        world.publish();
    }
    let ledger = (random.below(4) == 0).then(|| Shared(Arc::new(Recent::new(100))));
    let mut consumers = JoinSet::new();
    for _ in 0..=random.below(3) {
        consumers.spawn(consume(world.clone(), Random(random.next()), ledger.clone()));
    }

    // Messages come, and the broker goes.
    let mut may_overlap = false;
    for _ in 0..random.below(6) {
        sleep(random.time(secs(15))).await;
        world.publish();
        if random.below(2) == 0 {
            let long = if random.below(2) == 0 { patience * 3 } else { patience / 3 };
            let away = random.time(long);
            // Of three words within its patience it has to hear one.
            may_overlap |= away + millis(20) >= patience / 3;
            world.broker.set_down(true);
            sleep(away).await;
            world.broker.set_down(false);
        }
    }
    let mut reports = Vec::new();
    while let Some(report) = consumers.join_next().await {
        reports.push(report.unwrap_or_else(|error| resume_unwind(error.into_panic())));
    }
    if ledger.is_none() && !may_overlap && reports.iter().all(Option::is_some) {
        let sum = |of: fn(&Report) -> u64| reports.iter().flatten().map(of).sum::<u64>();
        assert_eq!(sum(Report::done), world.broker.done().len() as u64);
        assert_eq!(sum(Report::set_aside), world.broker.aside().len() as u64);
    }
    world.is_whole(may_overlap);

    // What is still there comes to whoever can work on it.
    let (source, easy) = (stop_source(), world.clone());
    let consumer = Consumer::new(world.broker.clone()).max_deliveries(u64::MAX);
    let succeeds = move |_stop: Stop, message: Message| {
        let (_runs, _) = easy.begins(message.id());
        easy.succeeds(message.id());
        async {}
    };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), succeeds), async {
        let all = tokio::time::timeout(secs(60), world.broker.until_empty()).await;
        assert!(all.is_ok(), "{} messages do not come back", world.broker.len());
        source.drain();
    });
    assert!(report.unwrap().is_clean());
    world.is_whole(may_overlap);
}

impl World {
    /// Every message is in one place.
    fn is_whole(&self, may_overlap: bool) {
        self.check();
        assert_eq!(*self.wrong.lock().unwrap(), Vec::<String>::new());
        let known = self.known.lock().unwrap();
        let (done, aside) = (self.broker.done(), self.broker.aside());
        let mut places: Vec<_> =
            done.iter().chain(aside.iter().map(|(message, _)| message)).collect();
        places.sort_by(|one, other| one.id().cmp(other.id()));
        let ended = places.len();
        places.dedup_by(|one, other| one.id() == other.id());
        assert_eq!(ended, places.len(), "one is in two places");
        assert_eq!(ended + self.broker.len(), known.len(), "one is nowhere");
        for (id, known) in &*known {
            assert_eq!(known.run, 0, "{id} is still worked on");
            assert!(may_overlap || known.overlaps == 0, "{id} is worked on twice at once");
        }
    }
}

#[test]
fn every_message_is_in_one_place_whatever_happens() {
    for seed in 0..SEEDS {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let run = AssertUnwindSafe(|| runtime.block_on(script(seed)));
        if let Err(panic) = catch_unwind(run) {
            #[expect(clippy::print_stderr, reason = "whoever looks for it needs it")]
            {
                eprintln!("with the seed {seed}");
            }
            resume_unwind(panic);
        }
    }
}

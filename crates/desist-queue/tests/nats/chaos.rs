//! Processes that are killed, and a server that is, with ten thousand messages on their way.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use async_nats::jetstream;
use desist_queue::Nats;
use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::effects::{self, Done, now};
use crate::server::{Folder, Server};
use crate::worker::{ACK_WAIT, Worker, is_poison};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Publishes so many, some at a time.
async fn publish(nats: &Nats, count: u64) {
    let mut publishing = JoinSet::new();
    for part in 0..16 {
        let nats = nats.clone();
        publishing.spawn(async move {
            for number in (part..count).step_by(16) {
                let id = format!("order-{number}");
                nats.publish("orders.new", id, number.to_string()).await.expect("it is there");
            }
        });
    }
    publishing.join_all().await;
}

/// What is not acknowledged; none if the server cannot be asked, or nobody has come yet.
async fn left(nats: &Nats) -> Option<u64> {
    let context = jetstream::new(nats.client());
    let stream = context.get_stream_no_info("ORDERS").await.ok()?;
    let info = stream.consumer_info("billing").await.ok()?;
    Some(info.num_pending + info.num_ack_pending as u64)
}

/// The same every time, so that a run can be seen again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// What was done to processes, and when.
#[derive(Default)]
struct Deeds {
    killed: BTreeMap<u32, Duration>,
    /// From its end until it was ready again.
    away: Vec<(Duration, Duration)>,
    asked: u32,
}

impl Deeds {
    /// Why one that was finished was worked on again, in one word.
    fn explain(&self, first: &Done, second: &Done) -> &'static str {
        // What it had not written when it was killed it has forgotten, and what could not be
        // said to it was said when it was back. It takes seconds to do it all again.
        let forgot = |(from, until): &(Duration, Duration)| {
            first.ended < *until && (*from..*until + MS(20_000)).contains(&second.begun)
        };
        match self.killed.get(&first.by) {
            _ if self.away.iter().any(forgot) => "because the server was away",
            // After the work, and before the server had answered.
            Some(killed) if first.ended <= *killed && *killed < first.ended + MS(1500) => {
                "because the first was killed"
            }
            // It was not heard of for the server's patience, and another process began.
            _ if second.begun < first.ended && second.begun > first.begun + ACK_WAIT => {
                "because the first was not heard of"
            }
            _ => "unexplained",
        }
    }
}

fn end(mut worker: Worker, deeds: &mut Deeds, signal: Signal) -> Option<i32> {
    if signal != Signal::KILL {
        worker.until_ready();
    }
    let id = worker.id();
    worker.signal(signal);
    let code = worker.wait().code();
    if signal == Signal::KILL {
        deeds.killed.insert(id, now());
    } else {
        deeds.asked += 1;
    }
    code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_messages_are_worked_on_though_consumers_and_the_server_die() {
    const COUNT: u64 = 10_000;
    let Some(mut server) = Server::start() else { return };
    let folder = Folder::new();
    let effects = folder.path().join("effects");
    let (url, nats) = (server.url(), server.connect().await);
    nats.ensure_stream("ORDERS", ["orders.>"]).await.expect("it is new");
    publish(&nats, COUNT).await;

    let mut workers: Vec<Worker> = (0..3).map(|_| Worker::start(&url, &effects, false)).collect();
    let (mut deeds, mut dice) = (Deeds::default(), Dice(20_261_129));
    let begun = now();
    let mut next_server =
        [(MS(2500), Signal::TERM), (MS(5000), Signal::KILL)].into_iter().peekable();
    let mut rounds = 0;
    loop {
        tokio::time::sleep(MS(100 + dice.below(250))).await;
        let place = dice.below(3) as usize;
        let worker = std::mem::replace(&mut workers[place], Worker::start(&url, &effects, false));
        let signal = if dice.below(3) == 0 { Signal::TERM } else { Signal::KILL };
        let from = now();
        let code = end(worker, &mut deeds, signal);
        if signal == Signal::TERM {
            let was_away = deeds.away.last().is_some_and(|(_, until)| *until + MS(1000) > from);
            assert!(code == Some(0) || (was_away && code == Some(3)), "asked to stop: {code:?}");
            assert!(now() - from < MS(8000), "it took {:?}", now() - from);
        }
        if let Some((_, signal)) = next_server.next_if(|(at, _)| now() - begun > *at) {
            let from = now();
            server.stop(signal);
            tokio::time::sleep(MS(200)).await;
            server.start_again();
            deeds.away.push((from, now()));
        }
        rounds += 1;
        if next_server.peek().is_none() && left(&nats).await == Some(0) {
            break;
        }
        assert!(
            now() - begun < MS(150_000),
            "{:?} are left after {rounds} rounds",
            left(&nats).await
        );
    }
    for worker in workers {
        assert_eq!(end(worker, &mut deeds, Signal::TERM), Some(0));
    }
    let done = effects::read(&effects);
    let missing: Vec<u64> =
        (0..COUNT).filter(|n| !is_poison(*n) && !done.contains_key(n)).collect();
    assert_eq!(missing, [0; 0], "acknowledged, and not worked on");
    let poison = (0..COUNT).filter(|number| is_poison(*number)).count() as u64;
    assert_eq!(aside(&nats).await, poison, "set aside");

    let mut why = BTreeMap::<&str, Vec<String>>::new();
    for (number, done) in &done {
        for pair in done.windows(2) {
            let explained = deeds.explain(&pair[0], &pair[1]);
            let killed = deeds.killed.get(&pair[0].by);
            let said = format!("{number}: {pair:?}, the first killed {killed:?}");
            why.entry(explained).or_default().push(said);
        }
    }
    let counts: Vec<String> =
        why.iter().map(|(why, each)| format!("{} {why}", each.len())).collect();
    println!(
        "{COUNT} messages in {:.1?}: {} processes killed, {} asked to stop, the server away {} \
         times; worked on again: {}",
        now() - begun,
        deeds.killed.len(),
        deeds.asked,
        deeds.away.len(),
        counts.join(", "),
    );
    assert!(deeds.killed.len() > 5 && deeds.asked > 3, "not enough was done to them");
    assert_eq!(why.get("unexplained"), None, "the server was away {:?}", deeds.away);
}

async fn aside(nats: &Nats) -> u64 {
    let context = jetstream::new(nats.client());
    let stream = context.get_stream("ORDERS_ASIDE").await.expect("it was made");
    stream.cached_info().state.messages
}

/// The same, done by workers that say too early that they are done: it must be seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_before_the_work_is_seen() {
    const COUNT: u64 = 500;
    let Some(server) = Server::start() else { return };
    let folder = Folder::new();
    let effects = folder.path().join("effects");
    let (url, nats) = (server.url(), server.connect().await);
    nats.ensure_stream("ORDERS", ["orders.>"]).await.expect("it is new");
    publish(&nats, COUNT).await;
    let mut deeds = Deeds::default();
    // Each has time to begin some of them.
    let mut seen = 0;
    for _ in 0..5 {
        let worker = Worker::start(&url, &effects, true);
        while lines(&effects) == seen {
            thread::sleep(MS(1));
        }
        seen = lines(&effects);
        end(worker, &mut deeds, Signal::KILL);
    }
    let worker = Worker::start(&url, &effects, true);
    while left(&nats).await != Some(0) {
        tokio::time::sleep(MS(20)).await;
    }
    end(worker, &mut deeds, Signal::KILL);
    let done = effects::read(&effects);
    let missing = (0..COUNT).filter(|number| !is_poison(*number) && !done.contains_key(number));
    assert!(missing.count() > 0, "work that was never done was not seen");
}

fn lines(path: &Path) -> usize {
    std::fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

//! Rows 7b and 7e: from the cancel to the one who waits for it. Each sample is
//! the median of several hundred single cancels.

use std::sync::Mutex;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::pin;
use crate::measure::{Batch, Row};
use crate::peers::{HasWait, Peer, every_peer, every_waiter};
use crate::sample::{Sample, median, spin_for};

const TASKS: usize = 500;
const OBSERVED: usize = 300;

pub(super) const ROWS: &[Row] = &[
    Row::new("7b", "cancel until a waiting tokio task's next line, ns", "≤ 110", |entries| {
        every_waiter!(entries, a_task());
        entries.limit("tokio oneshot", a_task_by_oneshot());
    })
    .rounds(11),
    Row::new("7e", "cancel until a thread that spins on it sees it, ns", "≤ 100", |entries| {
        every_peer!(entries, a_spinning_thread());
    })
    .rounds(11),
];

async fn task_latency(begin: impl AsyncFn() -> (tokio::task::JoinHandle<Instant>, Instant)) -> f64 {
    let mut latencies = Vec::with_capacity(TASKS);
    for _ in 0..TASKS {
        let (task, asked) = begin().await;
        let resumed = task.await.expect("the task ends well");
        latencies.push((resumed - asked).as_nanos() as f64);
    }
    median(latencies)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime on this thread")
}

fn a_task<P: HasWait>() -> Batch {
    let runtime = runtime();
    Batch::latency(move || {
        let latency = runtime.block_on(task_latency(async || {
            let (source, token) = P::create();
            let task = tokio::spawn(async move {
                let _answer = P::wait_owned(token).await;
                Instant::now()
            });
            tokio::task::yield_now().await;
            let asked = Instant::now();
            P::cancel(source);
            (task, asked)
        }));
        Sample::undisturbed(latency)
    })
}

fn a_task_by_oneshot() -> Batch {
    let runtime = runtime();
    Batch::latency(move || {
        let latency = runtime.block_on(task_latency(async || {
            let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
            let task = tokio::spawn(async move {
                let _answer = receiver.await;
                Instant::now()
            });
            tokio::task::yield_now().await;
            let asked = Instant::now();
            let _ = sender.send(());
            (task, asked)
        }));
        Sample::undisturbed(latency)
    })
}

/// What the cancelling thread and the spinning thread share.
struct Rendezvous<T> {
    token: Mutex<Option<T>>,
    spinning: AtomicBool,
    seen_at: AtomicU64,
    over: AtomicBool,
    epoch: Instant,
}

impl<T> Rendezvous<T> {
    fn new() -> Self {
        Self {
            token: Mutex::new(None),
            spinning: AtomicBool::new(false),
            seen_at: AtomicU64::new(0),
            over: AtomicBool::new(false),
            epoch: Instant::now(),
        }
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    fn next_token(&self) -> Option<T> {
        loop {
            let handed_over = self.token.try_lock().ok().and_then(|mut slot| slot.take());
            if handed_over.is_some() {
                return handed_over;
            }
            if self.over.load(Relaxed) {
                return None;
            }
            std::hint::spin_loop();
        }
    }

    fn hand_over(&self, token: T) {
        self.seen_at.store(0, Relaxed);
        *self.token.lock().expect("no holder panics") = Some(token);
        while !self.spinning.swap(false, Acquire) {}
    }

    fn wait_until_seen(&self) -> u64 {
        loop {
            let seen_at = self.seen_at.load(Acquire);
            if seen_at != 0 {
                return seen_at;
            }
        }
    }
}

fn a_spinning_thread<P: Peer>() -> Batch {
    Batch::latency(|| Sample::undisturbed(latency_of_observation::<P>()))
}

fn latency_of_observation<P: Peer>() -> f64 {
    let shared = Rendezvous::<P::Token>::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            while let Some(token) = shared.next_token() {
                shared.spinning.store(true, Release);
                while !P::is_cancelled(&token) {}
                shared.seen_at.store(shared.now(), Release);
            }
        });
        let mut latencies = Vec::with_capacity(OBSERVED);
        for _ in 0..OBSERVED {
            let (source, token) = P::create();
            shared.hand_over(token);
            spin_for(Duration::from_micros(2));
            let asked_at = shared.now();
            P::cancel(source);
            let seen_at = shared.wait_until_seen();
            latencies.push(seen_at.saturating_sub(asked_at) as f64);
        }
        shared.over.store(true, Relaxed);
        median(latencies)
    })
}

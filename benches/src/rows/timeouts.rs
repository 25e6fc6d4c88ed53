//! Rows 9: a timeout of 30 seconds that is made, armed and dropped unfired, as
//! nearly every request's is.

use std::future::{Future, pending, poll_fn};
use std::hint::black_box;
use std::mem::ManuallyDrop;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ::almost_enough::Stopper;
use ::almost_enough::time::TimeoutExt as _;
use ::tokio_util::sync::CancellationToken;
use nexus_timer::Wheel;

use super::Shuffle;
use crate::machine::{pin as pin_to_cpu, unpin};
use crate::measure::{Batch, Entries, Row};
use crate::peers::{Desist, Peer};
use crate::sample::{on_two_cpus, timed};

const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) const ROWS: &[Row] = &[
    Row::new("9a", "token with a timeout, dropped unfired, ns each", "≤ 45", |entries| {
        one_thread(entries, 0);
    }),
    Row::new("9a-wait", "the same with a wait, polled once, ns each", "", |entries| {
        let runtime = TokioTime::new();
        entries.add("desist", || desist_polled(0));
        entries.add("tokio-util token and sleep", || runtime.batch(0, tokio_util_and_sleep));
    }),
    Row::new("9b", "the same as 9a among 1M other live timeouts, ns each", "≤ 48", |entries| {
        one_thread(entries, 1_000_000);
    })
    .large(),
    Row::new("9c", "the same as 9a, 2 threads, ns each per thread", "≤ 90", two_threads),
];

/// The two that do the whole of it, among so many.
pub(super) fn among(entries: &mut Entries<'_>, live: usize) {
    entries.add("desist", || desist(live));
    entries
        .add("tokio-util token and sleep", || TokioTime::new().batch(live, tokio_util_and_sleep));
}

fn one_thread(entries: &mut Entries<'_>, live: usize) {
    let runtime = TokioTime::new();
    entries.add("desist", || desist(live));
    entries.add("desist child", || desist_child(live));
    entries.add("tokio-util token and sleep", || runtime.batch(live, tokio_util_and_sleep));
    entries.add("tokio-util child and sleep", || {
        let parent = CancellationToken::new();
        runtime.batch(live, move |times, context| child_and_sleep(&parent, times, context))
    });
    entries.add("tokio timeout", || runtime.batch(live, tokio_timeout));
    entries.add("async-io timer", || async_io(live));
    entries.add("nexus-timer wheel, no wait", || nexus_timer(live));
    if live == 0 {
        entries.add("almost-enough, deadline only", almost_enough);
    }
    entries.limit("Instant::now", read_the_time());
}

fn two_threads(entries: &mut Entries<'_>) {
    entries.add("desist", || Batch::new(|times| on_two_cpus(|_| desist_timeout(times))));
    entries.add("desist child", || {
        let (source, parent) = Desist::create();
        Batch::new(move |times| {
            let _live = &source;
            on_two_cpus(|_| desist_child_timeout(&parent, times))
        })
    });
    let runtime = Rc::new(runtime_beside());
    for (name, arm) in [
        ("tokio-util token and sleep", tokio_util_and_sleep as fn(u64, &mut Context<'_>)),
        ("tokio timeout", tokio_timeout),
    ] {
        let runtime = runtime.clone();
        entries.add(name, || {
            Batch::new(move |times| {
                let handle = runtime.handle();
                on_two_cpus(|_| {
                    let _entered = handle.enter();
                    arm(times, &mut Context::from_waker(Waker::noop()));
                })
            })
        });
    }
}

/// Between ten minutes and an hour: none fires while a row is measured.
fn far_away(shuffle: &mut Shuffle) -> Duration {
    Duration::from_millis(600_000 + shuffle.below(3_000_000) as u64)
}

fn far_away_times(count: usize) -> impl Iterator<Item = Duration> {
    let mut shuffle = Shuffle::new();
    (0..count).map(move |_| far_away(&mut shuffle))
}

/// A thread that keeps time begins where its first timer is made: on any CPU,
/// not on the one where we measure.
fn on_any_cpu<R>(work: impl FnOnce() -> R) -> R {
    unpin();
    let result = work();
    pin_to_cpu(0);
    result
}

fn live_sources(count: usize) -> Vec<::desist::Source> {
    on_any_cpu(|| {
        desist_timeout(1);
        far_away_times(count).map(::desist::Source::with_timeout).collect()
    })
}

#[inline(never)]
fn desist_timeout(times: u64) {
    for _ in 0..times {
        let source = ::desist::Source::with_timeout(TIMEOUT);
        black_box((source.token(), source));
    }
}

fn desist(live: usize) -> Batch {
    let live = live_sources(live);
    Batch::new(move |times| {
        let _live = &live;
        timed(|| desist_timeout(times))
    })
}

fn desist_polled(live: usize) -> Batch {
    let live = live_sources(live);
    Batch::new(move |times| {
        let _live = &live;
        let mut context = Context::from_waker(Waker::noop());
        timed(|| {
            for _ in 0..times {
                let token = ::desist::Source::with_timeout(TIMEOUT).token();
                poll_once(token.cancelled(), &mut context);
            }
        })
    })
}

#[inline(never)]
fn desist_child_timeout(parent: &::desist::Token, times: u64) {
    for _ in 0..times {
        drop(black_box(parent.child_with_timeout(TIMEOUT)));
    }
}

fn desist_child(live: usize) -> Batch {
    let live = live_sources(live);
    let (source, parent) = Desist::create();
    Batch::new(move |times| {
        let _live = (&live, &source);
        timed(|| desist_child_timeout(&parent, times))
    })
}

fn poll_once(future: impl Future, context: &mut Context<'_>) {
    assert!(pin!(future).poll(context).is_pending());
}

async fn until_cancelled_or_late(token: &CancellationToken) {
    tokio::select! {
        biased;
        () = token.cancelled() => {}
        () = tokio::time::sleep(TIMEOUT) => {}
    }
}

#[inline(never)]
fn tokio_util_and_sleep(times: u64, context: &mut Context<'_>) {
    for _ in 0..times {
        let source = CancellationToken::new();
        let token = source.clone();
        poll_once(until_cancelled_or_late(&token), context);
    }
}

#[inline(never)]
fn child_and_sleep(parent: &CancellationToken, times: u64, context: &mut Context<'_>) {
    for _ in 0..times {
        let token = parent.child_token();
        poll_once(until_cancelled_or_late(&token), context);
    }
}

#[inline(never)]
fn tokio_timeout(times: u64, context: &mut Context<'_>) {
    for _ in 0..times {
        poll_once(tokio::time::timeout(TIMEOUT, pending::<()>()), context);
    }
}

/// One runtime for all tokio entries of a row, with its live timers.
struct TokioTime {
    runtime: Rc<tokio::runtime::Runtime>,
}

impl TokioTime {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Self { runtime: Rc::new(runtime.expect("a runtime on this thread")) }
    }

    fn batch(&self, live: usize, arm: impl Fn(u64, &mut Context<'_>) + 'static) -> Batch {
        let runtime = self.runtime.clone();
        let live: Vec<_> = in_runtime(&runtime, |context| {
            far_away_times(live).map(|time| armed_sleep(time, context)).collect()
        });
        Batch::new(move |times| {
            let _live = &live;
            in_runtime(&runtime, |context| timed(|| arm(times, context)))
        })
    }
}

fn in_runtime<R>(runtime: &tokio::runtime::Runtime, work: impl Fn(&mut Context<'_>) -> R) -> R {
    runtime.block_on(poll_fn(|context| Poll::Ready(work(context))))
}

fn armed_sleep(time: Duration, context: &mut Context<'_>) -> Pin<Box<tokio::time::Sleep>> {
    let mut sleep = Box::pin(tokio::time::sleep(time));
    assert!(sleep.as_mut().poll(context).is_pending());
    sleep
}

/// A runtime whose one worker is left free to run anywhere.
fn runtime_beside() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = on_any_cpu(|| builder.worker_threads(1).enable_time().build());
    runtime.expect("a runtime with one worker")
}

fn armed_timer(time: Duration) -> async_io::Timer {
    let mut timer = async_io::Timer::after(time);
    poll_once(&mut timer, &mut Context::from_waker(Waker::noop()));
    timer
}

fn async_io(live: usize) -> Batch {
    let live: Vec<_> = on_any_cpu(|| {
        drop(armed_timer(TIMEOUT));
        far_away_times(live).map(armed_timer).collect()
    });
    Batch::new(move |times| {
        let _live = &live;
        let mut context = Context::from_waker(Waker::noop());
        timed(|| {
            for _ in 0..times {
                poll_once(async_io::Timer::after(TIMEOUT), &mut context);
            }
        })
    })
}

/// Its handles must go before their wheel and cannot: both are left behind.
fn nexus_timer(live: usize) -> Batch {
    let now = Instant::now();
    let mut wheel = ManuallyDrop::new(Wheel::<u64>::unbounded(4096, now));
    for time in far_away_times(live) {
        std::mem::forget(wheel.schedule(now + time, 1));
    }
    Batch::new(move |times| {
        timed(|| {
            for _ in 0..times {
                let handle = wheel.schedule(Instant::now() + TIMEOUT, 7);
                black_box(wheel.cancel(handle));
            }
        })
    })
}

fn read_the_time() -> Batch {
    Batch::new(|times| {
        timed(|| {
            for _ in 0..times {
                black_box(Instant::now());
            }
        })
    })
}

fn almost_enough() -> Batch {
    Batch::new(|times| {
        timed(|| {
            for _ in 0..times {
                drop(black_box(Stopper::new().with_timeout(TIMEOUT)));
            }
        })
    })
}

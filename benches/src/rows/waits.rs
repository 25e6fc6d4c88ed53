//! Rows 5a to 5c and 7a: a wait that is registered, polled once and given up.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::measure::{Batch, Row};
use crate::peers::{HasWait, every_waiter};
use crate::sample::{Sample, on_two_cpus, timed};

const LIVE: usize = 100_000;
const TWO_LOCKS: &str = "lock and unlock a mutex, twice";

pub(super) const ROWS: &[Row] = &[
    Row::new("5a", "wait: register, poll once, drop, ns each", "≤ 13", |entries| {
        every_waiter!(entries, alone());
        entries.limit(TWO_LOCKS, lock_twice());
    }),
    Row::new("5b", "the same, 2 threads, one token, ns each per thread", "≤ 25", |entries| {
        every_waiter!(entries, by_two_threads());
        entries.limit(TWO_LOCKS, lock_twice_by_two_threads());
    }),
    Row::new("5c", "the same among 100k live waits, ns each", "≤ 13", |entries| {
        every_waiter!(entries, among_live(LIVE));
        entries.limit(TWO_LOCKS, lock_twice());
    }),
    Row::new("7a", "the same in a tokio task, with its waker, ns each", "≤ 24", |entries| {
        let runtime = runtime();
        every_waiter!(entries, in_a_task(&runtime));
        entries.limit("clone and drop the task's waker", clone_a_task_waker(&runtime));
    }),
    Row::new("7a-kept", "poll once more, a wait kept over polls, ns per poll", "≤ 2", |entries| {
        let runtime = runtime();
        every_waiter!(entries, kept_in_a_task(&runtime));
    }),
];

#[inline(never)]
fn wait_and_drop<P: HasWait>(token: &P::Token, times: u64, context: &mut Context<'_>) {
    for _ in 0..times {
        let wait = pin!(P::wait(token));
        assert!(wait.poll(context).is_pending());
    }
}

fn alone<P: HasWait>() -> Batch {
    let (source, token) = P::create();
    Batch::new(move |times| {
        let _live = &source;
        timed(|| wait_and_drop::<P>(&token, times, &mut Context::from_waker(Waker::noop())))
    })
}

fn by_two_threads<P: HasWait>() -> Batch {
    let (source, token) = P::create();
    Batch::new(move |times| {
        let _live = &source;
        on_two_cpus(|_| {
            wait_and_drop::<P>(&token, times, &mut Context::from_waker(Waker::noop()));
        })
    })
}

pub(super) fn among_live<P: HasWait>(live: usize) -> Batch {
    let (source, token) = P::create();
    let live: Vec<_> = (0..live)
        .map(|_| {
            let mut wait = Box::pin(P::wait_owned(token.clone()));
            assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            wait
        })
        .collect();
    Batch::up_to(20_000, move |times| {
        let _live = (&source, &live);
        timed(|| wait_and_drop::<P>(&token, times, &mut Context::from_waker(Waker::noop())))
    })
}

type Runtime = Rc<tokio::runtime::Runtime>;

fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    Rc::new(runtime.expect("a runtime on this thread"))
}

/// Runs `work` in a spawned task, with the waker that tokio gives to tasks.
fn sample_in_task(
    runtime: &Runtime,
    work: impl Fn(&mut Context<'_>) -> Sample + Send + 'static,
) -> Sample {
    runtime.block_on(async move {
        let task = tokio::spawn(poll_fn(move |context| Poll::Ready(work(context))));
        task.await.expect("the task ends well")
    })
}

fn in_a_task<P: HasWait>(runtime: &Runtime) -> Batch {
    let runtime = runtime.clone();
    let (source, token) = P::create();
    Batch::new(move |times| {
        let _live = &source;
        let token = token.clone();
        sample_in_task(&runtime, move |context| {
            timed(|| wait_and_drop::<P>(&token, times, context))
        })
    })
}

#[inline(never)]
fn poll_again<F: Future>(wait: F, times: u64, context: &mut Context<'_>) -> Sample {
    let mut wait = pin!(wait);
    assert!(wait.as_mut().poll(context).is_pending());
    timed(|| {
        for _ in 0..times {
            assert!(black_box(wait.as_mut()).poll(context).is_pending());
        }
    })
}

fn kept_in_a_task<P: HasWait>(runtime: &Runtime) -> Batch {
    let runtime = runtime.clone();
    let (source, token) = P::create();
    Batch::new(move |times| {
        let _live = &source;
        let token = token.clone();
        sample_in_task(&runtime, move |context| poll_again(P::wait(&token), times, context))
    })
}

fn clone_a_task_waker(runtime: &Runtime) -> Batch {
    let runtime = runtime.clone();
    Batch::new(move |times| {
        sample_in_task(&runtime, move |context| {
            timed(|| (0..times).for_each(|_| drop(black_box(context.waker().clone()))))
        })
    })
}

fn lock(mutex: &Mutex<u64>) {
    *black_box(mutex).lock().expect("no holder panics") += 1;
}

fn lock_pairs(mutex: &Mutex<u64>, pairs: u64) {
    for _ in 0..pairs {
        lock(mutex);
        lock(mutex);
    }
}

fn lock_twice() -> Batch {
    let mutex = Mutex::new(0);
    Batch::new(move |times| timed(|| lock_pairs(&mutex, times)))
}

fn lock_twice_by_two_threads() -> Batch {
    let mutex = Arc::new(Mutex::new(0));
    Batch::new(move |times| on_two_cpus(|_| lock_pairs(&mutex, times)))
}

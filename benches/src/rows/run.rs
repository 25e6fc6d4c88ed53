//! Rows 11: a future that is given up when the token is cancelled, and is not.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use ::stop_token::future::FutureExt as _;
use futures_util::future::{AbortHandle, Abortable};

use crate::measure::{Batch, Entries, Row};
use crate::peers::{Desist, Nexus, Peer, StopToken, TokioUtil};
use crate::sample::timed;

pub(super) const ROWS: &[Row] = &[
    Row::new("11a", "run a future that is ready, ns each", "≤ 3", |entries| {
        wrapped(entries, How::Moved, ready);
    }),
    Row::new("11a-await", "the same, awaited in a task that goes on, ns each", "", |entries| {
        wrapped(entries, How::Awaited, ready);
    }),
    Row::new("11b", "run a future that is pending once, ns each", "≤ 20", |entries| {
        wrapped(entries, How::Moved, pending_once);
    }),
];

async fn ready() -> u64 {
    black_box(1)
}

fn pending_once() -> impl Future<Output = u64> {
    let mut polled = false;
    poll_fn(
        move |_| {
            if std::mem::replace(&mut polled, true) { Poll::Ready(1) } else { Poll::Pending }
        },
    )
}

/// A signal that is never cancelled nor dropped.
fn forever<P: Peer>() -> &'static P::Token {
    let (_, token) = Box::leak(Box::new(P::create()));
    token
}

/// What becomes of a future that was made, before it is polled.
#[derive(Clone, Copy)]
enum How {
    /// It is handed to a function that polls it.
    Moved,
    /// The future around it awaits it, and the next one after it.
    Awaited,
}

fn wrapped<F>(entries: &mut Entries<'_>, how: How, future: impl Fn() -> F + Copy + 'static)
where
    F: Future<Output = u64> + 'static,
{
    entries.add("desist run", || {
        let token = forever::<Desist>();
        drive(how, move || token.run(future()))
    });
    entries.add("tokio-util run_until_cancelled", || {
        let token = forever::<TokioUtil>();
        drive(how, move || token.run_until_cancelled(future()))
    });
    entries.add("tokio-util and select!", || {
        let token = forever::<TokioUtil>();
        drive(how, move || async move {
            tokio::select! { biased; () = token.cancelled() => None, value = future() => Some(value) }
        })
    });
    entries.add("nexus-async-rt and select!", || {
        let token = forever::<Nexus>();
        drive(how, move || async move {
            tokio::select! { biased; () = token.cancelled() => None, value = future() => Some(value) }
        })
    });
    entries.add("stop-token timeout_at", || {
        let token = forever::<StopToken>();
        drive(how, move || async move { future().timeout_at(token.clone()).await.ok() })
    });
    entries.add("futures Abortable", || {
        drive(how, move || async move {
            let (_handle, registration) = AbortHandle::new_pair();
            Abortable::new(future(), registration).await.ok()
        })
    });
    entries.limit("await alone", drive(how, move || async move { Some(future().await) }));
}

fn drive<W: Future>(how: How, wrap: impl Fn() -> W + 'static) -> Batch {
    Batch::new(move |times| match how {
        How::Moved => timed(|| {
            for _ in 0..times {
                black_box(poll_to_the_end(wrap()));
            }
        }),
        How::Awaited => timed(|| {
            poll_to_the_end(async {
                for _ in 0..times {
                    black_box(wrap().await);
                }
            });
        }),
    })
}

#[inline(never)]
fn poll_to_the_end<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

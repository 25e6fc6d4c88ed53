//! Promise 12: `run` fails first if already cancelled; then completion wins over cancellation.

use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use desist::{FutureExt, Reason, Source, Token};

use crate::common::race::{Side, race};
use crate::common::wakers::counting;
use crate::common::{
    Captured, Count, assert_same_cause, block_on, cause_of, no_deadlock, poll_once, poll_with,
};

/// A channel for one value: its future is ready when the value was sent.
#[derive(Clone, Default)]
struct OneShot<T>(Arc<Mutex<(Option<T>, Option<Waker>)>>);

impl<T> OneShot<T> {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((None, None))))
    }

    fn send(&self, value: T) {
        let waker = {
            let mut state = crate::common::lock(&self.0);
            state.0 = Some(value);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What was sent and not received.
    fn left_over(&self) -> Option<T> {
        crate::common::lock(&self.0).0.take()
    }
}

impl<T> Future for OneShot<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut state = crate::common::lock(&self.0);
        match state.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[test]
fn it_fails_first_if_already_cancelled_and_never_polls() {
    let token = Token::cancelled_with(Reason::Overload);
    let polled = Count::new();
    let future = || {
        let polled = polled.clone();
        poll_fn(move |_| {
            polled.add();
            Poll::Ready(1)
        })
    };
    for result in [
        block_on(token.run(future())),
        block_on(token.clone().run_owned(future())),
        block_on(future().or_cancelled(&token)),
    ] {
        let error = result.expect_err("it was cancelled before");
        assert_same_cause(&error, &cause_of(&token));
    }
    assert_eq!(polled.get(), 0);
}

#[test]
fn it_gives_the_value_when_nobody_cancels() {
    let source = Source::new();
    assert_eq!(block_on(source.token().run(ready(1))).ok(), Some(1));
    assert_eq!(block_on(source.token().run_owned(ready(2))).ok(), Some(2));
    assert_eq!(block_on(ready(3).or_cancelled(&source.token())).ok(), Some(3));
    assert_eq!(block_on(Token::never().run_owned(ready(4))).ok(), Some(4));
}

#[test]
fn cancelled_during_the_first_poll_a_ready_value_is_given() {
    let source = Source::new();
    let canceller = source.clone();
    let token = source.token();
    let result = block_on(token.run(poll_fn(|_| {
        canceller.cancel();
        Poll::Ready("value")
    })));
    assert_eq!(result.ok(), Some("value"));
    assert!(source.is_cancelled());
}

#[test]
fn cancelled_during_the_first_poll_a_pending_future_fails() {
    let source = Source::new();
    let canceller = source.clone();
    let token = source.token();
    let (wakes, waker) = counting();
    let mut run = Box::pin(token.run(poll_fn(|_| -> Poll<()> {
        canceller.cancel();
        Poll::Pending
    })));
    match poll_with(run.as_mut(), &waker) {
        Poll::Ready(result) => assert!(result.is_err()),
        Poll::Pending => {
            assert!(wakes.get() > 0, "pending, and nobody wakes it");
            let Poll::Ready(result) = poll_with(run.as_mut(), &waker) else {
                panic!("cancelled, and still pending");
            };
            assert!(result.is_err());
        }
    }
}

#[test]
fn after_the_first_poll_completion_wins_over_cancellation() {
    let source = Source::new();
    let value = OneShot::new();
    let token = source.token();
    let mut run = Box::pin(token.run(value.clone()));
    assert!(poll_once(run.as_mut()).is_pending());
    source.cancel();
    value.send(7);
    let Poll::Ready(result) = poll_once(run.as_mut()) else {
        panic!("both are ready");
    };
    assert_eq!(result.ok(), Some(7));
}

#[test]
fn after_the_first_poll_cancellation_fails_a_pending_future() {
    let source = Source::new();
    let (wakes, waker) = counting();
    let token = source.child().token();
    let mut run = Box::pin(token.run(std::future::pending::<()>()));
    assert!(poll_with(run.as_mut(), &waker).is_pending());
    assert_eq!(wakes.get(), 0);
    source.cancel_with(Reason::Shutdown);
    assert_eq!(wakes.get(), 1);
    let Poll::Ready(result) = poll_with(run.as_mut(), &waker) else {
        panic!("it is cancelled");
    };
    let error = result.expect_err("pending for ever");
    assert_same_cause(&error, &cause_of(&source.token()));
}

#[test]
fn a_value_is_never_thrown_away() {
    race(
        || (Source::new(), OneShot::<u32>::new()),
        |(source, value)| {
            value.send(9);
            source.is_cancelled()
        },
        |(source, value)| {
            let token = source.token();
            let mut run = Box::pin(token.run(value.clone()));
            let first = poll_once(run.as_mut());
            source.cancel();
            match first {
                Poll::Ready(result) => result,
                Poll::Pending => match poll_once(run.as_mut()) {
                    Poll::Ready(result) => result,
                    Poll::Pending => panic!("cancelled, and still pending"),
                },
            }
        },
        |(_, value), _, result| {
            // Received, or still where it was: never taken and lost.
            assert_eq!(result.is_ok(), value.left_over().is_none());
            assert!(result.is_err() || result.as_ref().is_ok_and(|v| *v == 9));
            Side::left_if(result.is_ok())
        },
    );
}

#[test]
fn a_run_is_woken_by_a_cancel_on_another_thread() {
    no_deadlock(|| {
        race(
            Source::new,
            Source::cancel,
            |source| {
                let at_once = source.is_cancelled();
                let result = block_on(source.token().run(std::future::pending::<()>()));
                (at_once, result.is_err())
            },
            |_, _, (at_once, failed)| {
                assert!(failed);
                Side::left_if(at_once)
            },
        );
    });
}

#[test]
fn dropping_a_run_drops_its_future_and_its_place_in_the_token() {
    let source = Source::new();
    let captured = Captured::new();
    let handle = captured.handle();
    let (wakes, waker) = counting();
    let token = source.token();
    let mut run = Box::pin(token.run(async move {
        std::future::pending::<()>().await;
        drop(handle);
    }));
    assert!(poll_with(run.as_mut(), &waker).is_pending());
    drop(run);
    assert_eq!(captured.held(), 0);
    source.cancel();
    assert_eq!(wakes.get(), 0);
}

#[test]
fn an_owned_run_may_outlive_its_token() {
    fn spawnable<F: Future + Send + 'static>(future: F) -> Pin<Box<F>> {
        Box::pin(future)
    }

    let source = Source::new();
    let mut run = spawnable(source.token().run_owned(std::future::pending::<()>()));
    assert!(poll_once(run.as_mut()).is_pending());
    source.cancel();
    let Poll::Ready(result) = poll_once(run.as_mut()) else {
        panic!("it is cancelled");
    };
    assert!(result.is_err());
}

#[test]
fn runs_may_be_nested_and_each_tells_its_own_signal() {
    let (outer, inner) = (Source::new(), Source::new());
    let (outer_token, inner_token) = (outer.token(), inner.token());
    let nested = inner_token.run(std::future::pending::<()>());
    let mut run = Box::pin(outer_token.run(nested));
    assert!(poll_once(run.as_mut()).is_pending());
    inner.cancel_with(Reason::Superseded);
    let Poll::Ready(Ok(Err(error))) = poll_once(run.as_mut()) else {
        panic!("the inner run completes the outer one");
    };
    assert_eq!(error.reason(), Reason::Superseded);
}

#[test]
fn the_waiting_future_is_cancel_safe_and_comes_in_all_forms() {
    let source = Source::new();
    let token = source.token();
    let mut first = Box::pin(token.cancelled());
    assert!(poll_once(first.as_mut()).is_pending());
    drop(first);
    source.cancel_with("now");
    let cause = cause_of(&token);
    let awaited = block_on(async {
        let borrowed = (&token).await;
        let owned = token.clone().await;
        let waited = token.cancelled().await;
        let moved = token.clone().cancelled_owned().await;
        [borrowed, owned, waited, moved]
    });
    for seen in &awaited {
        assert_same_cause(seen, &cause);
    }
}

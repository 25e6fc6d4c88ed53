//! A body that waits: whether anything but its token can wake it.

use std::time::Instant;

use super::*;

#[test]
fn for_a_child_that_another_thread_cancels_is_not_to_wait_alone() {
    no_deadlock(|| {
        // A thread that gets no time for long is taken for none, so there is more than one try.
        let cancelled_by_the_thread = (0..3).any(|_| {
            let mut reasons = Vec::new();
            every_checkpoint(|token: Token| {
                let child = token.child();
                let wait = child.token();
                thread::scope(|scope| {
                    scope.spawn(|| {
                        let begin = Instant::now();
                        while begin.elapsed() < Duration::from_millis(50) {
                            thread::yield_now();
                        }
                        child.cancel_with(Reason::Superseded);
                    });
                    reasons.push(wait.blocking_wait().reason());
                });
            });
            reasons.contains(&Reason::Superseded)
        });
        assert!(cancelled_by_the_thread);
    });
}

#[test]
fn for_a_timer_as_well_is_not_to_wait_alone() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let slept = Count::new();
    runtime.block_on(every_checkpoint_async(|token: Token| {
        let slept = slept.clone();
        async move {
            let nap = tokio::time::sleep(Duration::from_millis(2));
            if nap.or_cancelled(&token).await.is_ok() {
                slept.add();
            }
        }
    }));
    assert_eq!(slept.get(), 1, "the run that is not cancelled sleeps to the end");
}

#[test]
fn for_nothing_that_could_wake_it_is_not_to_wait_for_its_token() {
    let mut counted = pin!(every_checkpoint_async(|token: Token| async move {
        let mut polled = false;
        // It is polled again because we do so, not because it asked for it.
        poll_fn(
            |_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending },
        )
        .await;
        token.check()
    }));
    let checkpoints = (0..10).find_map(|_| match poll_once(counted.as_mut()) {
        Poll::Ready(checkpoints) => Some(checkpoints),
        Poll::Pending => None,
    });
    assert_eq!(checkpoints, Some(1));
}

#[test]
fn for_what_never_comes_is_to_wait_alone_after_a_while() {
    no_deadlock(|| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let counted = runtime.block_on(async {
            // Somebody keeps the waker, and could use it; but nobody does.
            let (never, receiver) = tokio::sync::watch::channel(());
            let counted = every_checkpoint_async(|token: Token| {
                let mut receiver = receiver.clone();
                async move { receiver.changed().or_cancelled(&token).await.is_err() }
            });
            let counted = tokio::time::timeout(Duration::from_secs(20), counted).await;
            drop(never);
            counted
        });
        assert!(counted.expect("it is cancelled in the end") >= 1);
    });
}

#[test]
fn for_a_timer_alone_is_not_to_wait_for_its_token() {
    no_deadlock(|| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let checkpoints = runtime.block_on(every_checkpoint_async(|token: Token| async move {
            // Longer than a body that waits for its token is left waiting.
            tokio::time::sleep(Duration::from_millis(2_300)).await;
            token.check()
        }));
        assert_eq!(checkpoints, 1);
    });
}

#[test]
fn for_a_child_that_nobody_cancels_is_to_wait_alone_after_a_while() {
    no_deadlock(|| {
        let runs = Count::new();
        let checkpoints = every_checkpoint(|token: Token| {
            runs.add();
            token.child().token().blocking_wait()
        });
        assert_eq!((checkpoints, runs.get()), (1, 2));
    });
}

#[test]
fn after_a_wait_that_was_given_up_is_not_to_wait_for_its_token() {
    no_deadlock(|| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let checkpoints = runtime.block_on(every_checkpoint_async(|token: Token| async move {
            {
                let mut wait = pin!(token.cancelled());
                poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx).is_ready())).await;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
            token.check()
        }));
        assert_eq!(checkpoints, 2, "the run that sleeps is not the last");
    });
}

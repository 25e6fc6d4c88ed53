//! The drop-in is a token of ours, and the bridges lead both ways.
//! (tokio-util's own tests for what has its names are run in `compat-suite`.)

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::pin;

use desist::{Reason, Source, Token};
use desist_tokio::compat::{
    CancellationToken, DropGuard, DropGuardRef, FutureExt, TaskTracker, TaskTrackerToken,
    TrackedFuture, WaitForCancellationFuture, WaitForCancellationFutureOwned,
};

mod common;

use common::poll_once;

#[test]
fn a_drop_in_token_is_a_token_of_ours() {
    let token = CancellationToken::new();
    let child = token.child_token();
    let ours: &Token = &child;
    assert!(ours.check().is_ok());
    token.source().cancel_with(Reason::Shutdown);
    assert_eq!(ours.check().unwrap_err().reason(), Reason::Shutdown);
    assert_eq!(Token::from(token.clone()), Source::from(token).token());
}

#[test]
fn a_source_becomes_a_drop_in_token_and_back() {
    let source = Source::new();
    let token = CancellationToken::from(source.clone());
    token.cancel();
    assert!(source.is_cancelled());
    assert_eq!(Source::from(token), source);
}

#[test]
fn a_guard_says_that_it_was_dropped_and_a_disarmed_one_nothing() {
    let token = CancellationToken::new();
    assert!(!token.clone().drop_guard().disarm().is_cancelled());
    assert!(!token.drop_guard_ref().disarm().is_cancelled());
    drop(token.drop_guard_ref());
    assert_eq!(token.reason(), Some(Reason::Dropped));
    let token = CancellationToken::new();
    drop(token.clone().drop_guard());
    assert_eq!(token.reason(), Some(Reason::Dropped));
}

/// Whoever waits on the only handle could be cancelled, as far as it knows, and
/// the owned futures keep the right to cancel.
#[test]
fn an_owned_wait_keeps_the_token_as_it_does_in_tokio_util() {
    let token = CancellationToken::new();
    let observer = Token::from(token.clone());
    let wait = token.cancelled_owned();
    assert!(observer.can_be_cancelled());
    drop(wait);
    assert!(!observer.can_be_cancelled());
    let token = CancellationToken::new();
    let observer = Token::from(token.clone());
    let run = std::future::pending::<()>().with_cancellation_token_owned(token);
    assert!(observer.can_be_cancelled());
    drop(run);
    assert!(!observer.can_be_cancelled());
}

/// As tokio-util has it: looked at where it is made, and then the future comes first.
#[test]
fn a_future_with_a_token_is_biased_as_it_is_in_tokio_util() {
    let token = CancellationToken::new();
    let ready = pin!(async { 7 }.with_cancellation_token(&token));
    let owned = pin!(async { 7 }.with_cancellation_token_owned(token.clone()));
    token.cancel();
    assert_eq!(poll_once(ready), std::task::Poll::Ready(Some(7)));
    assert_eq!(poll_once(owned), std::task::Poll::Ready(Some(7)));
    let drops = common::Count::new();
    let held = common::Dropped(drops.clone());
    let late = async move { drop(held) }.with_cancellation_token(&token);
    assert_eq!(drops.get(), 1, "it is dropped where that is made");
    assert_eq!(poll_once(pin!(late)), std::task::Poll::Ready(None));
}

/// Whatever is tracked is tracked until its destructors have run.
#[tokio::test]
async fn what_is_tracked_counts_until_all_of_it_is_gone() {
    struct Looks(TaskTracker, common::Count);
    impl Drop for Looks {
        fn drop(&mut self) {
            assert_eq!(self.0.len(), 1, "it is not counted any more");
            self.1.add();
        }
    }
    let (tracker, looked) = (TaskTracker::new(), common::Count::new());
    let looks = Looks(tracker.clone(), looked.clone());
    drop(tracker.track_future(async move { drop(looks) }));
    let (looks, counts) = (Looks(tracker.clone(), looked.clone()), tracker.clone());
    tracker
        .spawn_blocking(move || {
            let _looks = looks;
            assert_eq!(counts.len(), 1);
        })
        .await
        .unwrap();
    // Work that is given up before it has a thread.
    let runtime = std::thread::spawn({
        let (tracker, looked) = (tracker.clone(), looked.clone());
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .max_blocking_threads(1)
                .build()
                .unwrap();
            let (open, closed) = std::sync::mpsc::channel::<()>();
            let held = runtime.spawn_blocking(move || closed.recv());
            let looks = Looks(tracker.clone(), looked);
            let waits = tracker.spawn_blocking_on(move || drop(looks), runtime.handle());
            waits.abort();
            drop(open);
            let _ = runtime.block_on(held);
            let _ = runtime.block_on(waits);
        }
    });
    runtime.join().unwrap();
    assert_eq!((looked.get(), tracker.len()), (3, 0));
}

#[test]
fn a_wait_that_has_ended_may_be_polled_again() {
    let token = CancellationToken::new();
    let (mut wait, mut owned) = (pin!(token.cancelled()), pin!(token.clone().cancelled_owned()));
    assert!(poll_once(wait.as_mut()).is_pending() && poll_once(owned.as_mut()).is_pending());
    token.cancel();
    for _ in 0..3 {
        assert!(poll_once(wait.as_mut()).is_ready() && poll_once(owned.as_mut()).is_ready());
    }
}

/// It compiles, or a promise is broken.
#[test]
fn the_drop_in_has_the_traits_of_what_it_stands_for() {
    fn token<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Clone + Default + Eq>() {}
    fn shared<T: Send + Sync>() {}
    token::<CancellationToken>();
    shared::<WaitForCancellationFuture<'static>>();
    shared::<WaitForCancellationFutureOwned>();
    shared::<DropGuard>();
    shared::<DropGuardRef<'static>>();
    shared::<TaskTracker>();
    shared::<TaskTrackerToken>();
    shared::<TrackedFuture<std::future::Ready<()>>>();
    shared::<desist_tokio::compat::TaskTrackerWaitFuture<'static>>();
}

#[test]
fn debug_says_what_a_reader_of_logs_is_used_to() {
    let token = CancellationToken::new();
    assert_eq!(format!("{token:?}"), "CancellationToken { is_cancelled: false }");
    let tracker = TaskTracker::new();
    tracker.close();
    let _one = tracker.token();
    assert_eq!(format!("{tracker:?}"), "TaskTracker { len: 1, is_closed: true, .. }");
}

#[cfg(feature = "tokio-util")]
mod bridges {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::sync::mpsc;
    use std::thread;

    use desist::FutureExt as _;
    use desist_tokio::compat::{FromTokioUtil, ToTokioUtil, from_tokio_util, to_tokio_util};
    use tokio_util::sync::CancellationToken as Theirs;

    use super::*;
    use crate::common::{Count, Dropped, PATIENCE};

    #[test]
    fn ours_follows_theirs_with_no_runtime_about() {
        let theirs = Theirs::new();
        let ours = from_tokio_util(&theirs);
        let (told, hears) = mpsc::channel();
        ours.on_cancel(move |why| told.send(why.clone()).unwrap()).detach();
        let waits = thread::spawn({
            let token = ours.token().clone();
            move || token.blocking_wait_timeout(PATIENCE).expect("it is woken")
        });
        theirs.child_token().cancel();
        assert!(!ours.is_cancelled(), "a child of theirs is another token");
        theirs.cancel();
        // The callback has run when their cancel returns.
        let why = hears.try_recv().expect("it was told");
        assert_eq!(why.reason(), Reason::Requested);
        assert!(why.detail().unwrap().to_string().contains("tokio-util"));
        assert_eq!(waits.join().unwrap().reason(), Reason::Requested);
        assert!(from_tokio_util(&theirs).is_cancelled(), "also of one that is cancelled already");
    }

    #[test]
    fn theirs_follows_ours_with_no_runtime_about() {
        let ours = Source::new();
        let theirs = to_tokio_util(&ours.token());
        let child = theirs.child_token();
        ours.cancel();
        assert!(theirs.is_cancelled() && child.is_cancelled());
        assert!(
            to_tokio_util(&ours.token()).is_cancelled(),
            "also of one that is cancelled already"
        );
        assert!(!to_tokio_util(&Token::never()).is_cancelled());
    }

    #[test]
    fn the_reason_goes_through_their_tokens_and_their_children() {
        let ours = Source::new();
        let theirs = to_tokio_util(&ours.token());
        let (near, far) = (from_tokio_util(&theirs), from_tokio_util(&theirs.child_token()));
        // Further on, over another pair of bridges.
        let further = from_tokio_util(&to_tokio_util(far.token()).detach());
        let line = line!() + 1;
        ours.cancel_with(Reason::Disconnected.with(std::io::Error::other("it hung up")));
        for token in [near.token(), far.token(), further.token()] {
            let why = token.cancellation().expect("it followed");
            assert_eq!(why.reason(), Reason::Disconnected);
            let first = desist::find_cancelled(why.detail().unwrap()).unwrap();
            assert_eq!(why.detail().unwrap().to_string(), first.to_string());
        }
        assert_eq!(ours.token().cancellation().unwrap().origin().line(), line);
        // It is not carried any further than that.
        let stranger = Theirs::new();
        let own = from_tokio_util(&stranger);
        stranger.cancel();
        assert_eq!(own.reason(), Some(Reason::Requested));
        // Nor to one that is built in the middle, on a token that was cancelled of old.
        let (ours, old) = (Source::new(), Theirs::new());
        old.cancel();
        let _bridge = to_tokio_util(&ours.token());
        let (tell, told) = mpsc::channel();
        from_tokio_util(&_bridge)
            .on_cancel(move |_| tell.send(from_tokio_util(&old).reason()).unwrap())
            .detach();
        let keeps = from_tokio_util(&_bridge);
        let (says, said) = mpsc::channel();
        keeps
            .on_cancel(move |_| says.send(from_tokio_util(&Theirs::new()).reason()).unwrap())
            .detach();
        ours.cancel_with(Reason::Overload);
        assert_eq!(said.try_recv(), Ok(None));
        drop(told);
    }

    #[test]
    fn both_ways_at_once_is_no_circle() {
        for ours_first in [true, false] {
            let (ours, theirs) = (Source::new(), Theirs::new());
            let (there, back) = (to_tokio_util(&ours.token()), from_tokio_util(&theirs));
            // What cancels one cancels the other.
            let forth = there.token().clone();
            let on = theirs.clone();
            ours.token().on_cancel(move |_| on.cancel()).detach();
            let own = ours.clone();
            back.on_cancel(move |why| _ = own.cancel_with(why.clone())).detach();
            if ours_first {
                ours.cancel();
            } else {
                theirs.cancel();
            }
            assert!(ours.is_cancelled() && theirs.is_cancelled() && forth.is_cancelled());
        }
    }

    #[test]
    fn a_bridge_that_is_dropped_leaves_nothing_on_either_side() {
        let theirs = Theirs::new();
        let bridge = from_tokio_util(&theirs);
        let token = bridge.token().clone();
        assert!(token.can_be_cancelled());
        drop(bridge);
        // The last source was with the waker that theirs had.
        assert!(!token.can_be_cancelled());
        theirs.cancel();
        assert!(!token.is_cancelled());

        let ours = Source::new();
        let bridge = to_tokio_util(&ours.token());
        let (token, drops) = (bridge.token().clone(), Count::new());
        let held = Dropped(drops.clone());
        let waits = Box::pin(async move {
            let _held = held;
            token.cancelled().await;
        });
        drop(bridge);
        ours.cancel();
        let mut waits = waits;
        assert!(poll_once(waits.as_mut()).is_pending(), "it was cut off before");
        drop(waits);
        assert_eq!(drops.get(), 1);
    }

    #[test]
    fn a_link_that_is_detached_stays() {
        let ours = Source::new();
        let theirs = to_tokio_util(&ours.token()).detach();
        ours.cancel();
        assert!(theirs.is_cancelled());
    }

    #[test]
    fn a_callback_that_panics_strands_nobody_of_theirs() {
        let theirs = Theirs::new();
        let waits: Vec<_> = (0..40).map(|_| theirs.clone().cancelled_owned()).collect();
        let mut waits: Vec<_> = waits.into_iter().map(Box::pin).collect();
        let first = from_tokio_util(&theirs);
        first.on_cancel(|_| panic!("in the callback")).detach();
        let woken = Count::new();
        let waker = std::task::Waker::from(std::sync::Arc::new(Wakes(woken.clone())));
        for wait in &mut waits {
            use std::future::Future;
            assert!(wait.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        }
        let cancelled = catch_unwind(AssertUnwindSafe(|| theirs.cancel()));
        assert!(cancelled.is_ok() && first.is_cancelled());
        assert_eq!(woken.get(), 40);
    }

    struct Wakes(Count);

    impl std::task::Wake for Wakes {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.add();
        }
    }

    /// Whichever is first: the link, or the cancel.
    #[test]
    fn a_bridge_that_is_built_while_the_cancel_comes_misses_nothing() {
        let (mut before, mut after) = (0, 0);
        for round in 0_u32.. {
            let (theirs, ours) = (Theirs::new(), Source::new());
            let gate = Barrier::new(2);
            let found = thread::scope(|scope| {
                scope.spawn(|| {
                    gate.wait();
                    // Now the one is quicker, now the other.
                    (0..round % 64).for_each(|_| std::hint::spin_loop());
                    theirs.cancel();
                    ours.cancel();
                });
                gate.wait();
                let found = theirs.is_cancelled();
                let (from, to) = (from_tokio_util(&theirs), to_tokio_util(&ours.token()));
                from.token().blocking_wait_timeout(PATIENCE).expect("it follows");
                ours.token().blocking_wait_timeout(PATIENCE).expect("it is cancelled");
                // Callbacks come after those who wait are woken.
                let begin = std::time::Instant::now();
                while !to.is_cancelled() {
                    assert!(begin.elapsed() < PATIENCE, "theirs does not follow");
                    thread::yield_now();
                }
                found
            });
            *(if found { &mut after } else { &mut before }) += 1;
            if round >= 2_000 && before > 100 && after > 100 {
                return;
            }
            assert!(round < 200_000, "all on one side: {before} before, {after} after");
        }
    }

    #[test]
    fn what_bridges_may_be_kept_anywhere() {
        fn kept<T: Send + Sync + Unpin + 'static>() {}
        kept::<FromTokioUtil>();
        kept::<ToTokioUtil>();
    }

    #[tokio::test]
    async fn a_future_of_ours_obeys_theirs() {
        let theirs = Theirs::new();
        let bridge = from_tokio_util(&theirs);
        theirs.cancel();
        let ended = std::future::pending::<()>().or_cancelled(&bridge).await;
        assert_eq!(ended.unwrap_err().reason(), Reason::Requested);
    }
}

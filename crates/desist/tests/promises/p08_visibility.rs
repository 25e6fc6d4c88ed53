//! Promise 8: what was written before the cancel is seen by whoever sees the cancel, and no
//! wake-up is lost. (The orderings themselves are checked by a model checker elsewhere.)

use std::cell::UnsafeCell;
use std::hint;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use desist::{Source, Token};

use crate::common::race::{Side, race};
use crate::common::wakers::counting;
use crate::common::{Log, cause_of, no_deadlock, poll_once, poll_with};

/// A value without any synchronisation of its own.
struct Plain(UnsafeCell<[u64; 8]>);

// SAFETY: written only before the cancel and read only after it was observed; that this is
// enough is what the tests below are about.
unsafe impl Sync for Plain {}

const WRITTEN: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

impl Plain {
    fn new() -> Arc<Self> {
        Arc::new(Self(UnsafeCell::new([0; 8])))
    }

    fn write(&self) {
        // SAFETY: nobody reads before the cancel that follows.
        unsafe { *self.0.get() = WRITTEN };
    }

    fn read(&self) -> [u64; 8] {
        // SAFETY: the caller has observed the cancel, before which the only write happened.
        unsafe { *self.0.get() }
    }
}

struct Tree {
    data: Arc<Plain>,
    source: Source,
    child: Token,
}

impl Tree {
    fn new() -> Self {
        let source = Source::new();
        let child = Source::linked([Token::never(), source.child().token()]);
        Self { data: Plain::new(), child: child.token(), source }
    }

    fn write_and_cancel(&self) -> bool {
        self.data.write();
        self.source.cancel()
    }
}

#[test]
fn data_written_before_cancel_is_visible_to_whoever_asks() {
    race(
        Tree::new,
        Tree::write_and_cancel,
        |tree| {
            let mut asked = 0_u32;
            while !tree.child.is_cancelled() {
                asked += 1;
                if asked % 256 == 0 {
                    thread::yield_now();
                } else {
                    hint::spin_loop();
                }
            }
            (tree.data.read(), asked == 0)
        },
        |_, won, (seen, at_once)| {
            assert!(won);
            assert_eq!(seen, WRITTEN);
            Side::left_if(at_once)
        },
    );
}

#[test]
fn data_written_before_cancel_is_visible_to_whoever_waits() {
    race(
        Tree::new,
        Tree::write_and_cancel,
        |tree| {
            let at_once = tree.child.check().is_err();
            tree.child.blocking_wait();
            (tree.data.read(), at_once)
        },
        |_, _, (seen, at_once)| {
            assert_eq!(seen, WRITTEN);
            Side::left_if(at_once)
        },
    );
}

#[test]
fn data_written_before_cancel_is_visible_to_who_was_told_by_a_loser() {
    // Who gets `false` has observed the cancel too.
    race(
        || (Plain::new(), Plain::new(), Source::new()),
        |(left, right, source)| {
            left.write();
            (!source.cancel()).then(|| right.read())
        },
        |(left, right, source)| {
            right.write();
            (!source.cancel()).then(|| left.read())
        },
        |_, left, right| {
            assert!(left.is_none() ^ right.is_none());
            let seen = left.or(right).expect("there is one loser");
            assert_eq!(seen, WRITTEN);
            Side::left_if(left.is_none())
        },
    );
}

#[test]
fn data_written_before_cancel_is_visible_in_a_callback_that_runs_inline() {
    race(
        Tree::new,
        Tree::write_and_cancel,
        |tree| {
            let (log, data) = (Log::new(), Arc::clone(&tree.data));
            let (to, here) = (log.clone(), thread::current().id());
            let held = tree.child.on_cancel(move |_| {
                to.push((data.read(), thread::current().id() == here));
            });
            (log, held)
        },
        |_, _, (log, _)| {
            let seen = log.take();
            assert_eq!(seen.len(), 1);
            assert_eq!(seen[0].0, WRITTEN);
            Side::left_if(seen[0].1)
        },
    );
}

#[test]
fn data_written_before_registering_is_visible_in_the_callback() {
    race(
        || (Plain::new(), Source::new()),
        |(_, source)| source.cancel(),
        |(data, source)| {
            data.write();
            let (log, read) = (Log::new(), Arc::clone(data));
            let (to, here) = (log.clone(), thread::current().id());
            let held = source.token().on_cancel(move |_| {
                to.push((read.read(), thread::current().id() == here));
            });
            (log, held)
        },
        |_, _, (log, _)| {
            let seen = log.take();
            assert_eq!(seen.len(), 1);
            assert_eq!(seen[0].0, WRITTEN);
            Side::left_if(seen[0].1)
        },
    );
}

#[test]
fn the_cause_is_whole_for_whoever_sees_the_flag() {
    race(
        || {
            let source = Source::new();
            let child = source.child().token();
            (source, child)
        },
        |(source, _)| source.cancel_with("whole"),
        |(_, child)| {
            let mut asked = 0_u32;
            loop {
                if let Some(cause) = child.cancellation() {
                    return (cause.detail().map(ToString::to_string), asked == 0);
                }
                asked += 1;
                if asked % 256 == 0 {
                    thread::yield_now();
                }
            }
        },
        |_, _, (text, at_once)| {
            assert_eq!(text.as_deref(), Some("whole"));
            Side::left_if(at_once)
        },
    );
}

#[test]
fn a_wait_that_is_polled_while_the_token_is_cancelled_is_ready_or_woken() {
    race(
        || {
            let source = Source::new();
            let token = source.child().token();
            (source, token)
        },
        |(source, _)| source.cancel(),
        |(_, token)| {
            let (wakes, waker) = counting();
            let mut wait = Box::pin(token.clone().cancelled_owned());
            let pending = poll_with(wait.as_mut(), &waker).is_pending();
            (wait, wakes, pending)
        },
        |_, won, (mut wait, wakes, pending)| {
            assert!(won);
            assert!(wakes.get() <= 1, "woken {} times", wakes.get());
            assert!(!pending || wakes.get() == 1, "the wake-up is lost");
            assert!(poll_once(wait.as_mut()).is_ready());
            Side::left_if(!pending)
        },
    );
}

#[test]
fn a_wait_whose_waker_is_replaced_while_the_token_is_cancelled_wakes_the_last_one() {
    race(
        || {
            let source = Source::new();
            let (_, waker) = counting();
            let mut wait = Box::pin(source.token().cancelled_owned());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            (source, std::sync::Mutex::new(wait))
        },
        |(source, _)| source.cancel(),
        |(_, wait)| {
            let (wakes, waker) = counting();
            let mut wait = wait.lock().expect("not poisoned");
            (poll_with(wait.as_mut(), &waker).is_pending(), wakes)
        },
        |(_, wait), _, (pending, wakes)| {
            assert!(!pending || wakes.get() == 1, "the wake-up is lost");
            let mut wait = wait.into_inner().expect("not poisoned");
            assert!(poll_once(wait.as_mut()).is_ready());
            Side::left_if(!pending)
        },
    );
}

#[test]
fn a_wait_that_is_dropped_while_the_token_is_cancelled_disturbs_nobody() {
    race(
        || {
            let source = Source::new();
            let mut waits = Vec::new();
            let mut woken = Vec::new();
            for _ in 0..3 {
                let (wakes, waker) = counting();
                let mut wait = Box::pin(source.token().cancelled_owned());
                assert!(poll_with(wait.as_mut(), &waker).is_pending());
                waits.push(std::sync::Mutex::new(Some(wait)));
                woken.push(wakes);
            }
            (source, waits, woken)
        },
        |(source, ..)| source.cancel(),
        |(_, waits, _)| drop(waits[1].lock().expect("not poisoned").take()),
        |(_, _, woken), _, ()| {
            assert_eq!((woken[0].get(), woken[2].get()), (1, 1));
            assert!(woken[1].get() <= 1);
            Side::left_if(woken[1].get() == 1)
        },
    );
}

#[test]
fn threads_that_block_while_the_token_is_cancelled_all_return() {
    no_deadlock(|| {
        for _ in 0..200 {
            let root = Source::new();
            let tokens: Vec<Token> = (0..3).map(|_| root.child().token()).collect();
            thread::scope(|scope| {
                let threads: Vec<_> =
                    tokens.iter().map(|token| scope.spawn(|| token.blocking_wait())).collect();
                assert!(root.cancel_with("done"));
                for thread in threads {
                    let cause = thread.join().expect("no panic");
                    assert_eq!(cause.at(), cause_of(&root.token()).at());
                }
            });
        }
    });
}

#[test]
fn a_wait_polled_by_several_wakers_wakes_the_latest_only() {
    let source = Source::new();
    let (first, first_waker) = counting();
    let (last, last_waker) = counting();
    let mut wait = Box::pin(source.token().cancelled_owned());
    assert!(poll_with(wait.as_mut(), &first_waker).is_pending());
    assert!(poll_with(wait.as_mut(), &last_waker).is_pending());
    assert!(poll_with(wait.as_mut(), &last_waker).is_pending());
    source.cancel();
    assert_eq!((first.get(), last.get()), (0, 1));
}

#[test]
fn a_wait_is_woken_once_and_ready_ever_after() {
    let source = Source::new();
    let (wakes, waker) = counting();
    let mut wait = Box::pin(source.token().cancelled_owned());
    assert!(poll_with(wait.as_mut(), &waker).is_pending());
    source.cancel();
    assert!(!source.cancel());
    for _ in 0..3 {
        let Poll::Ready(cause) = poll_with(wait.as_mut(), &waker) else {
            panic!("a cancelled wait is ready");
        };
        assert_eq!(cause.at(), cause_of(&source.token()).at());
    }
    assert_eq!(wakes.get(), 1);
}

//! `every_checkpoint`: one run for every look at the token, cancelled there.
#![cfg(feature = "testing")]

mod common;

#[path = "every_checkpoint/waits.rs"]
mod waits;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use desist::testing::{every_checkpoint, every_checkpoint_async};
use desist::{Cancelled, FutureExt, Reason, Source, Token};

use common::{Count, Log, block_on, lock, no_deadlock, panic_of, poll_once};

/// Checks `steps` times and stops at the first refusal.
fn steps(token: &Token, steps: usize) -> Result<(), Cancelled> {
    for _ in 0..steps {
        token.check()?;
    }
    Ok(())
}

/// Is pending this many times, then ready.
async fn pending(times: usize) {
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

mod counts {
    use super::*;

    #[test]
    fn nothing_in_a_body_that_does_not_look() {
        let runs = Count::new();
        let found = every_checkpoint(|_token| runs.add());
        assert_eq!((found, runs.get()), (0, 1));
    }

    #[test]
    fn one_run_for_each_look_and_one_that_ends_unasked() {
        for looks in 1..20 {
            let ended = Log::new();
            let found = every_checkpoint(|token: Token| ended.push(steps(&token, looks).is_ok()));
            assert_eq!(found, looks);
            let mut expected = vec![false; looks];
            expected.push(true);
            assert_eq!(ended.take(), expected);
        }
    }

    #[test]
    fn run_k_is_cancelled_at_look_k() {
        let passed = Log::new();
        every_checkpoint(|token: Token| {
            let mut looks = 0;
            while looks < 5 && !token.is_cancelled() {
                looks += 1;
            }
            passed.push(looks);
        });
        assert_eq!(passed.take(), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn every_way_of_looking() {
        let count = |look: fn(&Token) -> bool| {
            every_checkpoint(|token: Token| (look(&token), look(&token.clone())))
        };
        assert_eq!(count(Token::is_cancelled), 2);
        assert_eq!(count(|token| token.check().is_ok()), 2);
        assert_eq!(count(|token| token.cancellation().is_some()), 2);
        assert_eq!(count(|token| token.reason().is_some()), 2);
    }

    #[test]
    fn looks_at_descendants_too() {
        let found = every_checkpoint(|token: Token| {
            let child = token.child();
            let linked = Source::linked([Token::never(), child.token()]);
            let any = Token::any([Source::new().token(), linked.token()]);
            let _ = (child.is_cancelled(), linked.token().is_cancelled(), any.is_cancelled());
        });
        assert_eq!(found, 3);
    }

    #[test]
    fn no_looks_at_other_tokens() {
        let other = Source::new();
        let cancelled = Token::cancelled_with("x");
        let found = every_checkpoint(|token: Token| {
            let _ = (other.is_cancelled(), cancelled.check(), Token::never().is_cancelled());
            let _ = token.shielded().is_cancelled();
            let _ = token.check();
        });
        assert_eq!(found, 1);
    }

    #[test]
    fn the_same_twice() {
        let body = |token: Token| drop(steps(&token.child().token(), 7));
        assert_eq!(every_checkpoint(body), every_checkpoint(body));
    }

    #[test]
    fn a_body_that_goes_on_in_spite_of_the_cancel() {
        let found = every_checkpoint(|token: Token| {
            for _ in 0..6 {
                let _ = token.check();
            }
        });
        assert_eq!(found, 6);
    }
}

mod cancels {
    use super::*;

    #[test]
    fn the_token_and_all_that_hang_on_it() {
        let called = Count::new();
        let missing = Count::new();
        let found = every_checkpoint(|token: Token| {
            let child = token.child();
            let count = called.clone();
            let _held = child.token().on_cancel(move |_| count.add());
            if token.check().is_err() && !child.is_cancelled() {
                missing.add();
            }
        });
        assert_eq!((found, called.get(), missing.get()), (1, 1, 0));
    }

    #[test]
    fn with_a_cause_like_any_other() {
        let reasons = Log::new();
        every_checkpoint(|token: Token| {
            if let Err(error) = steps(&token, 2) {
                reasons.push((error.reason(), token.reason()));
            }
        });
        let reasons = reasons.take();
        assert_eq!(reasons.len(), 2);
        assert!(reasons.iter().all(|(error, token)| Some(*error) == *token));
    }

    #[test]
    fn a_body_that_waits_for_its_token_alone_and_that_run_is_the_last() {
        no_deadlock(|| {
            let runs = Count::new();
            let found = every_checkpoint(|token: Token| {
                runs.add();
                if token.check().is_ok() {
                    token.blocking_wait();
                }
            });
            assert_eq!(found, 2);
            assert!(runs.get() <= 3, "{} runs", runs.get());
        });
    }

    #[test]
    fn a_blocking_sleep() {
        no_deadlock(|| {
            let slept = Log::new();
            let nap = Duration::from_millis(1);
            let found =
                every_checkpoint(|token: Token| slept.push(token.blocking_sleep(nap).is_ok()));
            assert_eq!(found, 1);
            assert_eq!(slept.take(), [false, true]);
        });
    }

    #[test]
    fn a_blocking_wait_with_a_bound() {
        no_deadlock(|| {
            let seen = Log::new();
            let found = every_checkpoint(|token: Token| {
                let cause = token.blocking_wait_timeout(Duration::from_millis(1));
                seen.push(cause.is_some());
            });
            assert_eq!(found, 1);
            assert_eq!(seen.take(), [true, false]);
        });
    }

    #[test]
    fn looks_of_other_threads_too() {
        no_deadlock(|| {
            let found = every_checkpoint(|token: Token| {
                thread::scope(|scope| {
                    scope.spawn(|| token.check()).join().expect("no panic").ok();
                });
                let _ = token.check();
            });
            assert_eq!(found, 2);
        });
    }

    #[test]
    fn with_deadlines_of_the_body_in_place() {
        let found = every_checkpoint(|token: Token| {
            let timed = token.child_with_timeout(Duration::ZERO);
            assert_eq!(timed.token().deadline().is_some(), timed.token().remaining().is_some());
            drop(timed);
            let _ = token.check();
        });
        assert!(found >= 1);
    }
}

mod planted {
    use super::*;

    /// Takes every item off the queue, and puts it into the other one; one item at a time is
    /// in hand. Looks at the token before it takes one, and in the middle.
    fn move_all(
        token: &Token,
        from: &mut VecDeque<u32>,
        to: &mut Vec<u32>,
        give_back: bool,
    ) -> Result<(), Cancelled> {
        loop {
            token.check()?;
            let Some(item) = from.pop_front() else {
                return Ok(());
            };
            // Only with the third item is there anything to see.
            let seen = if item == 3 { token.check() } else { Ok(()) };
            if let Err(error) = seen {
                if give_back {
                    from.push_front(item);
                }
                return Err(error);
            }
            to.push(item);
        }
    }

    fn body(give_back: bool) -> impl FnMut(Token) {
        move |token| {
            let mut from = VecDeque::from([1, 2, 3, 4, 5]);
            let mut to = Vec::new();
            let _ = move_all(&token, &mut from, &mut to, give_back);
            to.extend(from);
            assert_eq!(to, [1, 2, 3, 4, 5], "planned: an item is lost");
        }
    }

    #[test]
    fn no_bug_is_found_where_there_is_none() {
        // Six looks before an item or the end, one in the middle of the third.
        assert_eq!(every_checkpoint(body(true)), 7);
    }

    #[test]
    fn an_item_that_is_lost_at_one_checkpoint_is_found() {
        let runs = Count::new();
        let mut body = body(false);
        let text = panic_of(|| {
            every_checkpoint(|token: Token| {
                runs.add();
                body(token);
            })
        });
        assert!(text.contains("an item is lost"), "{text}");
        assert_eq!(runs.get(), 4, "cancelled at the fourth look");
    }

    #[test]
    fn an_item_that_an_async_body_loses_is_found() {
        /// Loses what it has in hand if it is cancelled while it is pending.
        async fn hand_over(token: &Token, to: &Mutex<Vec<u32>>) -> Result<(), Cancelled> {
            for item in 0..3 {
                pending(1).or_cancelled(token).await?;
                lock(to).push(item);
            }
            Ok(())
        }

        let text = panic_of(|| {
            block_on(every_checkpoint_async(|token: Token| async move {
                let to = Mutex::new(Vec::new());
                let ended = hand_over(&token, &to).await.is_ok();
                let count = lock(&to).len();
                assert!(ended || count != 1, "planned: handed over one only");
            }))
        });
        assert!(text.contains("handed over one only"), "{text}");
    }
}

mod bounds {
    use super::*;

    /// Far more looks than any body has that is meant to end.
    const ENDLESS: usize = 20_000_000;
    const NOT_STOPPED: &str = "planned: nobody has stopped it";

    #[test]
    fn a_body_that_ignores_its_token_for_ever_panics_with_advice() {
        no_deadlock(|| {
            let text = panic_of(|| {
                every_checkpoint(|token: Token| {
                    for _ in 0..ENDLESS {
                        let _ = token.check();
                    }
                    panic!("{NOT_STOPPED}");
                })
            });
            assert_ne!(text, NOT_STOPPED);
            assert!(text.len() > 20, "advice: {text}");
        });
    }

    #[test]
    fn a_loop_that_stops_when_asked_but_never_by_itself_panics_with_advice() {
        no_deadlock(|| {
            let text = panic_of(|| every_checkpoint(|token: Token| while !token.is_cancelled() {}));
            assert!(text.len() > 20, "advice: {text}");
        });
    }

    #[test]
    fn an_async_body_that_ignores_its_token_for_ever_panics_with_advice() {
        no_deadlock(|| {
            let text = panic_of(|| {
                block_on(every_checkpoint_async(|token: Token| async move {
                    for _ in 0..ENDLESS / 10 {
                        let _ = token.check();
                        pending(1).await;
                    }
                    panic!("{NOT_STOPPED}");
                }))
            });
            assert_ne!(text, NOT_STOPPED);
            assert!(text.len() > 20, "advice: {text}");
        });
    }
}

mod async_bodies {
    use super::*;

    #[test]
    fn that_do_not_look() {
        let runs = Count::new();
        let found = block_on(every_checkpoint_async(|_token| {
            let runs = runs.clone();
            async move {
                pending(3).await;
                runs.add();
            }
        }));
        assert_eq!((found, runs.get()), (0, 1));
    }

    #[test]
    fn that_check() {
        let ended = Log::new();
        let found = block_on(every_checkpoint_async(|token: Token| {
            let ended = ended.clone();
            async move {
                let mut looks = 0;
                while looks < 4 && token.check().is_ok() {
                    looks += 1;
                    pending(1).await;
                }
                ended.push(looks);
            }
        }));
        assert_eq!(found, 4);
        assert_eq!(ended.take(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn whose_pending_polls_are_looks() {
        let failed = Count::new();
        let found = block_on(every_checkpoint_async(|token: Token| {
            let failed = failed.clone();
            async move {
                if token.run(pending(3)).await.is_err() {
                    failed.add();
                }
            }
        }));
        assert!(found >= 3, "three pending polls, found {found}");
        assert!(failed.get() >= 3 && failed.get() <= found, "failed {}", failed.get());
    }

    #[test]
    fn that_wait_for_their_token_alone() {
        no_deadlock(|| {
            let runs = Count::new();
            let found = block_on(every_checkpoint_async(|token: Token| {
                let runs = runs.clone();
                async move {
                    runs.add();
                    token.cancelled().await;
                }
            }));
            assert_eq!(found, 1);
            assert!(runs.get() <= 2, "{} runs", runs.get());
        });
    }

    #[test]
    fn on_a_current_thread_runtime_with_its_timers() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let stopped = Count::new();
        let found = runtime.block_on(every_checkpoint_async(|token: Token| {
            let stopped = stopped.clone();
            async move {
                let nap = tokio::time::sleep(Duration::from_millis(2));
                if nap.or_cancelled(&token).await.is_err() {
                    stopped.add();
                }
            }
        }));
        assert!(found >= 1);
        assert!(stopped.get() >= 1);
    }

    #[test]
    fn on_a_runtime_with_several_threads_and_tasks() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .expect("a runtime");
        let ended = Count::new();
        let found = runtime.block_on(every_checkpoint_async(|token: Token| {
            let ended = ended.clone();
            async move {
                let child = token.child();
                let task = tokio::spawn(async move {
                    for _ in 0..3 {
                        if child.token().check().is_err() {
                            return;
                        }
                        tokio::task::yield_now().await;
                    }
                });
                task.await.expect("no panic");
                ended.add();
            }
        }));
        assert_eq!((found, ended.get()), (3, 4));
    }

    #[test]
    fn whose_values_are_never_lost() {
        let received = Arc::new(Mutex::new(Vec::new()));
        let found = block_on(every_checkpoint_async(|token: Token| {
            let received = Arc::clone(&received);
            async move {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                sender.send(5).expect("the receiver is there");
                let mut receiver = pin!(receiver);
                let got = receiver.as_mut().or_cancelled(&token).await;
                let kept = matches!(got, Ok(Ok(5)))
                    || matches!(poll_once(receiver.as_mut()), Poll::Ready(Ok(5)));
                lock(&received).push(kept);
            }
        }));
        let received = lock(&received);
        assert_eq!(received.len(), found + 1);
        assert!(received.iter().all(|kept| *kept));
    }
}

#[test]
fn the_reason_is_one_that_code_can_see_anywhere() {
    // Whatever it is: it is stable over the runs, and not that of a deadline.
    let seen = Log::new();
    every_checkpoint(|token: Token| seen.push(steps(&token, 3).err().map(|error| error.reason())));
    let seen = seen.take();
    assert_eq!(seen.len(), 4);
    assert!(seen[..3].iter().all(|reason| *reason == seen[0] && reason.is_some()));
    assert_ne!(seen[0], Some(Reason::Deadline));
    assert_eq!(seen[3], None);
}

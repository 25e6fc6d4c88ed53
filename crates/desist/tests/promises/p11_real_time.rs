//! Promise 11 with the real timer: never early, hardly late.

use std::hint;
use std::pin::pin;
use std::thread;
use std::time::{Duration, Instant};

use desist::{Clock, Reason, Source, Token};

use crate::common::race::Random;
use crate::common::{Count, Gate, Log, PATIENCE, block_on, cause_of, no_deadlock};

/// Enough for the slowest machine.
const AMPLE: Duration = Duration::from_secs(30);

#[test]
fn a_deadline_never_fires_early() {
    no_deadlock(|| {
        let mut random = Random::new();
        let log = Log::new();
        let sources: Vec<Source> = (0..60)
            .map(|_| {
                let after = Duration::from_micros(500 + random.next() % 120_000);
                let source = Source::new();
                let token = source.token();
                let log = log.clone();
                let exact = Instant::now() + after;
                token
                    .on_cancel(move |cause| log.push((exact, cause.at(), Instant::now())))
                    .detach();
                source.cancel_after(after);
                source
            })
            .collect();
        for source in &sources {
            source.token().blocking_wait();
        }
        let over = Gate::new();
        let last = Source::with_timeout(Duration::from_millis(1));
        let open = over.clone();
        last.token().on_cancel(move |_| open.open()).detach();
        over.wait();
        for (exact, at, seen) in log.take() {
            assert!(at >= exact, "{:?} early", exact - at);
            assert!(seen >= at);
        }
    });
}

#[test]
fn a_deadline_is_never_before_the_time_that_was_asked_for() {
    // Of all lengths, over many ticks of whatever clock is read.
    for after in [1, 50, 99, 100, 101, 1_000, 30_000].map(Duration::from_millis) {
        let source = Source::new();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(60) {
            let before = Instant::now();
            source.cancel_after(after * 1_000);
            let deadline = source.token().deadline().expect("armed");
            let late = deadline.checked_duration_since(before + after * 1_000);
            assert!(late.is_some(), "{:?} early", before + after * 1_000 - deadline);
            let armed = Source::with_timeout(after);
            if let Some(deadline) = armed.token().deadline() {
                assert!(deadline >= before + after, "{:?} early", before + after - deadline);
            }
        }
    }
}

#[test]
fn a_deadline_given_as_an_instant_never_fires_early() {
    no_deadlock(|| {
        for micros in [1_u64, 100, 900, 1_000, 1_100, 3_900, 4_000, 4_100, 20_000] {
            let at = Instant::now() + Duration::from_micros(micros);
            let source = Source::with_deadline(at);
            let cause = source.token().blocking_wait();
            assert!(Instant::now() >= at && cause.at() >= at, "{micros} us");
            assert_eq!(cause.reason(), Reason::Deadline);
        }
    });
}

#[test]
fn a_deadline_is_hardly_late() {
    // The machine may be busy; the best of many tries tells whether the timer is.
    no_deadlock(|| {
        let lateness = (0..40).map(|_| {
            let source = Source::with_timeout(Duration::from_millis(5));
            let deadline = source.token().deadline().expect("armed");
            source.token().blocking_wait();
            Instant::now().saturating_duration_since(deadline)
        });
        let best = lateness.min().expect("there were tries");
        assert!(best < Duration::from_millis(5), "late by {best:?} at best");
    });
}

#[test]
fn the_countdown_starts_at_the_call() {
    no_deadlock(|| {
        let source = Source::with_timeout(Duration::from_secs(3_600));
        source.cancel_after(Duration::from_millis(10));
        let begin = Instant::now();
        source.token().blocking_wait();
        assert!(begin.elapsed() < AMPLE);
    });
}

#[test]
fn what_was_disarmed_in_time_does_not_fire() {
    no_deadlock(|| {
        let disarmed = Source::with_timeout(Duration::from_millis(300));
        let moved = Source::with_timeout(Duration::from_millis(300));
        disarmed.disarm();
        moved.cancel_after(AMPLE * 100);
        Source::with_timeout(Duration::from_millis(400)).token().blocking_wait();
        assert!(!disarmed.is_cancelled() && !moved.is_cancelled());
    });
}

#[test]
fn a_deadline_fires_without_any_handle_but_a_registration() {
    no_deadlock(|| {
        let over = Gate::new();
        let open = over.clone();
        let held =
            Source::with_timeout(Duration::from_millis(5)).token().on_cancel(move |_| open.open());
        over.wait();
        assert!(!held.unregister());
    });
}

#[test]
fn everybody_hears_of_a_deadline() {
    no_deadlock(|| {
        let source = Source::with_timeout(Duration::from_millis(30));
        let token = source.child().token();
        thread::scope(|scope| {
            let threads = [
                scope.spawn(|| token.blocking_wait().reason()),
                scope.spawn(|| block_on(token.cancelled()).reason()),
                scope.spawn(|| {
                    let stopped = token.blocking_sleep(AMPLE * 10);
                    stopped.expect_err("cancelled").reason()
                }),
                scope.spawn(|| {
                    let run = pin!(token.run(std::future::pending::<()>()));
                    block_on(run).expect_err("cancelled").reason()
                }),
            ];
            for thread in threads {
                assert_eq!(thread.join().expect("no panic"), Reason::Deadline);
            }
        });
    });
}

#[test]
fn a_blocking_wait_gives_up_after_its_own_time() {
    no_deadlock(|| {
        let patience = Duration::from_millis(20);
        for token in [Token::never(), Source::new().token(), Source::with_timeout(AMPLE).token()] {
            let begin = Instant::now();
            assert!(token.blocking_wait_timeout(patience).is_none());
            assert!(begin.elapsed() >= patience);
        }
        let source = Source::with_timeout(Duration::from_millis(5));
        let cause = source.token().blocking_wait_timeout(AMPLE);
        assert_eq!(cause.map(|c| c.reason()), Some(Reason::Deadline));
        let cause = source.token().blocking_wait_timeout(Duration::ZERO);
        assert!(cause.is_some(), "cancelled already");
        assert!(source.token().blocking_wait_timeout(Duration::MAX).is_some());
    });
}

#[test]
fn a_blocking_sleep_sleeps_or_is_cancelled() {
    no_deadlock(|| {
        let nap = Duration::from_millis(20);
        let source = Source::new();
        let begin = Instant::now();
        assert!(source.token().blocking_sleep(nap).is_ok());
        assert!(begin.elapsed() >= nap);
        assert!(Token::never().blocking_sleep(nap).is_ok());
        assert!(source.token().blocking_sleep(Duration::ZERO).is_ok());
        let begin = Instant::now();
        let error = thread::scope(|scope| {
            let sleeper = scope.spawn(|| source.token().blocking_sleep(AMPLE * 10));
            source.cancel_with(Reason::Disconnected);
            sleeper.join().expect("no panic").expect_err("cancelled")
        });
        assert_eq!(error.reason(), Reason::Disconnected);
        assert!(begin.elapsed() < AMPLE);
        assert!(source.token().blocking_sleep(Duration::MAX).is_err());
    });
}

#[test]
fn a_caller_and_the_timer_have_one_winner() {
    no_deadlock(|| {
        // Cancels at about the moment at which the timer fires: a little earlier after the timer
        // has won, a little later after it has not.
        let mut offset = 2_000_000_i64;
        let (mut timer, mut caller) = (0, 0);
        let begin = Instant::now();
        while timer < 15 || caller < 15 {
            assert!(begin.elapsed() < PATIENCE, "timer {timer}, caller {caller}");
            let called = Count::new();
            let count = called.clone();
            let source = Source::with_timeout(Duration::from_millis(2));
            let over = Gate::new();
            let open = over.clone();
            source
                .token()
                .on_cancel(move |_| {
                    count.add();
                    open.open();
                })
                .detach();
            let armed = Instant::now();
            while i64::try_from(armed.elapsed().as_nanos()).is_ok_and(|spent| spent < offset) {
                hint::spin_loop();
            }
            let won = source.cancel();
            let expected = if won { Reason::Requested } else { Reason::Deadline };
            assert_eq!(source.token().reason(), Some(expected));
            over.wait();
            assert_eq!(called.get(), 1);
            if won {
                (caller, offset) = (caller + 1, offset + 100_000);
            } else {
                (timer, offset) = (timer + 1, (offset - 100_000).max(0));
            }
        }
    });
}

#[test]
fn deadlines_armed_from_many_threads_all_come() {
    no_deadlock(|| {
        let sources: Vec<Source> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4_u64)
                .map(|thread| {
                    scope.spawn(move || {
                        (0..200)
                            .map(|n| {
                                let source = Source::with_clock(Clock::system());
                                source.cancel_after(Duration::from_micros(n * 137 + thread));
                                source
                            })
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        for source in &sources {
            assert_eq!(source.token().blocking_wait().reason(), Reason::Deadline);
        }
    });
}

#[test]
fn the_timer_starts_again_after_it_had_nothing_to_do() {
    no_deadlock(|| {
        for _ in 0..5 {
            let source = Source::with_timeout(Duration::from_millis(2));
            let cause = source.token().blocking_wait();
            assert_eq!(cause.at(), cause_of(&source.token()).at());
            drop(source);
            thread::sleep(Duration::from_millis(10));
        }
    });
}

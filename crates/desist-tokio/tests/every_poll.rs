//! Cancelled at every look, and every wait given up at every poll: nothing received
//! is lost, no permit leaks, and what is cancelled stays so.

mod common;
#[path = "every_poll/cut.rs"]
mod cut;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use common::{Count, Dropped, current_thread, multi_thread, on, poll_once};
use cut::{Cut, given_up_at_every_poll};
use desist::testing::every_checkpoint_async;
use desist::{FutureExt, Token};
use desist_tokio::{StreamExt, TaskGroup, current, interval, shield, sleep, timeout, with_current};
use futures_core::Stream;
use tokio::sync::{Mutex, Semaphore, broadcast, mpsc, oneshot, watch};

const NUMBERS: std::ops::Range<u32> = 0..20;

/// Runs `body` once for every look at its token, cancelled there, on both kinds
/// of runtime, and then once for every poll of its waits, given up there.
fn at_every_point<F, W>(body: F)
where
    F: Fn(Token, Cut) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let cuts = Count::new();
    for runtime in [current_thread(), multi_thread()] {
        let (body, cuts) = (body.clone(), cuts.clone());
        on(runtime, async move {
            let checkpoints = every_checkpoint_async(|token| body(token, Cut::never())).await;
            assert!(checkpoints > 1, "it looks at its token: {checkpoints}");
            given_up_at_every_poll(&body).await.then(|| cuts.add());
        });
    }
    // Where others run beside it, all may be ready when it comes to its waits.
    assert!(cuts.get() > 0, "it waits nowhere");
}

/// The harness sees what it is there for.
#[test]
#[should_panic(expected = "lost")]
fn a_wait_that_loses_what_it_took_is_caught() {
    on(current_thread(), given_up_where_it_loses());
}

async fn given_up_where_it_loses() {
    given_up_at_every_poll(&|_, cut: Cut| async move {
        let (sender, mut receiver) = mpsc::channel(1);
        sender.send(1).await.unwrap();
        let lossy = async {
            let taken = receiver.recv().await;
            tokio::task::yield_now().await;
            taken
        };
        let got = cut.wait(lossy).await.flatten();
        drop(sender);
        assert!(got.is_some() || receiver.recv().await.is_some(), "lost");
    })
    .await;
    unreachable!("it was not caught");
}

#[test]
#[should_panic(expected = "the permit")]
fn a_wait_that_keeps_what_woke_it_is_caught() {
    on(current_thread(), given_up_with_the_permit());
}

/// It leaks what it was given when it is dropped between the wake and the poll.
async fn given_up_with_the_permit() {
    given_up_at_every_poll(&|_, cut: Cut| async move {
        let permits = Arc::new(Semaphore::new(0));
        let giver = Arc::clone(&permits);
        tokio::spawn(async move { giver.add_permits(1) });
        let leaky = async {
            let mut acquire = std::mem::ManuallyDrop::new(Box::pin(permits.acquire()));
            acquire.as_mut().await.map(|permit| permit.forget())
        };
        let got = cut.wait(leaky).await;
        tokio::task::yield_now().await;
        assert!(got.is_some() || permits.available_permits() == 1, "the permit");
    })
    .await;
    unreachable!("it was not caught");
}

/// A producer that yields now and then, so that receivers wait.
async fn produce(sender: mpsc::Sender<u32>) {
    for number in NUMBERS {
        if number % 3 == 0 {
            tokio::task::yield_now().await;
        }
        if sender.send(number).await.is_err() {
            return;
        }
    }
}

#[test]
fn mpsc_nothing_received_is_lost() {
    at_every_point(|token, cut| async move {
        let (sender, mut receiver) = mpsc::channel(4);
        let producer = tokio::spawn(produce(sender));
        let mut received = Vec::new();
        while let Some(Ok(Some(number))) = cut.wait(receiver.recv().or_cancelled(&token)).await {
            received.push(number);
        }
        // What was not received is still there, in its order.
        while let Some(number) = receiver.recv().await {
            received.push(number);
        }
        producer.await.unwrap();
        assert!(received.into_iter().eq(NUMBERS));
    });
}

#[test]
fn mpsc_nothing_is_lost_in_a_stream_until_cancelled() {
    struct Received(mpsc::Receiver<u32>);
    impl Stream for Received {
        type Item = u32;
        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u32>> {
            self.0.poll_recv(cx)
        }
    }
    at_every_point(|token, cut| async move {
        let (sender, receiver) = mpsc::channel(4);
        let producer = tokio::spawn(produce(sender));
        let mut stream = Received(receiver).until_cancelled(&token);
        let mut received = Vec::new();
        while let Some(Some(number)) =
            cut.wait(poll_fn(|cx| Pin::new(&mut stream).poll_next(cx))).await
        {
            received.push(number);
        }
        let is_cut = token.is_cancelled() || cut.was_made();
        assert!(is_cut || received.len() == NUMBERS.len());
        let mut rest = stream.into_inner().0;
        while let Some(number) = rest.recv().await {
            received.push(number);
        }
        producer.await.unwrap();
        assert!(received.into_iter().eq(NUMBERS));
    });
}

#[test]
fn mpsc_nothing_sent_is_lost_where_the_place_is_reserved() {
    at_every_point(|token, cut| async move {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut orders: VecDeque<u32> = NUMBERS.collect();
        let consumer = tokio::spawn(async move {
            let mut received = Vec::new();
            while let Some(number) = receiver.recv().await {
                tokio::task::yield_now().await;
                received.push(number);
            }
            received
        });
        while !orders.is_empty() {
            let reserved = cut.wait(sender.reserve().or_cancelled(&token)).await;
            let Some(Ok(place)) = reserved else { break };
            place.unwrap().send(orders.pop_front().unwrap());
        }
        drop(sender);
        let received = consumer.await.unwrap();
        assert!(received.into_iter().chain(orders).eq(NUMBERS));
    });
}

#[test]
fn oneshot_an_answer_outlives_the_wait() {
    at_every_point(|token, cut| async move {
        let (sender, mut receiver) = oneshot::channel();
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            sender.send(7).unwrap();
        });
        let waited = cut.wait((&mut receiver).or_cancelled(&token)).await;
        let answer = match waited {
            Some(Ok(answer)) => answer,
            _ => receiver.await,
        };
        assert_eq!(answer, Ok(7));
        let _ = token.check();
    });
}

#[test]
fn broadcast_nothing_received_is_lost() {
    at_every_point(|token, cut| async move {
        let (sender, mut receiver) = broadcast::channel(64);
        let producer = tokio::spawn(async move {
            for number in NUMBERS {
                sender.send(number).unwrap_or_default();
                tokio::task::yield_now().await;
            }
        });
        let mut received = Vec::new();
        while let Some(Ok(Ok(number))) = cut.wait(receiver.recv().or_cancelled(&token)).await {
            received.push(number);
        }
        while let Ok(number) = receiver.recv().await {
            received.push(number);
        }
        producer.await.unwrap();
        assert!(received.into_iter().eq(NUMBERS));
    });
}

#[test]
fn watch_a_change_that_was_not_seen_is_still_a_change() {
    at_every_point(|token, cut| async move {
        let (sender, mut receiver) = watch::channel(0);
        let writer = tokio::spawn(async move {
            for number in 1..=5 {
                tokio::task::yield_now().await;
                sender.send(number).unwrap_or_default();
            }
            sender
        });
        let mut last = 0;
        while last < 5 {
            match cut.wait(receiver.changed().or_cancelled(&token)).await {
                Some(Ok(changed)) => changed.unwrap(),
                _ => break,
            }
            last = *receiver.borrow_and_update();
        }
        let sender = writer.await.unwrap();
        if last < 5 {
            receiver.changed().await.unwrap();
            last = *receiver.borrow_and_update();
        }
        assert_eq!(last, 5);
        drop(sender);
    });
}

#[test]
fn semaphore_no_permit_leaks() {
    at_every_point(|token, cut| {
        let permits = Arc::new(Semaphore::new(2));
        async move {
            let others: Vec<_> = (0..3)
                .map(|_| {
                    let permits = Arc::clone(&permits);
                    tokio::spawn(async move {
                        let _permit = permits.acquire().await.unwrap();
                        tokio::task::yield_now().await;
                    })
                })
                .collect();
            for wanted in [1, 2, 1] {
                let permit = cut.wait(permits.acquire_many(wanted).or_cancelled(&token)).await;
                tokio::task::yield_now().await;
                drop(permit);
            }
            for other in others {
                other.await.unwrap();
            }
            assert_eq!(permits.available_permits(), 2);
        }
    });
}

#[test]
fn a_lock_is_not_held_by_who_gave_up() {
    at_every_point(|token, cut| async move {
        let lock = Arc::new(Mutex::new(0));
        let other = tokio::spawn({
            let lock = Arc::clone(&lock);
            async move {
                *lock.lock().await += 1;
            }
        });
        for _ in 0..3 {
            if let Some(Ok(mut held)) = cut.wait(lock.lock().or_cancelled(&token)).await {
                tokio::task::yield_now().await;
                *held += 1;
            }
        }
        other.await.unwrap();
        assert!(lock.try_lock().is_ok());
    });
}

#[test]
fn no_tick_of_an_interval_is_taken_in_vain() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let second = Duration::from_secs(1);
    let body = |token: Token, cut: Cut| async move {
        let begin = tokio::time::Instant::now();
        let mut ticks = interval(second, &token);
        let mut given = 0;
        while given < 5 {
            // Given up, the tick is still to come.
            let Some(ticked) = cut.wait(ticks.tick()).await else { continue };
            let Ok(tick) = ticked else { break };
            assert_eq!(tick, begin + second * given);
            given += 1;
        }
    };
    runtime.block_on(async {
        every_checkpoint_async(|token| body(token, Cut::never())).await;
        assert!(given_up_at_every_poll(&body).await);
    });
}

#[test]
fn sleeps_and_timeouts_end_where_they_are_cancelled() {
    at_every_point(|token, cut| async move {
        for _ in 0..3 {
            let slept = cut.wait(sleep(Duration::from_micros(1), &token)).await;
            assert!(slept.is_none_or(|slept| slept.is_ok()) || token.is_cancelled());
        }
        let inside = Count::new();
        let held = Dropped(inside.clone());
        let done = timeout(Duration::from_secs(60), &token, |inner| async move {
            let _held = held;
            tokio::task::yield_now().await;
            inner.check()
        });
        let done = cut.wait(done).await;
        assert_eq!(inside.get(), 1, "the work goes with whoever waits for it");
        let done = done.is_none_or(|done| done.is_ok_and(|inner| inner.is_ok()));
        assert!(done || token.is_cancelled());
    });
}

/// Whatever happens to whoever raised it, a shield finishes.
#[test]
fn a_shield_finishes_wherever_its_task_is_cancelled_or_dropped() {
    at_every_point(|token, cut| async move {
        let (tell, told) = oneshot::channel();
        let (raise, raised) = oneshot::channel();
        let work = async {
            token.run(tokio::task::yield_now()).await?;
            raise.send(()).unwrap();
            let cleanup = shield(async move {
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                tell.send("clean").unwrap_or_default();
            });
            token.run(cleanup).await?.unwrap();
            token.check()
        };
        let _ = cut.wait(work).await;
        if raised.await.is_ok() {
            assert_eq!(told.await.unwrap(), "clean");
        }
    });
}

#[test]
fn a_shield_that_is_dropped_at_once_finishes() {
    for runtime in [current_thread(), multi_thread()] {
        on(runtime, async {
            let (tell, told) = oneshot::channel();
            {
                let mut raised = pin!(async {
                    shield(async move { tell.send(()).unwrap() }).await.unwrap();
                });
                let _ = poll_once(raised.as_mut());
            }
            told.await.unwrap();
        });
    }
}

/// Whoever waits for a group and is cancelled or dropped, at whatever point, has
/// taken nothing that he did not get.
#[test]
fn a_group_loses_no_outcome_with_whoever_waits_for_it() {
    at_every_point(|token, cut| async move {
        let group = TaskGroup::new().returning::<u32>();
        for number in NUMBERS {
            group.spawn("task", move |_stop| async move {
                tokio::task::yield_now().await;
                number
            });
        }
        let mut got = Vec::new();
        for _ in 0..5 {
            let Some(Ok(ended)) = cut.wait(token.run(group.next())).await else { break };
            got.extend(ended);
        }
        if let Some(Ok(all)) = cut.wait(token.run(group.join())).await {
            got.extend(all);
        }
        got.extend(group.join().await);
        let mut numbers: Vec<_> =
            got.into_iter().filter_map(|ended| ended.into_outcome().finished()).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(NUMBERS));
    });
}

/// A stop that is given up leaves the group as it is, and the next one ends it.
#[test]
fn a_group_is_stopped_however_often_that_was_given_up() {
    at_every_point(|token, cut| async move {
        let group = TaskGroup::new();
        group.spawn("heeds", |stop| async move {
            stop.token().await;
        });
        tokio::task::yield_now().await;
        let _ = token.check();
        let given_up = cut.wait(token.run(group.stop(Duration::from_secs(60)))).await;
        let report = match given_up {
            Some(Ok(report)) => report,
            _ => group.stop(Duration::from_secs(60)).await,
        };
        assert!(report.is_clean() && group.is_empty(), "{report}");
    });
}

/// The ambient token is gone, wherever the future inside was left.
#[test]
fn nothing_is_around_whoever_left_a_scope() {
    at_every_point(|token, cut| async move {
        let scope = with_current(&token, async {
            tokio::task::yield_now().await;
            current().run(tokio::task::yield_now()).await?;
            current().check()
        });
        let _ = cut.wait(scope).await;
        let _ = token.check();
        assert_eq!(current(), Token::never());
    });
}

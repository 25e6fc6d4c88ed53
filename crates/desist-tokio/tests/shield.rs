//! Cleanup that goes on, for as long as its bound allows.

mod common;

use std::future::{pending, poll_fn};
use std::task::Poll;
use std::time::Duration;

use common::{Count, Dropped, on_both};
use desist::{Reason, Source, Token};
use desist_tokio::{
    Outcome, SHIELD_BOUND, TaskGroup, current, shield, shield_for, sleep, with_current,
};
use tokio::sync::oneshot;

on_both! {
    async fn it_gives_its_value() {
        assert_eq!(shield(async { 7 }).await.unwrap(), 7);
    }

    async fn it_begins_without_a_poll() {
        let (tell, told) = oneshot::channel();
        let raised = shield(async move { tell.send(()).unwrap() });
        told.await.unwrap();
        raised.await.unwrap();
    }

    async fn it_goes_on_where_its_task_is_cancelled() {
        let source = Source::new();
        let (begun, has_begun) = oneshot::channel();
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let token = source.token();
        let task = tokio::spawn(async move {
            token.run(async {
                shield(async move {
                    begun.send(()).unwrap();
                    gone.await.unwrap();
                    tell.send("clean").unwrap();
                }).await
            }).await.map(drop)
        });
        has_begun.await.unwrap();
        source.cancel();
        assert!(task.await.unwrap().is_err());
        go.send(()).unwrap();
        assert_eq!(told.await.unwrap(), "clean");
    }

    async fn it_goes_on_where_its_task_is_aborted() {
        let (begun, has_begun) = oneshot::channel();
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let task = tokio::spawn(async move {
            let raised = shield(async move {
                begun.send(()).unwrap();
                gone.await.unwrap();
                tell.send("clean").unwrap();
            });
            pending::<()>().await;
            raised.await.unwrap();
        });
        has_begun.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        assert_eq!(told.await.unwrap(), "clean");
    }

    async fn it_can_be_raised_in_a_destructor() {
        struct Connection(Option<oneshot::Sender<()>>);
        impl Drop for Connection {
            fn drop(&mut self) {
                let bye = self.0.take().unwrap();
                shield(async move { tokio::task::yield_now().await; bye.send(()).unwrap() }).detach();
            }
        }
        let (tell, told) = oneshot::channel();
        drop(Connection(Some(tell)));
        told.await.unwrap();
    }

    async fn nothing_around_it_cancels_its_token_and_its_bound_is_seen() {
        let source = Source::new();
        let seen = with_current(source.token(), async {
            source.cancel();
            assert!(current().is_cancelled());
            shield(async { (current().is_cancelled(), current().remaining().unwrap()) }).await.unwrap()
        });
        let (cancelled, remaining) = seen.await;
        assert!(!cancelled && remaining <= SHIELD_BOUND && remaining > SHIELD_BOUND / 2);
    }

    async fn when_the_bound_is_over_it_is_dropped_and_whoever_waits_is_told() {
        let drops = Count::new();
        let held = Dropped(drops.clone());
        let line = line!() + 1;
        let raised = shield_for(Duration::from_millis(5), async move {
            let _held = held;
            pending::<()>().await;
        });
        let cancelled = raised.await.unwrap_err();
        assert_eq!(cancelled.reason(), Reason::Deadline);
        assert_eq!((cancelled.origin().line(), cancelled.origin().file().ends_with("shield.rs")), (line, true));
        assert_eq!(drops.get(), 1, "dropped before whoever waits is told");
    }

    async fn it_has_a_last_word_when_its_bound_is_over() {
        let raised = shield_for(Duration::from_millis(5), async {
            current().await.reason()
        });
        assert_eq!(raised.await.unwrap(), Reason::Deadline);
    }

    async fn a_bound_of_zero_is_one_poll() {
        let quick = shield_for(Duration::ZERO, async { current().reason() });
        assert_eq!(quick.await.unwrap(), Some(Reason::Deadline));
        let polls = Count::new();
        let counted = polls.clone();
        let slow = shield_for(Duration::ZERO, poll_fn(move |_| { counted.add(); Poll::<()>::Pending }));
        assert_eq!(slow.await.unwrap_err().reason(), Reason::Deadline);
        assert!(polls.get() > 0);
    }

    /// The runtime comes to it only when its bound is over.
    async fn it_has_its_poll_however_late_that_is() {
        let raised = {
            let raised = shield_for(Duration::from_millis(1), async { current().is_cancelled() });
            std::thread::sleep(Duration::from_millis(10));
            raised
        };
        raised.await.expect("it was ready when it was polled");
    }

    async fn a_panic_in_its_destructor_is_told_also_where_its_bound_was_over() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("in the destructor");
            }
        }
        let group = TaskGroup::new();
        group.spawn("task", |_| async {
            let bomb = Bomb;
            shield_for(Duration::from_millis(1), async move {
                let _held = bomb;
                pending::<()>().await;
            })
            .detach();
        });
        let said: Vec<_> = group.join().await.iter().map(ToString::to_string).collect();
        assert_eq!(said[1], "task `shield` panicked: in the destructor");
    }

    async fn its_panic_goes_on_in_whoever_waits() {
        let waiting = tokio::spawn(async { shield(async { panic!("no paper") }).await.unwrap() });
        let panic = waiting.await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"no paper"));
    }

    async fn one_that_nobody_awaits_is_not_lost_to_its_group() {
        let group = TaskGroup::new();
        group.spawn("worker", |_| async {
            shield_for(Duration::from_millis(5), pending::<()>()).detach();
            shield(async { panic!("no paper") }).detach();
            shield(async {}).detach();
        });
        let ended = group.join().await;
        let shields: Vec<_> = ended.iter().filter(|ended| ended.name() == "shield").collect();
        assert_eq!(shields.len(), 2, "{ended:?}");
        assert!(shields.iter().any(|ended| matches!(ended.outcome(), Outcome::Overdue)));
        assert!(shields.iter().any(|ended| matches!(ended.outcome(), Outcome::Panicked(_))));
        assert!(shields.iter().all(|ended| ended.place().file().ends_with("tests/shield.rs")));
    }

    async fn one_that_ended_and_was_never_asked_is_not_lost_to_its_group() {
        let group = TaskGroup::new();
        group.spawn("worker", |_| async {
            let raised = shield(async { panic!("no paper") });
            // Until it has ended; then it is dropped, with its end in it.
            while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 2 {
                tokio::task::yield_now().await;
            }
            drop::<desist_tokio::Shield<()>>(raised);
        });
        let ended = group.join().await;
        assert!(ended.iter().any(|ended| ended.name() == "shield"), "{ended:?}");
    }

    async fn the_group_waits_for_one_inside_another() {
        let (tell, mut told) = oneshot::channel();
        let group = TaskGroup::new();
        group.spawn("worker", |_| async {
            shield(async {
                shield(async {
                    tokio::task::yield_now().await;
                    tell.send(()).unwrap();
                }).detach();
            }).detach();
        });
        group.join().await;
        assert!(told.try_recv().is_ok());
    }

    async fn a_destructor_inside_has_the_shield_around_it() {
        struct Asks(Option<oneshot::Sender<bool>>);
        impl Drop for Asks {
            fn drop(&mut self) {
                self.0.take().unwrap().send(current().can_be_cancelled()).unwrap();
            }
        }
        let (tell, told) = oneshot::channel();
        let asks = Asks(Some(tell));
        shield(async move { let _asks = asks; }).await.unwrap();
        assert!(told.await.unwrap());
    }
}

#[test]
fn a_runtime_that_is_shut_down_is_said() {
    let (first, second) = (common::current_thread(), common::current_thread());
    let raised = {
        let _inside = first.enter();
        shield(pending::<()>())
    };
    drop(first);
    let cancelled = second.block_on(raised).unwrap_err();
    assert_eq!(cancelled.reason(), Reason::Shutdown);
    assert!(cancelled.detail().unwrap().to_string().contains("runtime"));
}

#[tokio::test(start_paused = true)]
async fn its_bound_follows_the_paused_time() {
    let begin = tokio::time::Instant::now();
    let raised = shield(async { sleep(SHIELD_BOUND * 2, &Token::never()).await });
    assert_eq!(raised.await.unwrap_err().reason(), Reason::Deadline);
    assert!(begin.elapsed() >= SHIELD_BOUND && begin.elapsed() < SHIELD_BOUND * 2);
}

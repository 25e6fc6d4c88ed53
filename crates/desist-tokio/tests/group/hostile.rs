//! Code of the user that panics where it should not: nobody is kept by it.

use std::future::pending;

use desist::Reason;
use desist_tokio::{OnFailure, Outcome, TaskGroup};
use tokio::sync::oneshot;

use super::on_both;
use super::outcomes::named;
use crate::common::{self, Count, Dropped};

on_both! {
    async fn a_panic_in_a_destructor_is_a_panic_of_the_task() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("in the destructor");
            }
        }
        let group = TaskGroup::new();
        group.spawn("bomb", |_| async { let _bomb = Bomb; });
        let bomb = Bomb;
        group.spawn("holds it", move |_| { let bomb = bomb; async move { let _held = &bomb; } });
        for ended in group.join().await {
            assert!(matches!(ended.outcome(), Outcome::Panicked(_) | Outcome::CancelledBeforeStart(_)), "{ended}");
        }
    }

    async fn an_error_whose_own_code_panics_keeps_nobody() {
        struct Hostile;
        impl From<Hostile> for Box<dyn std::error::Error + Send + Sync> {
            fn from(_: Hostile) -> Self {
                panic!("in the conversion")
            }
        }
        #[derive(Debug)]
        struct Unspeakable;
        impl std::fmt::Display for Unspeakable {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                panic!("in the words")
            }
        }
        impl std::error::Error for Unspeakable {}
        let group = TaskGroup::new().on_failure(OnFailure::Continue);
        group.spawn("hostile", |_| async { Err::<(), _>(Hostile) });
        let ended = group.join().await;
        assert!(matches!(named(&ended, "hostile"), Outcome::Panicked(_)));
        let group = TaskGroup::new();
        group.spawn("unspeakable", |_| async { Err(Unspeakable) });
        let ended = group.join().await;
        assert!(matches!(named(&ended, "unspeakable"), Outcome::Failed(error) if error.is::<Unspeakable>()));
        let cause = group.signal().cancellation().expect("it is a failure, whatever it says");
        assert_eq!(cause.detail().unwrap().to_string(), "task `unspeakable` failed");
    }

    async fn a_callback_that_panics_at_a_failure_keeps_nobody() {
        let group = TaskGroup::new();
        group.signal().on_cancel(|_| panic!("in the callback")).detach();
        group.spawn("fails", |_| async { Err("no ink") });
        assert_eq!(group.join().await.len(), 1);
        assert_eq!(group.signal().reason(), Some(Reason::SiblingFailed));
    }

    async fn a_payload_that_panics_when_it_is_dropped_keeps_nobody() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                if !std::thread::panicking() {
                    panic!("in the payload");
                }
            }
        }
        let group = TaskGroup::new();
        group.signal().on_cancel(|_| std::panic::panic_any(Bomb)).detach();
        group.spawn("panics", |_| async { std::panic::panic_any(Bomb) });
        drop(group.join().await);
        assert!(group.is_empty() && group.signal().is_cancelled());
    }

    /// They are aborted, although the cancel does not come back.
    async fn a_callback_that_panics_when_a_group_is_dropped_keeps_nobody() {
        let group = TaskGroup::new();
        let (drops, (begun, has_begun)) = (Count::new(), oneshot::channel());
        let held = Dropped(drops.clone());
        group.signal().on_cancel(|_| panic!("in the callback")).detach();
        group.spawn("deaf", |_| async move {
            let _held = held;
            begun.send(()).unwrap();
            pending::<()>().await;
        });
        has_begun.await.unwrap();
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(group)));
        assert!(dropped.is_err(), "the panic goes on in whoever dropped it");
        common::until("it is dropped", || drops.get() == 1).await;
    }

    async fn a_value_that_panics_when_it_is_dropped_keeps_nobody() {
        struct Bomb(Count);
        impl Drop for Bomb {
            fn drop(&mut self) {
                self.0.add();
                if !std::thread::panicking() {
                    panic!("in the value");
                }
            }
        }
        let drops = Count::new();
        let group = TaskGroup::new().returning::<Bomb>().forget_finished();
        for _ in 0..3 {
            let bomb = Bomb(drops.clone());
            group.spawn("forgotten", move |_| async move { bomb });
        }
        assert!(group.join().await.is_empty());
        common::until("all are dropped", || drops.get() == 3).await;
        // Kept, and then left with the group: its tasks are told all the same.
        let group = TaskGroup::new().returning::<Bomb>();
        let token = group.signal().token().clone();
        let bomb = Bomb(drops.clone());
        group.spawn("kept", move |_| async move { bomb });
        common::until("it has ended", || group.is_empty()).await;
        let dropping = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(group)));
        assert!(dropping.is_err() && token.reason() == Some(Reason::Dropped));
    }

    async fn what_was_captured_and_panics_when_it_goes_is_a_panic_of_its_task() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("in what was captured");
            }
        }
        let group = TaskGroup::new();
        group.cancel();
        let (first, second) = (Bomb, Bomb);
        group.spawn("late", move |_| async move { drop(first) });
        group.spawn_blocking("late", move |_| drop(second));
        for ended in group.join().await {
            assert!(matches!(ended.outcome(), Outcome::Panicked(_)), "{ended}");
        }
    }
}

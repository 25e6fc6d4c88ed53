//! The ambient token.

mod common;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use common::{on_both, poll_once};
use desist::{Reason, Source, Token};
use desist_tokio::{StopSource, TaskGroup, current, with_current};
use tokio::sync::oneshot;

on_both! {
    async fn there_is_none_at_first() {
        assert_eq!(current(), Token::never());
    }

    async fn it_is_there_inside_and_gone_outside_at_every_poll() {
        let source = Source::new();
        let token = source.token();
        let mut polls = 0;
        let inside = poll_fn(|cx| {
            assert_eq!(current(), token);
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        });
        let mut scope = pin!(with_current(&token, inside));
        while poll_once(scope.as_mut()).is_pending() {
            assert_eq!(current(), Token::never());
        }
    }

    async fn the_outer_one_counts_too_unless_it_is_replaced() {
        let (outer, inner) = (Source::new(), Source::new());
        let merged = with_current(outer.token(), with_current(inner.token(), async { current() })).await;
        let alone = with_current(outer.token(), with_current(inner.token(), async { current() }).replacing()).await;
        assert_eq!(alone, inner.token());
        outer.cancel_with(Reason::Disconnected);
        assert_eq!(merged.reason(), Some(Reason::Disconnected));
        assert!(!alone.is_cancelled());
    }

    async fn both_cancelled_the_inner_one_is_named() {
        let (outer, inner) = (Source::new(), Source::new());
        outer.cancel_with(Reason::Shutdown);
        inner.cancel_with(Reason::Superseded);
        let merged = with_current(outer.token(), with_current(inner.token(), async { current() })).await;
        assert_eq!(merged.reason(), Some(Reason::Superseded));
    }

    async fn it_is_there_for_destructors_too() {
        struct Asks(Option<oneshot::Sender<Token>>);
        impl Drop for Asks {
            fn drop(&mut self) {
                self.0.take().unwrap().send(current()).unwrap();
            }
        }
        let source = Source::new();
        let (tell, told) = oneshot::channel();
        let asks = Asks(Some(tell));
        {
            let mut scope = pin!(with_current(source.token(), async move {
                let _asks = asks;
                std::future::pending::<()>().await;
            }));
            assert!(poll_once(scope.as_mut()).is_pending());
        }
        assert_eq!(told.await.unwrap(), source.token());
        assert_eq!(current(), Token::never());
    }

    async fn a_panic_inside_leaves_nothing_behind() {
        let source = Source::new();
        let token = source.token();
        let scope = with_current(token, async { panic!("inside") });
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll_once(pin!(scope).as_mut())));
        assert!(caught.is_err());
        assert_eq!(current(), Token::never());
    }

    async fn a_plain_spawn_has_none_and_a_group_hands_it_on() {
        let source = Source::new();
        let token = source.token();
        with_current(&token, async {
            assert_eq!(tokio::spawn(async { current() }).await.unwrap(), Token::never());
            let group = TaskGroup::new().returning::<Token>();
            group.spawn("child", |_| async { current() });
            group.spawn_blocking("blocking child", |_| current());
            let ended = group.join().await;
            assert_eq!(ended.len(), 2);
            source.cancel_with(Reason::Disconnected);
            for ended in ended {
                let current = ended.into_outcome().finished().expect("it has it");
                assert_eq!(current.reason(), Some(Reason::Disconnected));
            }
        })
        .await;
    }

    /// Of a group that was made elsewhere: whoever spawns gives his own along.
    async fn whoever_spawns_gives_his_token_along_to_any_work() {
        let group = TaskGroup::new().returning::<Token>();
        let scope = Source::new();
        with_current(scope.token(), async {
            group.spawn("task", |_| async { current() });
            group.spawn_blocking("blocking", |_| current());
        })
        .await;
        let ended = group.join().await;
        assert_eq!(ended.len(), 2);
        scope.cancel_with(Reason::Disconnected);
        for ended in ended {
            let around = ended.into_outcome().finished().expect("it has it");
            assert_eq!(around.reason(), Some(Reason::Disconnected));
        }
    }

    async fn it_is_there_for_destructors_of_a_task_that_has_ended() {
        struct Asks(Option<oneshot::Sender<Token>>);
        impl Drop for Asks {
            fn drop(&mut self) {
                self.0.take().unwrap().send(current()).unwrap();
            }
        }
        let group = TaskGroup::new();
        let (tell, told) = oneshot::channel();
        let asks = Asks(Some(tell));
        group.spawn("task", move |_| poll_fn(move |_| { let _held = &asks; Poll::Ready(()) }));
        assert_eq!(told.await.unwrap(), *group.signal().token());
        group.join().await;
    }

    async fn an_explicit_token_beats_the_ambient_one() {
        let (ambient, explicit) = (Source::new(), Source::new());
        let waited = with_current(ambient.token(), async {
            ambient.cancel();
            desist_tokio::sleep(std::time::Duration::ZERO, &explicit.token()).await
        });
        assert!(waited.await.is_ok());
        let group = with_current(ambient.token(), async { TaskGroup::under(explicit.token()) }).await;
        assert!(!group.signal().is_cancelled());
    }

    async fn whatever_has_a_token_can_be_given() {
        let source = StopSource::new();
        let stop = source.stop();
        assert_eq!(with_current(&stop, async { current() }).await, *stop.token());
        assert_eq!(with_current(stop.clone(), async { current() }).await, *stop.token());
        assert_eq!(with_current(stop.token(), async { current() }).await, *stop.token());
    }

    async fn a_future_that_moves_to_another_thread_takes_it_along() {
        let source = Source::new();
        let token = source.token();
        let mut scope = Box::pin(with_current(&token, async {
            tokio::task::yield_now().await;
            current()
        }));
        assert!(poll_once(scope.as_mut()).is_pending());
        let seen = tokio::spawn(scope).await.unwrap();
        assert_eq!(seen, token);
    }
}

/// A `LocalSet` that is driven inside is a part of what drives it, as it is for
/// tokio's own task-locals; and a group made inside one has its tasks outside.
#[test]
fn a_local_set_has_what_is_around_whoever_drives_it() {
    let runtime = common::current_thread();
    let (around, seen) = (Source::new(), std::rc::Rc::new(std::cell::RefCell::new(Vec::new())));
    let local = tokio::task::LocalSet::new();
    let inside = {
        let seen = std::rc::Rc::clone(&seen);
        local.run_until(async move {
            let local_task = tokio::task::spawn_local(async move {
                seen.borrow_mut().push(current());
                let group = TaskGroup::new();
                group.spawn("one", |stop| async move {
                    stop.token().await;
                });
                // The group of a task of the set is below what is around it.
                group.join().await.pop().map(|ended| ended.outcome().is_failure())
            });
            tokio::task::yield_now().await;
            local_task.await.unwrap()
        })
    };
    runtime.block_on(async {
        let mut work = pin!(with_current(around.token(), inside));
        assert!(poll_once(work.as_mut()).is_pending());
        around.cancel();
        assert_eq!(work.await, Some(false));
        assert_eq!(current(), Token::never());
    });
    assert_eq!(*seen.borrow(), [around.token()]);
}

/// The worker goes on with other tasks elsewhere, and they have their own.
#[test]
fn a_task_that_blocks_in_place_keeps_its_own_and_gives_it_to_nobody() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    common::on(runtime, async {
        let (mine, other) = (Source::new(), Source::new());
        let (ask, asked) = oneshot::channel();
        let (answer, answered) = std::sync::mpsc::channel();
        let theirs = tokio::spawn(with_current(other.token(), async move {
            asked.await.unwrap();
            answer.send(current()).unwrap();
        }));
        let token = mine.token();
        let group = TaskGroup::under(&token);
        group.spawn("blocks", move |stop| async move {
            tokio::task::block_in_place(|| {
                assert_eq!(current(), *stop.token());
                ask.send(()).unwrap();
                assert_eq!(answered.recv_timeout(common::PATIENCE), Ok(other.token()));
                assert_eq!(current(), *stop.token());
                // What is driven in here is within the task.
                let driven = tokio::runtime::Handle::current().block_on(async { current() });
                assert_eq!(driven, *stop.token());
            });
            assert_eq!(current(), *stop.token());
        });
        group.wait().await.unwrap();
        theirs.await.unwrap();
    });
}

/// Also where its runtime drops it in the middle.
#[test]
fn it_is_there_for_destructors_of_a_task_whose_runtime_ends() {
    struct Asks(std::sync::mpsc::Sender<Token>);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.send(current()).unwrap();
        }
    }
    let (tell, told) = std::sync::mpsc::channel();
    let runtime = common::current_thread();
    let group = runtime.block_on(async {
        let group = TaskGroup::new();
        let asks = Asks(tell);
        group.spawn("task", |_| async move {
            let _asks = asks;
            std::future::pending::<()>().await;
        });
        tokio::task::yield_now().await;
        group
    });
    drop(runtime);
    assert_eq!(told.recv(), Ok(group.signal().token().clone()));
}

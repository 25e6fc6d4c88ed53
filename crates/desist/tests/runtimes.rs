//! The signal inside an async runtime, of which it knows nothing.

mod common;

use std::sync::Arc;
use std::time::Duration;

use desist::{FutureExt, Reason, Source, Token};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};

use common::{Count, no_deadlock};

fn runtimes() -> [Runtime; 2] {
    [
        Builder::new_current_thread().enable_time().build(),
        Builder::new_multi_thread().worker_threads(2).enable_time().build(),
    ]
    .map(|runtime| runtime.expect("a runtime"))
}

#[test]
fn a_token_stands_in_select() {
    no_deadlock(|| {
        for runtime in runtimes() {
            let source = Source::new();
            let token = source.token();
            runtime.block_on(async {
                let (sender, mut receiver) = oneshot::channel::<()>();
                tokio::select! {
                    () = async {} => {}
                    _ = token.cancelled() => panic!("nobody has cancelled it"),
                }
                source.cancel_with(Reason::Shutdown);
                let reason = tokio::select! {
                    _ = &mut receiver => panic!("nobody has sent anything"),
                    cause = &token => cause.reason(),
                };
                assert_eq!(reason, Reason::Shutdown);
                drop(sender);
            });
        }
    });
}

#[test]
fn many_tasks_that_wait_all_end() {
    no_deadlock(|| {
        for runtime in runtimes() {
            runtime.block_on(async {
                let root = Source::new();
                let started = Arc::new(Semaphore::new(0));
                let tasks: Vec<_> = (0..1_000)
                    .map(|n| {
                        let (token, started) = (root.child().token(), Arc::clone(&started));
                        tokio::spawn(async move {
                            started.add_permits(1);
                            if n % 2 == 0 {
                                return token.await.reason();
                            }
                            let forever = std::future::pending::<()>();
                            forever.or_cancelled(&token).await.expect_err("never ends").reason()
                        })
                    })
                    .collect();
                let _all = started.acquire_many(1_000).await.expect("open");
                assert!(root.cancel_with(Reason::Superseded));
                for task in tasks {
                    assert_eq!(task.await.expect("no panic"), Reason::Superseded);
                }
            });
        }
    });
}

#[test]
fn a_deadline_ends_a_task() {
    no_deadlock(|| {
        for runtime in runtimes() {
            let ended = runtime.block_on(async {
                let source = Source::with_timeout(Duration::from_millis(10));
                let forever = std::future::pending::<()>();
                tokio::spawn(source.token().run_owned(forever)).await.expect("no panic")
            });
            assert_eq!(ended.expect_err("never ends").reason(), Reason::Deadline);
        }
    });
}

#[test]
fn blocking_work_is_stopped_from_a_task() {
    no_deadlock(|| {
        for runtime in runtimes() {
            runtime.block_on(async {
                let source = Source::new();
                let token = source.token();
                let work = tokio::task::spawn_blocking(move || token.blocking_wait().reason());
                let token = source.token();
                let loops = tokio::task::spawn_blocking(move || {
                    let mut rounds = 0_u64;
                    while token.check().is_ok() {
                        rounds += 1;
                        std::thread::yield_now();
                    }
                    rounds
                });
                tokio::task::yield_now().await;
                source.cancel();
                assert_eq!(work.await.expect("no panic"), Reason::Requested);
                loops.await.expect("no panic");
            });
        }
    });
}

#[test]
fn an_unregistered_future_is_awaited_in_a_task() {
    no_deadlock(|| {
        for runtime in runtimes() {
            runtime.block_on(async {
                let source = Source::new();
                let (entered, leave) = (common::Gate::new(), common::Gate::new());
                let (inside, wait) = (entered.clone(), leave.clone());
                let held = source.token().on_cancel(move |_| {
                    inside.open();
                    wait.wait();
                });
                let canceller = std::thread::spawn(move || source.cancel());
                entered.wait();
                let waiting = tokio::spawn(held.unregistered());
                tokio::task::yield_now().await;
                leave.open();
                assert!(!waiting.await.expect("no panic"));
                assert!(canceller.join().expect("no panic"));
            });
        }
    });
}

#[test]
fn a_runtime_that_is_gone_is_woken_without_harm() {
    no_deadlock(|| {
        for runtime in runtimes() {
            let source = Source::new();
            let called = Count::new();
            let count = called.clone();
            source.token().on_cancel(move |_| count.add()).detach();
            let started = Arc::new(Semaphore::new(0));
            for _ in 0..20 {
                let (token, started) = (source.token(), Arc::clone(&started));
                runtime.spawn(async move {
                    started.add_permits(1);
                    token.await
                });
            }
            runtime.block_on(async {
                let _all = started.acquire_many(20).await.expect("open");
            });
            // What is kept outside is polled inside, and outlives the runtime.
            let mut kept = Box::pin(source.token().cancelled_owned());
            runtime.block_on(std::future::poll_fn(|context| {
                assert!(kept.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            }));
            drop(runtime);
            assert!(source.cancel());
            assert_eq!(called.get(), 1);
            assert!(common::poll_once(kept.as_mut()).is_ready());
        }
    });
}

#[test]
fn a_runtime_that_is_shut_down_by_a_callback() {
    no_deadlock(|| {
        for runtime in runtimes() {
            let source = Source::new();
            let token = source.token();
            runtime.spawn(async move { token.await });
            source.token().on_cancel(move |_| runtime.shutdown_background()).detach();
            assert!(source.cancel());
        }
    });
}

#[test]
fn never_does_not_end_a_task() {
    no_deadlock(|| {
        for runtime in runtimes() {
            runtime.block_on(async {
                let bound = Duration::from_millis(5);
                assert!(tokio::time::timeout(bound, Token::never().into_future()).await.is_err());
                let dead = Source::new().token();
                assert!(tokio::time::timeout(bound, dead.cancelled()).await.is_err());
            });
        }
    });
}

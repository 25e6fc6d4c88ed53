//! A host as a part of something else.

use std::future::{Future, pending};
use std::task::Poll;
use std::time::Duration;

use desist::Reason;
use desist_host::{BoxError, Host, OnFailure, Outcome, Phase, Restart, Service, Stop};
use tokio::time::{sleep, timeout};

use crate::Log;

struct SaysWhenDropped(Log);

impl Drop for SaysWhenDropped {
    fn drop(&mut self) {
        self.0.say("dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_run_asks_everybody_and_aborts_them() {
    let log = Log::default();
    let (said, host) = (log.clone(), Host::builder());
    let handle = host.handle();
    let host = host.service("deaf", move |stop| async move {
        let _held = SaysWhenDropped(said.clone());
        stop.token().on_cancel(move |cancelled| said.say(cancelled.reason().as_str())).detach();
        pending::<()>().await;
    });
    assert!(timeout(Duration::from_secs(60), host.run()).await.is_err());
    assert_eq!(handle.phase(), Phase::Stopped);
    assert_eq!(handle.cause().unwrap().reason(), Reason::Dropped);
    // It is asked by a thread, and its task drops it when it is polled next.
    while log.said().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(log.said(), [Reason::Dropped.as_str(), "dropped"]);
}

/// Real time: a thread is blocked.
#[tokio::test]
async fn who_drops_the_run_does_not_wait_for_callbacks() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (log, host) = (Log::default(), Host::builder());
    let (handle, said) = (host.handle(), log.clone());
    let host = host
        .service("blocks", move |stop| async move {
            stop.token().on_cancel(move |_| released.recv().unwrap_or_default()).detach();
            pending::<()>().await;
        })
        .service("other", move |_stop| async move {
            let _held = SaysWhenDropped(said);
            pending::<()>().await;
        });
    let mut run = Box::pin(host.run());
    tokio::select! {
        _ = &mut run => unreachable!("nobody stops it"),
        _ = handle.reached(Phase::Running) => {}
    }
    let began = std::time::Instant::now();
    drop(run);
    assert!(began.elapsed() < Duration::from_secs(1));
    while log.said().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(release);
}

/// A port that it holds is free when the next host begins.
#[tokio::test(start_paused = true)]
async fn when_the_run_is_over_the_services_are_gone() {
    struct Holds(SaysWhenDropped);
    impl Service for Holds {
        async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
            let _held = &self.0;
            Err(stop.token().await.into())
        }
    }
    for restarts in [false, true] {
        let (log, host) = (Log::default(), Host::builder());
        let handle = host.handle();
        let policy = if restarts { Restart::default().into() } else { OnFailure::StopHost };
        let report = host
            .add("holds", Holds(SaysWhenDropped(log.clone())))
            .on_failure(policy)
            .service("stops", |_stop| async move {
                handle.stop();
            })
            .run()
            .await;
        assert!(report.is_clean(), "{report}");
        assert_eq!(log.said(), ["dropped"]);
    }
}

#[tokio::test(start_paused = true)]
async fn asked_before_it_begins_nothing_is_started() {
    let host = Host::builder();
    host.handle().stop();
    let report = host.service("a", |_stop| async { unreachable!() }).run().await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.services()[0].outcome(), Outcome::NeverStarted);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_a_service_is_on_paused_time() {
    let report = Host::builder()
        .service("a", |stop| async move {
            let hour = stop.token().child_with_timeout(Duration::from_secs(3600));
            assert_eq!(hour.token().await.reason(), Reason::Deadline);
        })
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
}

/// Code without a token in its signature has it all the same.
#[tokio::test(start_paused = true)]
async fn inside_of_a_service_its_token_is_the_current_one() {
    let host = Host::builder();
    let handle = host.handle();
    let report = host
        .service("a", move |stop| async move {
            handle.stop();
            let current = desist_tokio::current();
            stop.token().await;
            assert!(current.is_cancelled());
        })
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
}

/// The runtime of the services ends beneath them.
#[test]
fn a_runtime_that_is_gone_is_told_of() {
    let theirs = tokio::runtime::Runtime::new().unwrap();
    let (begun, begins) = std::sync::mpsc::channel();
    let host = Host::builder().service("a", move |_stop| async move {
        begun.send(()).unwrap();
        pending::<()>().await;
    });
    // It lives on the runtime that it was polled on first, and goes on elsewhere.
    let mut run = Box::pin(host.run());
    theirs.block_on(async {
        assert!(std::future::poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx).is_pending())).await);
    });
    while begins.try_recv().is_err() {
        theirs.block_on(async {
            assert!(timeout(Duration::from_millis(1), run.as_mut()).await.is_err());
        });
    }
    drop(theirs);
    let here = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = here.block_on(run);
    assert_eq!(report.exit_code(), 1, "{report}");
    assert_eq!(report.services()[0].outcome(), Outcome::RuntimeGone);
}

#[tokio::test(start_paused = true)]
async fn the_handle_tells_whom_the_host_waits_for() {
    let host = Host::builder();
    let handle = host.handle();
    let watch = handle.clone();
    tokio::spawn(async move {
        handle.reached(Phase::Running).await;
        assert!(handle.waits_for().is_empty());
        handle.stop();
    });
    let slow = |stop: Stop| async move {
        stop.token().await;
        sleep(Duration::from_secs(2)).await;
    };
    let watches = async {
        watch.reached(Phase::Stopping).await;
        let names: Vec<_> = watch.waits_for().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a", "b"]);
        sleep(Duration::from_secs(3)).await;
        let names: Vec<_> = watch.waits_for().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a"]);
    };
    let run = host.service("a", slow).service("b", slow).run();
    assert!(tokio::join!(run, watches).0.is_clean());
}

//! How services are asked, and what becomes of those who do not stop.

use std::future::pending;
use std::sync::mpsc;
use std::time::Duration;

use desist::{Cause, Reason};
use desist_host::{BoxError, Host, HostHandle, News, Outcome, Phase, Service, Stop};
use desist_tokio::TaskGroup;
use tokio::time::{Instant, sleep};

use crate::Log;

/// Asks it when it is ready.
fn stop_when_ready(handle: HostHandle) {
    tokio::spawn(async move {
        handle.reached(Phase::Running).await;
        handle.stop();
    });
}

#[tokio::test(start_paused = true)]
async fn one_that_looks_at_the_drain_drains_and_is_then_asked_to_stop() {
    let log = Log::default();
    let (said, host) = (log.clone(), Host::builder());
    stop_when_ready(host.handle());
    let report = host
        .service("http", move |stop| async move {
            stop.draining().await;
            let began = Instant::now();
            assert!(!stop.is_cancelled(), "what is in hand goes on");
            stop.token().await;
            said.say(format!("stopped {} s later", began.elapsed().as_secs()));
        })
        .drain_for(Duration::from_secs(7))
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(log.said(), ["stopped 7 s later"]);
    assert!(report.to_string().contains("stopped, drained for 7.0 s"), "{report}");
}

/// Neither one that never looks, nor one in which a group has been made that nobody looks at.
#[tokio::test(start_paused = true)]
async fn one_that_does_not_look_at_the_drain_is_asked_to_stop_at_once() {
    let host = Host::builder();
    stop_when_ready(host.handle());
    let report = host
        .service("plain", |stop| async move {
            stop.token().await;
        })
        .service("group", |stop| async move {
            let group = TaskGroup::under(&stop);
            group.spawn("task", |stop| async move {
                stop.token().await;
            });
            group.join().await;
        })
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    assert!(report.stopped_in() < Duration::from_secs(1), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_task_of_a_group_that_looks_at_the_drain_has_its_time() {
    let host = Host::builder();
    stop_when_ready(host.handle());
    let report = host
        .service("group", |stop| async move {
            let group = TaskGroup::under(&stop);
            group.spawn("task", |stop| async move {
                stop.draining().await;
                sleep(Duration::from_secs(3)).await;
                assert!(!stop.is_cancelled());
            });
            group.wait().await
        })
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.stopped_in().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_deaf_one_is_aborted_and_cleaned_up_after_and_the_others_stop_in_order() {
    struct Deaf(Log);
    impl Service for Deaf {
        async fn run(&mut self, _stop: Stop) -> Result<(), BoxError> {
            pending().await
        }

        async fn stop(&mut self) -> Result<(), BoxError> {
            sleep(Duration::from_secs(1)).await;
            self.0.say("cleaned up");
            Ok(())
        }
    }
    let log = Log::default();
    let (said, host) = (log.clone(), Host::builder());
    stop_when_ready(host.handle());
    let report = host
        .service("db", move |stop| async move {
            stop.token().await;
            said.say("db");
        })
        .add("deaf", Deaf(log.clone()))
        .grace(Duration::from_secs(4))
        .run()
        .await;
    assert_eq!(log.said(), ["cleaned up", "db"]);
    assert_eq!(report.exit_code(), 2);
    let deaf = report.service("deaf").unwrap();
    assert_eq!(deaf.outcome(), Outcome::Aborted);
    assert_eq!(deaf.asked_for().unwrap().as_secs(), 5);
    assert_eq!(report.stragglers().count(), 1);
    assert!(report.to_string().contains("exit code 2: `deaf` did not stop when asked"), "{report}");
}

/// Each has its own time, and all together not more than the host has.
#[tokio::test(start_paused = true)]
async fn a_row_of_deaf_ones_ends_within_the_time_of_the_host_and_all_were_asked() {
    let log = Log::default();
    let mut host = Host::builder().shutdown_timeout(Duration::from_secs(20));
    stop_when_ready(host.handle());
    for name in ["a", "b", "c", "d", "e"] {
        let log = log.clone();
        host = host.service(name, move |stop| async move {
            stop.token().await;
            log.say(name);
            pending::<()>().await;
        });
    }
    let report = host.run().await;
    assert_eq!(report.exit_code(), 2);
    assert_eq!(log.said(), ["e", "d", "c", "b", "a"]);
    assert_eq!(report.stragglers().count(), 5);
    // Each has its time; four seconds before the end whoever has not been asked does not wait any longer.
    let [a, b, ..] = report.services() else { panic!("{report}") };
    let last_call = a.asked_at().unwrap() - report.services()[4].asked_at().unwrap();
    assert!(last_call.as_secs() == 16 && a.asked_at() < b.ended_at(), "{report}");
    assert_eq!(report.stopped_in().as_secs(), 18, "{report}");
}

#[tokio::test(start_paused = true)]
async fn readiness_goes_off_before_the_delay_and_the_services_serve_on_in_it() {
    let log = Log::default();
    let (said, host) = (log.clone(), Host::builder().drain_delay(Duration::from_secs(8)));
    let handle = host.handle();
    stop_when_ready(handle.clone());
    let watch = tokio::spawn(async move {
        handle.reached(Phase::Unready).await;
        let unready = Instant::now();
        assert!(!handle.phase().is_ready());
        handle.reached(Phase::Stopping).await;
        unready.elapsed().as_secs()
    });
    let report = host
        .service("http", move |stop| async move {
            stop.draining().await;
            said.say("asked");
        })
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(watch.await.unwrap(), 8);
    assert_eq!(log.said(), ["asked"]);
    assert_eq!(report.stopped_in().as_secs(), 8);
}

#[tokio::test(start_paused = true)]
async fn every_service_is_told_the_cause_of_the_stop() {
    let log = Log::default();
    let host = Host::builder();
    let handle = host.handle();
    tokio::spawn(async move {
        handle.reached(Phase::Running).await;
        handle.stop_with(Cause::new(Reason::LeaseLost).message("the leader is another"));
    });
    let said = log.clone();
    let report = host
        .service("a", move |stop| async move {
            let cancelled = stop.token().clone().await;
            said.say(format!("{} ({})", cancelled.reason(), cancelled.detail().unwrap()));
        })
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(log.said().len(), 1);
    assert!(log.said()[0].contains("the leader is another"), "{:?}", log.said());
    assert!(report.to_string().contains("lease lost (the leader is another)"), "{report}");
}

/// A callback of a service blocks the thread that asks. Real time: a thread is blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_blocks_keeps_nobody_from_being_asked() {
    let (release, released) = mpsc::channel::<()>();
    let host = Host::builder();
    stop_when_ready(host.handle());
    let report = host
        .service("other", |stop| async move {
            stop.token().await;
        })
        .service("blocks", move |stop| async move {
            stop.token().on_cancel(move |_| released.recv().unwrap_or_default()).detach();
            stop.token().await;
        })
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn the_news_tell_it_all_in_order() {
    let (tell, told) = mpsc::channel();
    let host = Host::builder().drain_delay(Duration::from_secs(5));
    stop_when_ready(host.handle());
    let report = host
        .service("db", |stop| async move {
            stop.token().await;
        })
        .service("http", |stop| async move {
            stop.draining().await;
        })
        .on_news(move |news: &News| tell.send(news.to_string()).unwrap())
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    let told: Vec<_> =
        told.iter().map(|line| line.split(", ").next().unwrap().to_owned()).collect();
    let expected = [
        "starting `db`",
        "`db` has started",
        "starting `http`",
        "`http` has started",
        "the host is running",
        "the host is to stop: shutdown",
        "the host is unready",
        "the host is stopping",
        "`http` is asked to drain",
        "`http` is over",
        "`db` is asked to stop",
        "`db` is over",
        "the host is stopped",
    ];
    assert_eq!(told, expected);
}

/// All are asked in one event, and two of them block. Real time: threads are blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_behind_a_callback_that_blocks_is_asked_by_others() {
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));
    let mut host = Host::builder();
    stop_when_ready(host.handle());
    for index in 0..20 {
        let released = std::sync::Arc::clone(&released);
        host = host
            .service(format!("{index}"), move |stop| async move {
                if index % 2 == 0 {
                    let blocks = move |_: &desist::Cancelled| {
                        released.lock().unwrap().recv().unwrap_or_default();
                    };
                    stop.token().on_cancel(blocks).detach();
                }
                stop.token().await
            })
            .after_nobody();
    }
    let report = host.run().await;
    assert!(report.is_clean(), "{report}");
    assert!(report.stopped_in() < Duration::from_secs(5), "{report}");
    drop(release);
}

/// It is waited for, for a second of the real time, and then time goes on.
#[tokio::test(start_paused = true)]
async fn on_paused_time_a_callback_that_blocks_holds_nobody_up() {
    let (release, released) = mpsc::channel::<()>();
    let host = Host::builder();
    stop_when_ready(host.handle());
    let report = host
        .service("deaf", move |stop| async move {
            stop.token().on_cancel(move |_| released.recv().unwrap_or_default()).detach();
            pending::<()>().await;
        })
        .run()
        .await;
    assert_eq!(report.exit_code(), 2, "{report}");
    assert_eq!(report.stopped_in().as_secs(), 10);
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn the_drain_it_waited_for_is_its_stop_too() {
    let host = Host::builder();
    stop_when_ready(host.handle());
    let report = host.service("a", |stop| async move { stop.draining().await }).run().await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.services()[0].outcome(), Outcome::Stopped);
}

/// However long that took: it ends by itself, and is no straggler.
#[tokio::test(start_paused = true)]
async fn who_is_done_when_it_is_polled_last_was_not_aborted() {
    let host = Host::builder();
    stop_when_ready(host.handle());
    let report = host
        .service("a", |stop| async move {
            stop.token().await;
            let over = Instant::now() + Duration::from_secs(10);
            std::future::poll_fn(|_| {
                // Nobody wakes it.
                if Instant::now() < over {
                    std::task::Poll::Pending
                } else {
                    std::task::Poll::Ready(())
                }
            })
            .await;
        })
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
}

/// Time stands still from the moment on in which somebody says so.
#[tokio::test]
async fn time_may_be_paused_when_the_host_has_begun() {
    let host = Host::builder();
    let handle = host.handle();
    let pauses = async {
        handle.reached(Phase::Running).await;
        tokio::time::pause();
        handle.stop();
    };
    let run = host
        .service("a", |stop| async move { stop.token().await })
        .service("b", |stop| async move { stop.token().await })
        .run();
    let (report, ()) = tokio::join!(run, pauses);
    assert!(report.stopped_in() < Duration::from_secs(1), "{report}");
}

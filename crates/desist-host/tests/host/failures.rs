//! What a failure, a panic, or an early end does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use desist::Reason;
use desist_host::{BoxError, Failure, Host, OnEnd, OnFailure, Outcome, Restart, Service, Stop};
use tokio::time::sleep;

use crate::Log;

fn listens(log: &Log) -> impl FnOnce(Stop) -> futures::Ready + Send + use<> {
    let log = log.clone();
    move |stop| {
        Box::pin(async move {
            let cancelled = stop.token().clone().await;
            log.say(cancelled.detail().map(ToString::to_string).unwrap_or_default());
        })
    }
}

mod futures {
    pub(super) type Ready = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
}

#[tokio::test(start_paused = true)]
async fn a_failure_stops_the_host_and_says_whose_it_was() {
    let log = Log::default();
    let report = Host::builder()
        .service("other", listens(&log))
        .service("job", |_stop| async {
            sleep(Duration::from_secs(9)).await;
            Err(io::Error::other("no disk"))
        })
        .run()
        .await;
    assert_eq!(report.exit_code(), 1);
    assert_eq!(log.said(), ["service `job` failed: no disk"]);
    assert_eq!(report.cause().unwrap().reason(), Reason::Shutdown);
    let job = report.service("job").unwrap();
    assert_eq!(job.outcome(), Outcome::Failed);
    let Failure::Run(error) = &job.failures()[0] else { panic!("{report}") };
    assert!(error.is::<io::Error>(), "the error itself is there");
    assert_eq!(report.service("other").unwrap().outcome(), Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_with_its_message_and_place() {
    let log = Log::default();
    let line = line!() + 4;
    let report = Host::builder()
        .service("other", listens(&log))
        .service("job", |_stop| async {
            panic!("no {}", "disk");
        })
        .run()
        .await;
    let job = report.service("job").unwrap();
    assert_eq!((report.exit_code(), job.outcome()), (1, Outcome::Panicked));
    let Failure::Panicked(panic) = &job.failures()[0] else { panic!("{report}") };
    assert_eq!(panic.message(), "no disk");
    let place = panic.place().unwrap();
    assert!(place.starts_with(&format!("{}:{line}:", file!())), "{place}");
    assert!(log.said()[0].starts_with("service `job` failed: panicked: no disk ("));
}

#[tokio::test(start_paused = true)]
async fn an_ignored_failure_stops_nobody_and_is_told() {
    let report = Host::builder()
        .service("cache", |_stop| async { Err("cold") })
        .on_failure(OnFailure::Ignore)
        .service("job", |_stop| async { sleep(Duration::from_secs(9)).await })
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.cause().unwrap().detail().unwrap().to_string(), "service `job` has ended");
    let cache = report.service("cache").unwrap();
    assert_eq!((cache.outcome(), cache.failures().len()), (Outcome::Failed, 1));
    // Nine seconds before the host was asked.
    let table = report.to_string();
    let row = table.lines().find(|line| line.starts_with("cache")).unwrap();
    assert!(row.contains("-9.0 s") && row.ends_with("failed: cold"), "{table}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_comes_after_pauses_that_double_until_the_limit() {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let began = tokio::time::Instant::now();
    let report = Host::builder()
        .restartable("poller", move |_stop| async move {
            // Ordering: it only counts.
            counted.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>("nobody is there")
        })
        .on_failure(Restart::default().limit(4))
        .run()
        .await;
    assert_eq!(runs.load(Ordering::Relaxed), 5);
    let poller = report.service("poller").unwrap();
    assert_eq!((poller.restarts(), poller.failures().len(), report.exit_code()), (4, 5, 1));
    // 1 + 2 + 4 + 8 seconds, less than a quarter of each less.
    let took = began.elapsed().as_secs_f64();
    assert!((15.0 * 0.75..=15.1).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn what_is_restarted_leaves_the_others_alone() {
    let log = Log::default();
    let runs = Arc::new(AtomicU32::new(0));
    let report = Host::builder()
        .restartable("flaky", move |_stop| async move {
            // Ordering: it only counts.
            let run = runs.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
            assert!(run > 2, "run {run}");
        })
        .service("after it", listens(&log))
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.service("flaky").unwrap().restarts(), 3);
    assert_eq!(log.said(), ["service `flaky` has ended"], "asked once, at the end");
}

/// A thousand failures of one that recovers must not be a thousand errors in memory.
#[tokio::test(start_paused = true)]
async fn of_endless_failures_the_last_are_kept() {
    let runs = Arc::new(AtomicU32::new(0));
    let report = Host::builder()
        .restartable("flaky", move |_stop| async move {
            // Ordering: it only counts.
            let run = runs.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(60)).await;
            if run < 100 { Err(format!("run {run}")) } else { Ok(()) }
        })
        .run()
        .await;
    let flaky = report.service("flaky").unwrap();
    assert_eq!((flaky.restarts(), flaky.failures().len()), (100, 16));
    assert_eq!(flaky.failures()[15].to_string(), "run 99");
    assert!(report.to_string().contains("84 failures before these:\n    run 84\n"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn an_early_end_is_judged_by_its_policy() {
    for (policy, code, cause) in [
        (OnEnd::StopHost, 0, "service `job` has ended"),
        (OnEnd::Fail, 1, "service `job` failed: it ended, and nobody had asked it to"),
        (OnEnd::Ignore, 0, "service `longer` has ended"),
    ] {
        let report = Host::builder()
            .service("job", |_stop| async { sleep(Duration::from_secs(1)).await })
            .on_end(policy)
            .service("longer", |stop| async move {
                let _ = desist_tokio::sleep(Duration::from_secs(9), &stop).await;
            })
            .run()
            .await;
        assert_eq!(report.exit_code(), code, "{report}");
        assert_eq!(report.cause().unwrap().detail().unwrap().to_string(), cause);
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_have_ended_the_host_has_too() {
    let report = Host::builder()
        .service("a", |_stop| async {})
        .on_end(OnEnd::Ignore)
        .service("b", |_stop| async {})
        .on_end(OnEnd::Ignore)
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.cause().unwrap().detail().unwrap().to_string(), "every service has ended");
}

/// Gives what it is told to give in each of its stages.
struct Gives {
    start: Option<&'static str>,
    stop: Option<&'static str>,
    log: Log,
    name: &'static str,
}

impl Service for Gives {
    async fn start(&mut self, _stop: &Stop) -> Result<(), BoxError> {
        self.log.say(format!("{} starts", self.name));
        self.start.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        stop.token().await;
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        self.log.say(format!("{} is cleaned up", self.name));
        self.stop.map_or(Ok(()), |error| Err(error.into()))
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_started_before_a_start_that_failed_is_stopped_and_who_comes_later_never_starts() {
    let log = Log::default();
    let service = |name, start| Gives { start, stop: None, log: log.clone(), name };
    let report = Host::builder()
        .add("first", service("first", None))
        .add("second", service("second", Some("the port is taken")))
        .add("third", service("third", None))
        .run()
        .await;
    assert_eq!(log.said(), ["first starts", "second starts", "first is cleaned up"]);
    assert_eq!(report.exit_code(), 1);
    let outcomes: Vec<_> = report.services().iter().map(|service| service.outcome()).collect();
    assert_eq!(outcomes, [Outcome::Stopped, Outcome::Failed, Outcome::NeverStarted]);
    assert!(
        report.to_string().contains("failed: it cannot be started: the port is taken"),
        "{report}"
    );
}

#[tokio::test(start_paused = true)]
async fn every_cleanup_runs_and_every_error_is_collected() {
    let log = Log::default();
    let service = |name, stop| Gives { start: None, stop, log: log.clone(), name };
    let report = Host::builder()
        .add("a", service("a", Some("a is dirty")))
        .add("b", service("b", None))
        .add("c", service("c", Some("c is dirty")))
        .service("job", |_stop| async { Err("the job") })
        .run()
        .await;
    let cleaned: Vec<_> = log.said().into_iter().filter(|said| said.contains("cleaned")).collect();
    assert_eq!(cleaned, ["c is cleaned up", "b is cleaned up", "a is cleaned up"]);
    let failed: Vec<_> = report.failed().map(|service| service.name()).collect();
    assert_eq!(failed, ["a", "c", "job"]);
    let Failure::Cleanup(error) = &report.service("a").unwrap().failures()[0] else { panic!() };
    assert_eq!(error.to_string(), "a is dirty");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_takes_too_long_is_asked_and_fails() {
    struct Hangs(Log);
    impl Service for Hangs {
        async fn start(&mut self, stop: &Stop) -> Result<(), BoxError> {
            let cancelled = stop.token().await;
            self.0.say(cancelled.to_string());
            Err(cancelled.into())
        }

        async fn run(&mut self, _stop: Stop) -> Result<(), BoxError> {
            unreachable!("it has not started")
        }
    }
    let log = Log::default();
    let began = tokio::time::Instant::now();
    let report = Host::builder()
        .add("hangs", Hangs(log.clone()))
        .start_timeout(Duration::from_secs(7))
        .service("later", |_stop| async { unreachable!("it comes after one that has not started") })
        .run()
        .await;
    assert_eq!(began.elapsed().as_secs(), 7);
    assert_eq!(log.said(), ["cancelled: deadline"]);
    assert_eq!(report.exit_code(), 1);
    let hangs = report.service("hangs").unwrap();
    assert!(matches!(hangs.failures(), [Failure::StartedLate(time)] if time.as_secs() == 7));
    assert!(report.to_string().contains("`start_timeout`"), "{report}");
}

/// A failure of its own deadline is none of the stop.
#[tokio::test(start_paused = true)]
async fn a_cancellation_that_is_not_of_the_stop_is_a_failure() {
    let report = Host::builder()
        .service("job", |stop| async move {
            let own = stop.token().child_with_timeout(Duration::from_secs(3));
            let cancelled = own.token().await;
            Err::<(), _>(cancelled)
        })
        .run()
        .await;
    assert_eq!(report.exit_code(), 1);
    assert_eq!(report.services()[0].outcome(), Outcome::Failed);
}

/// Nothing of a life that was late, and whose cleanup had to be aborted, is left in the next.
#[tokio::test(start_paused = true)]
async fn a_new_life_has_nothing_of_the_one_before() {
    struct Lives {
        life: u32,
        log: Log,
    }
    impl Service for Lives {
        async fn start(&mut self, stop: &Stop) -> Result<(), BoxError> {
            self.life += 1;
            if self.life == 1 {
                return Err(stop.token().await.into());
            }
            Ok(())
        }

        async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
            if self.life == 2 {
                return Err("it fails".into());
            }
            self.log.say(stop.token().await.reason().as_str());
            Ok(())
        }

        async fn stop(&mut self) -> Result<(), BoxError> {
            if self.life == 2 {
                std::future::pending::<()>().await;
            }
            sleep(Duration::from_secs(1)).await;
            self.log.say("cleaned up");
            Ok(())
        }
    }
    let (log, host) = (Log::default(), Host::builder());
    let handle = host.handle();
    tokio::spawn(async move {
        handle.reached(desist_host::Phase::Running).await;
        // Two lives fail, with a second and two between them, and ten for a cleanup.
        sleep(Duration::from_secs(60)).await;
        handle.stop();
    });
    let report = host
        .add("lives", Lives { life: 0, log: log.clone() })
        .on_failure(Restart::default())
        .start_timeout(Duration::from_secs(5))
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.services()[0].restarts(), 2);
    assert_eq!(log.said(), [Reason::Shutdown.as_str(), "cleaned up"]);
}

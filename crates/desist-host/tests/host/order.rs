//! Who starts, and stops, when.

use std::time::Duration;

use desist_host::{BoxError, Host, HostBuilder, Phase, Service, Stop};
use tokio::time::sleep;

use crate::Log;

/// Takes its time for everything, and says what it does.
struct Slow {
    name: &'static str,
    log: Log,
}

impl Service for Slow {
    async fn start(&mut self, _stop: &Stop) -> Result<(), BoxError> {
        self.log.say(format!("{} starts", self.name));
        sleep(Duration::from_secs(1)).await;
        self.log.say(format!("{} has started", self.name));
        Ok(())
    }

    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        stop.token().await;
        self.log.say(format!("{} is asked", self.name));
        sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        sleep(Duration::from_secs(1)).await;
        self.log.say(format!("{} is over", self.name));
        Ok(())
    }
}

fn with(host: HostBuilder, log: &Log, name: &'static str) -> HostBuilder {
    host.add(name, Slow { name, log: log.clone() })
}

/// Runs it until it is ready, and stops it.
async fn through(host: HostBuilder) -> desist_host::Report {
    let handle = host.handle();
    let stops = async {
        assert_eq!(handle.reached(Phase::Running).await, Phase::Running);
        assert!(handle.stop());
    };
    tokio::join!(host.run(), stops).0
}

#[tokio::test(start_paused = true)]
async fn without_a_word_each_waits_for_all_before_it_and_stops_before_them() {
    let log = Log::default();
    let host = with(with(with(Host::builder(), &log, "a"), &log, "b"), &log, "c");
    let report = through(host).await;
    assert!(report.is_clean(), "{report}");
    let each = |name: &str| [format!("{name} starts"), format!("{name} has started")];
    let ends = |name: &str| [format!("{name} is asked"), format!("{name} is over")];
    let all: Vec<_> = ["a", "b", "c"]
        .iter()
        .flat_map(|n| each(n))
        .chain(["c", "b", "a"].iter().flat_map(|n| ends(n)))
        .collect();
    assert_eq!(log.said(), all);
    // Each was asked when the one before it was over, cleanup and all.
    let [a, b, c] = report.services() else { panic!("{report}") };
    assert!(b.asked_at() >= c.ended_at() && a.asked_at() >= b.ended_at());
}

/// The two that wait for the first do so at one time.
#[tokio::test(start_paused = true)]
async fn who_names_whom_it_comes_after_waits_for_nobody_else() {
    let log = Log::default();
    let mut host = with(Host::builder(), &log, "db");
    for name in ["http", "indexer"] {
        host = with(host, &log, name).after("db");
    }
    let began = tokio::time::Instant::now();
    let report = through(host).await;
    assert!(report.is_clean(), "{report}");
    // Twice a second to start; twice a second to stop and as much for cleanup.
    assert_eq!(began.elapsed().as_secs(), 2 + 4);
    let said = log.said();
    assert_eq!(said[..2], ["db starts", "db has started"]);
    assert_eq!(said[10..], ["db is asked", "db is over"], "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn what_comes_first_may_be_added_last() {
    let log = Log::default();
    let host = with(with(Host::builder(), &log, "http").after("db"), &log, "db");
    let report = through(host).await;
    assert_eq!(log.said()[..3], ["db starts", "db has started", "http starts"]);
    assert_eq!(log.said()[4..], ["http is asked", "http is over", "db is asked", "db is over"]);
    assert_eq!(report.services()[0].name(), "db");
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_nobody_does_not_wait() {
    let log = Log::default();
    let host = with(with(Host::builder(), &log, "slow"), &log, "metrics").after_nobody();
    let began = tokio::time::Instant::now();
    assert!(through(host).await.is_clean());
    assert_eq!(began.elapsed().as_secs(), 1 + 2);
}

/// A circle, two of a name, nobody of that name, no time: the error names whom.
#[test]
fn what_cannot_be_is_told_by_name_when_the_host_is_built() {
    let idle = |host: HostBuilder, name| host.service(name, |_stop| async {});
    let none = Duration::ZERO;
    for (host, service, words) in [
        (idle(idle(Host::builder(), "a"), "a"), Some("a"), "two services `a`"),
        (idle(Host::builder(), "a").after("b"), Some("a"), "after `b`"),
        (idle(idle(Host::builder(), "a").after("b"), "b").after("a"), Some("a"), "circle"),
        (idle(Host::builder(), "a").after("a"), Some("a"), "circle"),
        (idle(Host::builder(), "a").grace(none), Some("a"), "`grace` of zero"),
        (idle(Host::builder(), "a").start_timeout(none), Some("a"), "`start_timeout` of zero"),
        (
            idle(Host::builder(), "a").on_failure(desist_host::Restart::default()),
            Some("a"),
            "`restartable`",
        ),
        (idle(Host::builder(), ""), None, "without a name"),
        (Host::builder(), None, "without services"),
        (idle(Host::builder().grace(none), "a"), None, "add the service first"),
        (idle(Host::builder(), "a").shutdown_timeout(none), None, "`shutdown_timeout` of zero"),
        (idle(Host::builder(), "a").drain_delay(Duration::from_secs(26)), None, "at most 25s"),
    ] {
        let error = host.build().expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.service(), service, "{error}");
    }
}

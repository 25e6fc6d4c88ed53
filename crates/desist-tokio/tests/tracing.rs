//! What `tracing` is told of a stop: requested, heard, stopped, overdue.
#![cfg(feature = "tracing")]

mod common;

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use desist::{Reason, Source, Token};
use desist_tokio::{StopSource, StreamExt, TaskGroup, interval, shield_for, sleep, timeout};
use futures_core::Stream;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// One event: its fields, and what it says under `message`.
type Told = BTreeMap<String, String>;

/// Notes every event up to a level.
#[derive(Clone)]
struct Listener {
    level: Level,
    told: Arc<Mutex<Vec<(Level, Told)>>>,
}

struct Fields(Told);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "desist" && *metadata.level() <= self.level
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(Told::new());
        event.record(&mut fields);
        self.told.lock().unwrap().push((*event.metadata().level(), fields.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What was told while `test` ran.
fn told(level: Level, test: impl Future<Output = ()>) -> Vec<(Level, Told)> {
    let listener = Listener { level, told: Arc::default() };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    tracing::subscriber::with_default(listener.clone(), || runtime.block_on(test));
    std::mem::take(&mut *listener.told.lock().unwrap())
}

fn of<'a>(told: &'a [(Level, Told)], message: &str) -> Vec<&'a (Level, Told)> {
    told.iter().filter(|(_, told)| told["message"] == message).collect()
}

#[test]
fn a_stop_is_told_from_the_request_to_the_last_straggler() {
    let told = told(Level::TRACE, async {
        let group = TaskGroup::new();
        group.spawn("heeds", |stop| async move { sleep(Duration::from_secs(60), &stop).await });
        group.spawn("deaf", |_| pending::<()>());
        tokio::task::yield_now().await;
        group.cancel_with(Reason::Overload.with("too many"));
        group.stop(Duration::from_secs(5)).await.into_outcomes().clear();
    });
    let [(level, requested)] = of(&told, "stop requested")[..] else { panic!("{told:?}") };
    assert_eq!((*level, requested["stage"].as_str()), (Level::INFO, "\"stop\""));
    assert_eq!(
        (requested["reason"].as_str(), requested["detail"].as_str()),
        ("overload", "too many")
    );
    assert!(requested["origin"].contains("tracing.rs"));
    assert_eq!(requested["age"], "0ns", "time stands still");

    let [(level, group)] = of(&told, "stop requested of a group")[..] else { panic!("{told:?}") };
    assert_eq!((*level, group["reason"].as_str()), (Level::DEBUG, "overload"));
    assert!(group["group"].contains("tracing.rs") && group["origin"].contains("tracing.rs"));
    assert_eq!((group["tasks"].as_str(), group["age"].as_str()), ("2", "0ns"));

    let [(level, heard)] = of(&told, "stop heard by sleep")[..] else { panic!("{told:?}") };
    assert_eq!((*level, heard["reason"].as_str()), (Level::TRACE, "overload"));
    assert!(heard["origin"].contains("tracing.rs") && heard["age"] == "0ns");

    let stopped = of(&told, "task stopped");
    let how: Vec<_> =
        stopped.iter().map(|(_, told)| (told["task"].as_str(), told["how"].as_str())).collect();
    assert_eq!(how, [("\"heeds\"", "\"stopped\""), ("\"deaf\"", "\"aborted\"")]);
    assert!(stopped.iter().all(|(level, told)| *level == Level::DEBUG && told.contains_key("age")));

    let [(level, overdue)] = of(&told, "task overdue")[..] else { panic!("{told:?}") };
    assert_eq!((*level, overdue["task"].as_str()), (Level::WARN, "\"deaf\""));
    assert!(
        overdue["spawned"].contains("tracing.rs") && overdue["age"].starts_with('5'),
        "{overdue:?}"
    );
}

#[test]
fn a_shield_that_is_overdue_is_told() {
    let told = told(Level::WARN, async {
        let raised = shield_for(Duration::from_secs(1), pending::<()>());
        assert!(raised.await.is_err());
    });
    let [(_, overdue)] = of(&told, "task overdue")[..] else { panic!("{told:?}") };
    assert_eq!(overdue["task"], "\"shield\"");
}

/// Levels that nobody listens to are silent, and nothing is told of what was not
/// asked to stop.
#[test]
fn nothing_is_told_that_nobody_asked_for() {
    let quiet = told(Level::ERROR, async {
        let group = TaskGroup::new();
        group.spawn("deaf", |_| pending::<()>());
        tokio::task::yield_now().await;
        group.stop(Duration::ZERO).await.into_outcomes().clear();
    });
    assert!(quiet.is_empty(), "{quiet:?}");
    let idle = told(Level::TRACE, async {
        let group = TaskGroup::new();
        group.spawn("finishes", |_| async {});
        group.join().await;
        assert!(sleep(Duration::from_secs(1), &Source::new().token()).await.is_ok());
    });
    assert!(idle.is_empty(), "{idle:?}");
}

/// Both stages, by whoever has the right to ask, and who listens may come late.
#[test]
fn every_stage_is_told_where_it_is_asked_for() {
    let stop = Arc::new(Mutex::new(None));
    let source = StopSource::new();
    let told = told(Level::INFO, async {
        source.drain();
        source.drain();
        source.cancel_with(Reason::Superseded);
        source.cancel();
        let group = TaskGroup::new();
        group.drain();
        *stop.lock().unwrap() = Some(group);
    });
    let said: Vec<_> = told
        .iter()
        .map(|(_, told)| (told["stage"].trim_matches('"'), told["reason"].as_str()))
        .collect();
    assert_eq!(said, [("drain", "shutdown"), ("stop", "superseded"), ("drain", "shutdown")]);
}

/// An hour of the runtime is none of the system's, on which the stop was.
#[test]
fn every_wait_says_that_it_heard_and_how_late_by_the_clock_of_the_stop() {
    let told = told(Level::TRACE, async {
        tokio::time::advance(Duration::from_secs(3600)).await;
        let source = Source::new();
        let token = source.token();
        let mut ticks = interval(Duration::from_secs(60), &token);
        source.cancel();
        assert!(ticks.tick().await.is_err());
        assert!(sleep(Duration::from_secs(1), &token).await.is_err());
        assert!(timeout(Duration::from_secs(1), &token, |_| async {}).await.is_err());
        let mut stream = Nothing.until_cancelled(&token);
        assert!(poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await.is_none());
    });
    let said: Vec<_> = told.iter().map(|(_, told)| told["message"].as_str()).collect();
    let by = ["interval", "sleep", "timeout", "stream"];
    assert_eq!(said, by.map(|by| format!("stop heard by {by}")));
    for (_, told) in &told {
        assert!(
            told["age"].ends_with("ns")
                || told["age"].ends_with("µs")
                || told["age"].ends_with("ms"),
            "{told:?}"
        );
        assert!(!told["age"].starts_with("0ns"), "{told:?}");
    }
}

struct Nothing;

impl Stream for Nothing {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
        Poll::Pending
    }
}

/// The request comes from elsewhere: each group that has tasks says that it came.
#[test]
fn a_request_from_above_is_told_by_the_groups_that_it_reaches() {
    let told = told(Level::DEBUG, async {
        let source = Source::new();
        let (busy, idle) = (TaskGroup::under(source.token()), TaskGroup::under(source.token()));
        let set_up = TaskGroup::under(source.token()).max_concurrent(1);
        for group in [&busy, &set_up] {
            group.spawn("waits", |stop| async move {
                stop.token().await;
            });
        }
        tokio::task::yield_now().await;
        source.cancel_with(Reason::Disconnected);
        drop((busy, idle, set_up));
    });
    let groups = of(&told, "stop requested of a group");
    assert_eq!(groups.len(), 2, "{told:?}");
    assert!(groups.iter().all(|(_, told)| told["reason"] == "disconnected"));
    assert!(of(&told, "stop requested").is_empty(), "{told:?}");
}

#[test]
fn a_stop_that_is_passed_on_is_told_with_what_lies_behind_it() {
    let told = told(Level::INFO, async {
        let host = Token::cancelled_with(Reason::Shutdown.with("SIGTERM"));
        let passed_on = host.cancellation().unwrap();
        TaskGroup::new().cancel_with(passed_on);
    });
    let [(_, requested)] = of(&told, "stop requested")[..] else { panic!("{told:?}") };
    assert_eq!(
        (requested["reason"].as_str(), requested["detail"].as_str()),
        ("shutdown", "SIGTERM")
    );
}

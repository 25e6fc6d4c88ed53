//! What `tracing` is told of a stop: requested, heard, stopped, overdue.
#![cfg(feature = "tracing")]

mod common;

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use desist::{Reason, Source};
use desist_tokio::{TaskGroup, shield_for, sleep};
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
    let [(level, requested)] = of(&told, "group: stop requested")[..] else { panic!("{told:?}") };
    assert_eq!(*level, Level::INFO);
    assert_eq!(
        (requested["reason"].as_str(), requested["detail"].as_str()),
        ("overload", "too many")
    );
    assert!(requested["origin"].contains("tracing.rs") && requested.contains_key("age"));

    let [(level, heard)] = of(&told, "stop heard by sleep")[..] else { panic!("{told:?}") };
    assert_eq!((*level, heard["reason"].as_str()), (Level::TRACE, "overload"));
    assert!(heard.contains_key("origin") && heard.contains_key("age"));

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
    assert!(of(&idle, "task stopped").is_empty(), "{idle:?}");
}

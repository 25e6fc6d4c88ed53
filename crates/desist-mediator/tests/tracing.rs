//! What `tracing` is told of requests.
#![cfg(feature = "tracing")]

use std::fmt;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use desist::testing::ManualClock;
use desist::{Reason, Source, Token};
use desist_mediator::{BoxError, Error, Invalid, Mediator, Request, Tracing};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Notes every span and event of the house: its level, and what it says.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<String>>>);

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.0.insert_str(0, &format!("{value:?} ")),
            // What is different each time.
            "took" | "age" | "origin" => self.0.push_str(&format!("{}=.. ", field.name())),
            name => self.0.push_str(&format!("{name}={value:?} ")),
        }
    }
}

impl Listener {
    fn note(&self, what: &str, metadata: &Metadata<'_>, record: impl FnOnce(&mut Words)) {
        let mut words = Words(String::new());
        record(&mut words);
        let line = format!("{what}{} {}", metadata.level(), words.0);
        self.0.lock().unwrap().push(line.trim_end().to_owned());
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "desist"
    }

    fn event(&self, event: &Event<'_>) {
        self.note("", event.metadata(), |words| event.record(words));
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let name = format!("span {} ", span.metadata().name());
        self.note(&name, span.metadata(), |words| span.record(words));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {
        self.0.lock().unwrap().push("enter".into());
    }

    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().push("exit".into());
    }
}

/// Ends as it says.
struct End(&'static str);
impl Request for End {
    type Response = ();
    fn name() -> &'static str {
        "end"
    }
}

async fn end(stop: Token, End(how): End) -> Result<(), BoxError> {
    match how {
        "well" => Ok(()),
        "cancelled" => Err(stop.cancelled().await.into()),
        "refused" => Err(Invalid::new("text", "must not be empty").into()),
        "dropped" | "asked and dropped" => pending().await,
        "panicked" => panic!("on purpose"),
        how => Err(Error::new(std::io::Error::other(how)).into()),
    }
}

#[test]
fn each_request_is_a_span_with_its_end_in_it() {
    let mediator = Mediator::builder().behaviour(Tracing::new()).handler(end).build().unwrap();
    let listener = Listener::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let cases = [
        ("well", "DEBUG answered took=.."),
        ("cancelled", "INFO cancelled took=.. reason=disconnected origin=.. age=.."),
        ("no space", "WARN failed took=.. error=`end` failed: no space"),
    ];
    tracing::subscriber::with_default(listener.clone(), || {
        for (how, event) in cases {
            let source = Source::new();
            let _ = runtime.block_on(async {
                let sending = mediator.send(&source.token(), End(how));
                let cancels = async { source.cancel_with(Reason::Disconnected) };
                let both = async { tokio::join!(sending, cancels) };
                let bound = Duration::from_secs(30);
                tokio::time::timeout(bound, both).await.expect("it does not end")
            });
            let mut told = std::mem::take(&mut *listener.0.lock().unwrap());
            // Entered at each poll.
            told.dedup_by(|next, before| next == "enter" && before == "exit");
            assert_eq!(told[..2], ["span request INFO request=\"end\"", "enter"], "{how}");
            let at = told.iter().position(|line| line == event);
            let at = at.unwrap_or_else(|| panic!("{how}: {told:#?}"));
            assert_eq!(told[at + 1], "exit", "{how}: in the span");
            let events = told.iter().filter(|line| line.contains("took=")).count();
            assert_eq!(events, 1, "{how}: {told:#?}");
        }
    });
}

#[test]
fn an_end_that_is_no_answer_is_told_as_well() {
    let mediator = Mediator::builder().behaviour(Tracing::new()).handler(end).build().unwrap();
    let listener = Listener::default();
    let cases = [
        ("refused", "INFO refused took=.. error=`end` is not valid: text: must not be empty"),
        ("dropped", "INFO dropped took=.."),
        ("asked and dropped", "INFO dropped took=.. reason=disconnected origin=.. age=.."),
        ("panicked", "WARN panicked took=.."),
    ];
    tracing::subscriber::with_default(listener.clone(), || {
        for (how, event) in cases {
            let source = Source::new();
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let mut sending = Box::pin(mediator.send(&source.token(), End(how)));
                let mut context = Context::from_waker(Waker::noop());
                let polled = sending.as_mut().poll(&mut context);
                assert_eq!(polled.is_pending(), how.ends_with("dropped"), "{how}");
                if how == "asked and dropped" {
                    source.cancel_with(Reason::Disconnected);
                }
            }));
            let told = std::mem::take(&mut *listener.0.lock().unwrap());
            let events: Vec<_> = told.iter().filter(|line| line.contains("took=")).collect();
            assert_eq!(events, [event], "{how}: {told:#?}");
        }
    });
}

/// `took` and `age` are times, and of the token's own clock.
#[test]
fn the_age_of_a_stop_is_told_by_the_clock_it_came_on() {
    let clock = ManualClock::new();
    let source = Source::with_clock(clock.clock());
    let mediator = Mediator::builder().behaviour(Tracing::new()).handler(end).build().unwrap();
    let ages = Ages::default();
    tracing::subscriber::with_default(ages.clone(), || {
        let mut sending = Box::pin(mediator.send(&source.token(), End("dropped")));
        let mut context = Context::from_waker(Waker::noop());
        assert!(sending.as_mut().poll(&mut context).is_pending());
        source.cancel_with(Reason::Disconnected);
        clock.advance(Duration::from_secs(7));
    });
    assert_eq!(*ages.0.lock().unwrap(), ["7s"]);
}

/// Notes the ages alone.
#[derive(Clone, Default)]
struct Ages(Arc<Mutex<Vec<String>>>);

impl Visit for Ages {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "age" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl Subscriber for Ages {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "desist"
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

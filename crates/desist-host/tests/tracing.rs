//! What `tracing` is told of a host.
#![cfg(feature = "tracing")]

use std::fmt;
use std::sync::{Arc, Mutex};

use desist_host::{Host, OnFailure};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Notes every event of the house: its level, and what it says.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<(Level, String)>>>);

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.insert_str(0, &format!("{value:?} "));
        } else {
            self.0.push_str(&format!("{}={value:?} ", field.name()));
        }
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "desist" && metadata.fields().field("stage").is_none()
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = Words(String::new());
        event.record(&mut words);
        self.0.lock().unwrap().push((*event.metadata().level(), words.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn the_life_of_a_host_is_told_with_its_services_and_failures() {
    let listener = Listener::default();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    let report = tracing::subscriber::with_default(listener.clone(), || {
        runtime.block_on(
            Host::builder()
                .service("cache", |_stop| async { Err("cold") })
                .on_failure(OnFailure::Ignore)
                .service("deaf", |_stop| std::future::pending::<()>())
                .service("job", |_stop| async {})
                .run(),
        )
    });
    assert_eq!(report.exit_code(), 2, "{report}");
    let told = listener.0.lock().unwrap().clone();
    for (level, words) in [
        (Level::INFO, "starting `cache` service=cache "),
        (Level::ERROR, "service failed service=cache failure=cold "),
        (Level::INFO, "the host is stopping phase=stopping "),
        (Level::INFO, "`deaf` is asked to stop service=deaf "),
        (Level::WARN, "`deaf` is aborted, 10.0 s after it was asked service=deaf "),
        (Level::INFO, "the host is stopped phase=stopped "),
    ] {
        assert!(told.contains(&(level, words.to_owned())), "{words}: {told:#?}");
    }
}

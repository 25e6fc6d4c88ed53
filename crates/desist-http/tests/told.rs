//! What `tracing` is told of a request: a span with its end in its fields, in which the
//! handler runs, also without its client.
#![cfg(all(feature = "axum", feature = "tracing"))]

mod common;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use common::{Said, Server};
use desist::Reason;
use desist_http::{RequestToken, Stopped};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

type Fields = BTreeMap<String, String>;

/// Keeps spans by number, and who was where when an event came.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    spans: Vec<Fields>,
    within: Vec<u64>,
    /// What handlers said, and in which span.
    said: Vec<(String, Option<u64>)>,
}

struct Visits<'a>(&'a mut Fields);

impl Visit for Visits<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "handler"
            || metadata.is_span() && metadata.target() == "desist"
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut heard = self.0.lock().unwrap();
        let mut fields = Fields::new();
        attributes.record(&mut Visits(&mut fields));
        heard.spans.push(fields);
        Id::from_u64(heard.spans.len() as u64)
    }

    fn record(&self, id: &Id, record: &Record<'_>) {
        let mut heard = self.0.lock().unwrap();
        record.record(&mut Visits(&mut heard.spans[id.into_u64() as usize - 1]));
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Visits(&mut fields));
        let mut heard = self.0.lock().unwrap();
        let within = heard.within.last().copied();
        heard.said.push((fields["message"].clone(), within));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, id: &Id) {
        self.0.lock().unwrap().within.push(id.into_u64());
    }

    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().within.pop();
    }
}

async fn says(token: RequestToken) -> Result<&'static str, Stopped> {
    tracing::info!(target: "handler", "begun");
    let why = token.cancelled().await;
    tracing::info!(target: "handler", "told");
    tokio::task::yield_now().await;
    Err(why.into())
}

#[test]
fn a_request_has_a_span_whose_fields_say_how_it_ended() {
    let listener = Listener::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(listener.clone(), || {
        runtime.block_on(async {
            let (app, said) = common::app();
            let app = app.merge(Router::new().route("/says/{what}", get(says)));
            let mut server = Server::of(app, said, |serve| serve).await;
            let mut client = server.connect().await;
            client.get("/quick?x=1").await;
            client.reads("quick").await;
            drop(client);
            let client = server.begins("/heeds").await;
            drop(client);
            server.hears(Said::Told(Reason::Disconnected)).await;
            server.hears(Said::Finished).await;
            let mut client = server.connect().await;
            client.get("/says/hello").await;
            let has_begun = || !listener.0.lock().unwrap().said.is_empty();
            while !has_begun() {
                tokio::task::yield_now().await;
            }
            server.stop.cancel_with(Reason::Shutdown);
            client.reads("503").await;
            assert!(server.ends().await.unwrap().is_clean());
        });
    });
    let heard = listener.0.lock().unwrap();
    let [quick, heeds, says] = &heard.spans[..] else { panic!("{:?}", heard.spans) };
    assert_eq!(
        (&*quick["method"], &*quick["path"], &*quick["outcome"]),
        ("GET", "/quick", "completed")
    );
    assert!(quick["peer"].starts_with("127.0.0.1:") && !quick.contains_key("reason"), "{quick:?}");
    assert_eq!((&*heeds["route"], &*heeds["outcome"]), ("/heeds", "cancelled"));
    assert_eq!(&*heeds["reason"], "disconnected");
    assert!(heeds.contains_key("origin") && heeds.contains_key("latency"), "{heeds:?}");
    assert_eq!((&*says["path"], &*says["route"]), ("/says/hello", "/says/{what}"));
    assert_eq!((&*says["outcome"], &*says["reason"]), ("cancelled", "shutdown"));
    // Whatever the handler says is said within.
    assert_eq!(heard.said, [("begun".into(), Some(3)), ("told".into(), Some(3))]);
    assert!(heard.within.is_empty(), "whoever comes in goes out");
}

//! Rights that change while somebody reads.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use desist_ops::Sqlite;
use desist_ops::console::Console;
use desist_ops::http::{Access, Ask, Routes, Verb};
use desist_tokio::StopSource;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::desk::Desk;
use super::reader::Reader;
use super::service::Service;
use crate::PATIENCE;

/// What nobody may do at the moment, and which operations nobody may see.
#[derive(Clone, Default)]
struct Denied {
    verbs: Arc<Mutex<HashSet<Verb>>>,
    hidden: Arc<Mutex<HashSet<String>>>,
}

impl Denied {
    fn denies(&self, verb: Verb) {
        self.verbs.lock().unwrap().insert(verb);
    }

    fn grants(&self, verb: Verb) {
        self.verbs.lock().unwrap().remove(&verb);
    }

    fn hides(&self, id: &str) {
        self.hidden.lock().unwrap().insert(id.to_owned());
    }

    fn shows(&self, id: &str) {
        self.hidden.lock().unwrap().remove(id);
    }

    fn access(&self, ask: &Ask<'_>) -> Access {
        let hidden = self.hidden.lock().unwrap();
        let is_hidden = ask.operation().is_some_and(|one| hidden.contains(&one.id.to_string()));
        let is_denied = self.verbs.lock().unwrap().contains(&ask.verb());
        if is_hidden || is_denied { Access::Denied } else { Access::granted("ada") }
    }

    async fn desk(&self, service: &Service) -> Desk {
        let denied = self.clone();
        Desk::with(&service.operations, |routes| {
            Console::new(routes.authorize(move |ask| denied.access(ask))).allow_changes()
        })
        .await
    }
}

#[tokio::test]
async fn what_may_be_seen_no_more_is_gone_though_nothing_of_it_has_changed_and_comes_back() {
    let service = Service::open().await;
    let denied = Denied::default();
    let desk = denied.desk(&service).await;
    let (one, other) =
        (service.running("stays", "ada").await, service.running("stays", "ada").await);
    let mut reader = desk.reader("").await;
    reader.until(|reader| reader.rows.len() == 2).await;
    denied.hides(&one);
    reader.until(|reader| reader.rows.keys().eq([&other])).await;
    reader.until(|reader| reader.tick["running"] == 1).await;
    denied.shows(&one);
    reader.until(|reader| reader.rows.len() == 2 && reader.tick["running"] == 2).await;
}

#[tokio::test]
async fn a_button_that_is_of_no_use_any_more_is_taken_away_and_given_back() {
    let service = Service::open().await;
    let denied = Denied::default();
    let desk = denied.desk(&service).await;
    let id = service.running("stays", "ada").await;
    let mut reader = desk.reader("").await;
    reader.until_row(&id, |row| row["may_cancel"] == true).await;
    denied.denies(Verb::Cancel);
    reader.until_row(&id, |row| row["may_cancel"] == false).await;
    denied.grants(Verb::Cancel);
    reader.until_row(&id, |row| row["may_cancel"] == true).await;
}

#[tokio::test]
async fn what_the_process_does_is_told_no_more_and_that_is_told() {
    let service = Service::open().await;
    let denied = Denied::default();
    let desk = denied.desk(&service).await;
    let mut reader = desk.reader("").await;
    reader.until(|reader| reader.process.as_ref().is_some_and(Value::is_object)).await;
    denied.denies(Verb::Process);
    reader.until(|reader| reader.process == Some(Value::Null)).await;
    denied.grants(Verb::Process);
    reader.until(|reader| reader.process.as_ref().is_some_and(Value::is_object)).await;
}

#[tokio::test]
async fn a_parent_that_may_not_be_seen_has_no_name() {
    let service = Service::open().await;
    let denied = Denied::default();
    let desk = denied.desk(&service).await;
    let parent = service.running("stays", "ada").await;
    let start = service.operations.start("stays", &()).parent(service.id(&parent));
    let child = start.await.unwrap().id().to_string();
    denied.hides(&parent);
    let mut reader = desk.reader("").await;
    let row = reader.until_row(&child, |row| row["state"] == "running").await;
    assert_eq!(row.get("parent"), None);
    super::reader::never_said(&reader, &[&parent]);
    denied.shows(&parent);
    reader.until_row(&child, |row| row["parent"] == json!(parent)).await;
}

#[tokio::test]
async fn an_ended_one_may_be_cancelled_for_what_is_below_it() {
    let service = Service::open().await;
    let desk = Desk::open(&service.operations).await;
    let parent = service.running("export", "ada").await;
    let start = service.operations.start("stays", &()).parent(service.id(&parent));
    let child = start.await.unwrap().id().to_string();
    service.until_running(&child).await;
    service.stops.add_permits(1);
    let asked = desk.cancel("root", &parent, &json!({}));
    assert!(super::desk::sent(asked).await.status().is_success());
    service.ended(&parent).await;
    let mut reader = desk.reader("root").await;
    let row = reader.until_row(&parent, |row| row["state"] == "cancelled").await;
    assert_eq!(row["may_cancel"], true);
    let (status, answer) =
        super::desk::said(desk.cancel("root", &parent, &json!({ "tree": true }))).await;
    assert!(status < 300 && answer["tree"]["requested"] == 1, "{answer}");
    service.ended(&child).await;
}

#[tokio::test]
async fn a_stream_ends_after_its_time_so_that_it_is_asked_for_anew() {
    let service = Service::open().await;
    let desk = Desk::with(&service.operations, |routes| {
        let routes = routes.authorize(|_| Access::granted("ada"));
        Console::new(routes).renew_every(Duration::ZERO)
    })
    .await;
    let mut reader = desk.reader("").await;
    reader.rest().await;
    let bye = reader.bye.unwrap();
    assert_eq!((&bye["again"], &bye["at_once"]), (&json!(true), &json!(true)));
}

/// Another server does not say that it stops.
#[tokio::test]
async fn another_server_that_stops_is_not_held_by_those_who_read() {
    let service = Service::open().await;
    let stop = StopSource::new();
    let routes = Routes::<Sqlite>::new(service.operations.clone());
    let routes = routes.authorize(|_| Access::granted("ada")).until(stop.stop());
    let app: Router = Router::new().merge(Console::new(routes).at("/console"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let asked = stop.stop();
    let serves = axum::serve(listener, app)
        .with_graceful_shutdown(async move { drop(asked.draining().cancelled().await) });
    let serving = tokio::spawn(serves.into_future());
    let mut reader =
        Reader::whole(reqwest::Client::new().get(format!("http://{at}/console/live"))).await;
    stop.drain();
    reader.rest().await;
    assert_eq!(reader.bye.unwrap()["again"], true);
    tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
}

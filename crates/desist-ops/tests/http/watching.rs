//! Watching, as a browser does it.

use std::collections::VecDeque;

use reqwest::Response;
use serde_json::Value;

use crate::PATIENCE;
use crate::site::{Site, hook, refused, said, sent};

/// Server-sent events, as they come.
struct Events {
    response: Response,
    text: String,
    ready: VecDeque<(String, i64, Value)>,
    /// The last id, as a browser keeps it.
    last: i64,
}

impl Events {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = sent(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { response, text: String::new(), ready: VecDeque::new(), last: 0 }
    }

    /// Its name, the last id, what it says; `None` when it is over.
    async fn next(&mut self) -> Option<(String, i64, Value)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
                };
                if let Some(data) = field("data:") {
                    let data = serde_json::from_str(data).unwrap();
                    // One without an id does not move what a browser comes again with.
                    let id = field("id:").map_or(self.last, |id| id.parse().unwrap());
                    self.last = id;
                    self.ready.push_back((field("event:").unwrap().to_owned(), id, data));
                }
                self.text = rest.to_owned();
            }
        }
    }

    async fn rest(mut self) -> Vec<(String, i64, Value)> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

#[tokio::test]
async fn progress_comes_as_it_is_made_and_the_end_ends_it() {
    let site = Site::open().await;
    let id = site.start("ada", 2).await;
    let mut events = Events::of(site.get("ada", &format!("/{id}/watch"))).await;
    let mut seen = Vec::new();
    let mut last = 0;
    while let Some((name, number, data)) = events.next().await {
        assert!(number >= last, "{name} {number} comes after {last}");
        last = number;
        if name != "operation" {
            seen.push(name);
            continue;
        }
        match data["progress"]["message"].as_str() {
            Some("step 0") if site.steps.available_permits() == 0 => site.steps.add_permits(1),
            Some("step 1") if data["state"] == "running" => site.steps.add_permits(1),
            _ => {}
        }
        if data["state"] == "succeeded" {
            assert_eq!(data["progress"]["message"], "step 1");
            assert_eq!(data["output"], "orders.csv");
        }
    }
    assert_eq!(seen, ["started", "claimed", "finished"]);
}

#[tokio::test]
async fn who_comes_again_has_what_they_missed_and_nothing_twice() {
    let site = Site::open().await;
    let id = site.start("ada", 1).await;
    site.until_running(&id).await;
    let mut events = Events::of(site.get("ada", &format!("/{id}/watch"))).await;
    let mut last = 0;
    // Until it is known to run, and the connection is lost.
    while let Some((name, number, data)) = events.next().await {
        last = number;
        if name == "operation" && data["state"] == "running" {
            break;
        }
    }
    drop(events);
    site.steps.add_permits(1);
    site.operations.wait(id.parse().unwrap(), PATIENCE).await.unwrap();
    let path = format!("/{id}/watch");
    let comes =
        |last: i64| Events::of(site.get("ada", &path).header("last-event-id", last.to_string()));
    let mut again = comes(last).await;
    let (name, number, _) = again.next().await.unwrap();
    assert_eq!((&*name, number), ("finished", 0), "it is not the last of its version");
    // Cut between the two, it is all sent once more.
    drop(again);
    let again = comes(last).await.rest().await;
    let names: Vec<_> = again.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["finished", "operation"]);
    assert!(again.last().unwrap().1 > last);
    let last = again.last().unwrap().1;
    let over = sent(site.get("ada", &path).header("last-event-id", last.to_string())).await;
    assert_eq!(over.status(), 204, "a browser asks no more");
    let asked = sent(site.get("ada", &format!("{path}?after={last}"))).await;
    assert_eq!(asked.status(), 204);
}

#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_those_who_watch() {
    let mut site = Site::open().await;
    let id = site.start("ada", 1).await;
    site.until_running(&id).await;
    let mut events = Events::of(site.get("ada", &format!("/{id}/watch"))).await;
    events.next().await.unwrap();
    // Only to drain: whoever is connected may stay.
    site.stop.drain();
    while events.next().await.is_some() {}
    let report = tokio::time::timeout(PATIENCE, &mut site.serving).await.unwrap().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn who_may_see_it_no_more_is_sent_no_more() {
    use desist_ops::http::Access;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let may = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&may);
    let site = Site::with(move |routes| {
        routes.authorize(move |_| {
            // Ordering: nothing else is read.
            if asked.load(Ordering::SeqCst) { Access::granted("ada") } else { Access::Denied }
        })
    })
    .await;
    let id = site.start("ada", 1).await;
    site.until_running(&id).await;
    let mut events = Events::of(site.get("ada", &format!("/{id}/watch"))).await;
    while events.next().await.unwrap().2["state"] != "running" {}
    // Ordering: nothing else is written.
    may.store(false, Ordering::SeqCst);
    site.steps.add_permits(1);
    for (_, _, data) in events.rest().await {
        assert_ne!(data["state"], "succeeded");
    }
    assert_eq!(said(site.get("ada", "/")).await.0, 403);
}

#[tokio::test]
async fn who_has_seen_more_than_there_is_hears_of_the_end() {
    let site = Site::open().await;
    let id = site.start("ada", 1).await;
    site.until_running(&id).await;
    // As of a database that was put back to what it was before.
    let path = format!("/{id}/watch");
    let events = Events::of(site.get("ada", &path).header("last-event-id", "9000000")).await;
    site.steps.add_permits(1);
    // What keeps it alive comes all the time.
    let late = tokio::time::timeout(PATIENCE, events.rest()).await.unwrap();
    assert!(late.iter().all(|(_, number, _)| *number > 9_000_000), "{late:?}");
}

#[tokio::test]
async fn so_many_watch_at_a_time_and_the_others_are_told_so() {
    let site = Site::with(|routes| routes.authorize(hook).max_watching(1)).await;
    let (first, second) = (site.start("ada", 1).await, site.start("ada", 1).await);
    let watches = |id: &str| site.get("ada", &format!("/{id}/watch"));
    let events = Events::of(watches(&first)).await;
    let (status, detail) = refused(watches(&second)).await;
    assert_eq!((status, detail.contains("too many watch already")), (503, true), "{detail}");
    // Who cancels is answered at once, and need not wait for a place.
    let cancel = serde_json::json!({ "wait_ms": 30_000 });
    let (status, answer) = said(site.post("ada", &format!("/{first}/cancel"), &cancel)).await;
    assert!(status.is_success(), "{answer}");
    assert_eq!(events.rest().await.last().unwrap().2["state"], "cancelled");

    let mut events = Events::of(watches(&second)).await;
    assert!(events.next().await.is_some(), "there is room again");
}

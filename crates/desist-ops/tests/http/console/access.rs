//! Who may read it, and what others learn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use desist_ops::CancelRequest;
use desist_ops::console::{Console, HostState};
use desist_ops::http::{Access, Verb};

use super::desk::{Desk, hook, kept_to_itself, refused, said, sent};
use super::reader::{Reader, never_said};
use super::service::Service;
use crate::PATIENCE;

#[tokio::test]
async fn without_a_hook_all_of_it_is_refused_with_the_words_that_set_it() {
    let service = Service::open().await;
    let id = service.start("waits", "ada").await;
    let desk = Desk::with(&service.operations, |routes| Console::new(routes).allow_changes()).await;
    let page = sent(desk.get("root", "/")).await;
    assert_eq!(page.status(), 403);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers()["cache-control"], "no-store");
    kept_to_itself(&page);
    let page = page.text().await.unwrap();
    assert!(
        page.contains("id=\"problem\"") && page.contains("Routes::authorize(|ask| ..)"),
        "{page}"
    );
    assert!(!page.contains('{'), "{page}");
    for path in ["/live", "/api/", &format!("/api/{id}/history"), "/api/op_0/history"] {
        let (status, detail) = refused(desk.get("root", path)).await;
        assert_eq!(status, 403, "{path}");
        assert!(detail.contains("set `Routes::authorize(|ask| ..)`"), "{path}: {detail}");
    }
    let (status, detail) = refused(desk.cancel("root", &id, &serde_json::json!({}))).await;
    assert_eq!((status, detail.contains("`Routes::authorize(|ask| ..)`")), (403, true), "{detail}");
    assert!(service.operations.get(service.id(&id)).await.unwrap().unwrap().cancel.is_none());
}

#[tokio::test]
async fn whoever_is_not_known_is_told_to_sign_in() {
    let service = Service::open().await;
    let id = service.start("waits", "ada").await;
    let desk = Desk::open(&service.operations).await;
    let page = sent(desk.at("/admin/console/")).await;
    assert_eq!(page.status(), 401);
    kept_to_itself(&page);
    assert!(page.text().await.unwrap().contains("sign in"));
    for path in ["/live".to_owned(), "/api/".to_owned(), format!("/api/{id}/history")] {
        let (status, detail) = refused(desk.at(&format!("/admin/console{path}"))).await;
        assert_eq!((status, detail.contains("sign in")), (401, true), "{path}: {detail}");
    }
}

#[tokio::test]
async fn who_may_see_their_own_sees_theirs_and_learns_nothing_of_others() {
    let service = Service::open().await;
    let all = &service.operations;
    let starts = |kind: &'static str, actor: &'static str, key: &'static str| async move {
        let started = all.start(kind, &()).actor(actor).key(key).tag(format!("tag-{key}")).await;
        started.unwrap().id().to_string()
    };
    let hers = starts("export", "ada-the-first", "her-key").await;
    let hers_waits = starts("waits", "ada-the-first", "her-other-key").await;
    let hers_goes = starts("waits", "ada-the-first", "her-going-key").await;
    let hers_was = starts("stays", "ada-the-first", "her-last-key").await;
    let his = starts("stays", "bob", "his-key").await;
    for id in [&hers, &hers_was, &his] {
        service.until_running(id).await;
    }
    let why = CancelRequest::new().actor("ada-the-first").message("her-message");
    all.cancel(service.id(&hers_was), why.clone()).await.unwrap();
    service.ended(&hers_was).await;
    let desk = Desk::with(all, |routes| {
        let host = || HostState::new("running").because("secret-of-the-process");
        Console::new(routes.authorize(hook)).allow_changes().host(host)
    })
    .await;

    let mut root = desk.reader("root").await;
    let mut bob = desk.reader("bob").await;
    assert_eq!(root.rows.len(), 5);
    assert!(root.asked.contains_key(&hers_was));
    assert_eq!(root.process.as_ref().unwrap()["host"]["why"], "secret-of-the-process");
    assert_eq!(bob.rows.keys().collect::<Vec<_>>(), [&his]);
    assert_eq!((&bob.tick["running"], &bob.tick["waiting"]), (&1.into(), &0.into()));

    // Whatever becomes of hers, and of his.
    service.steps.add_permits(1);
    root.until_row(&hers, |row| row["progress"]["done"] == 1).await;
    all.cancel(service.id(&hers), why.clone()).await.unwrap();
    service.stops.add_permits(1);
    service.ended(&hers).await;
    all.cancel(service.id(&hers_waits), why).await.unwrap();
    root.until(|root| {
        root.asked.contains_key(&hers) && root.rows[&hers_waits]["state"] == "cancelled"
    })
    .await;
    service.sql(&format!("DELETE FROM desist_ops WHERE id = '{hers_goes}'")).await;
    root.until(|root| !root.rows.contains_key(&hers_goes)).await;
    all.cancel(service.id(&his), CancelRequest::new().actor("bob")).await.unwrap();
    bob.until_row(&his, |row| row["state"] == "cancelled").await;
    bob.until(|bob| bob.asked.contains_key(&his)).await;
    bob.tick().await;
    assert_eq!(bob.asked.keys().collect::<Vec<_>>(), [&his]);
    assert!(!bob.names.iter().any(|name| name == "process" || name == "gone"), "{:?}", bob.names);
    let secrets = [
        &*hers,
        &hers_waits,
        &hers_was,
        &hers_goes,
        "ada-the-first",
        "her-key",
        "her-other-key",
        "her-last-key",
        "her-going-key",
        "her-message",
        "step ",
        "secret-of-the-process",
    ];
    never_said(&bob, &secrets);
    let api = said(desk.get("bob", "/api/")).await.1;
    assert_eq!(api["operations"].as_array().unwrap().len(), 1, "{api}");
    assert_eq!(refused(desk.get("bob", &format!("/api/{hers}/history"))).await.0, 404);
}

#[tokio::test]
async fn what_may_be_seen_no_more_is_gone() {
    let service = Service::open().await;
    let hidden = Arc::new(AtomicBool::new(false));
    let is_hidden = Arc::clone(&hidden);
    let desk = Desk::with(&service.operations, |routes| {
        Console::new(routes.authorize(move |ask| {
            // Ordering: nothing else is read.
            let hides = ask.verb() == Verb::Show && is_hidden.load(Ordering::SeqCst);
            if hides { Access::Denied } else { Access::granted("ada") }
        }))
    })
    .await;
    let id = service.running("export", "ada").await;
    let mut reader = desk.reader("ada").await;
    reader.until_row(&id, |row| row["progress"]["done"] == 0).await;
    // Ordering: nothing else is written.
    hidden.store(true, Ordering::SeqCst);
    // It is asked about at once where it changes.
    service.steps.add_permits(1);
    reader.until(|reader| reader.rows.is_empty()).await;
    reader.tick().await;
    assert_eq!(reader.tick["running"], 0);
}

#[tokio::test]
async fn whose_rights_have_ended_is_told_so_and_not_to_come_again() {
    let service = Service::open().await;
    let may = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&may);
    let desk = Desk::with(&service.operations, |routes| {
        Console::new(routes.authorize(move |_| {
            // Ordering: nothing else is read.
            if asked.load(Ordering::SeqCst) { Access::granted("ada") } else { Access::Unknown }
        }))
    })
    .await;
    let mut reader = desk.reader("ada").await;
    // Ordering: nothing else is written.
    may.store(false, Ordering::SeqCst);
    let late = service.running("export", "ada").await;
    reader.rest().await;
    let bye = reader.bye.as_ref().unwrap();
    assert_eq!(
        (&bye["again"], bye["why"].as_str().unwrap().contains("sign in")),
        (&false.into(), true)
    );
    never_said(&reader, &[&late]);
}

#[tokio::test]
async fn a_server_that_stops_sends_readers_away_and_ends() {
    let service = Service::open().await;
    let mut desk = Desk::open(&service.operations).await;
    service.running("export", "ada").await;
    let mut readers = Vec::new();
    for user in ["root", "ada", "bob"] {
        readers.push(desk.reader(user).await);
    }
    // Only to drain: whoever is connected might stay.
    desk.stop.drain();
    for mut reader in readers {
        reader.rest().await;
        let bye = reader.bye.unwrap();
        assert_eq!((&bye["again"], &bye["why"]), (&true.into(), &"the server stops".into()));
    }
    let report = tokio::time::timeout(PATIENCE, &mut desk.serving).await.unwrap().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn so_many_watch_at_a_time_and_the_others_are_told_so() {
    let service = Service::open().await;
    let desk = Desk::with(&service.operations, |routes| {
        Console::new(routes.authorize(hook).max_watching(2))
    })
    .await;
    let first = desk.reader("root").await;
    let mut second = desk.reader("bob").await;
    let third = sent(desk.live("ada")).await;
    assert_eq!(
        (third.status().as_u16(), third.headers()["retry-after"].to_str().unwrap()),
        (503, "1")
    );
    let (status, detail) = refused(desk.live("ada")).await;
    assert_eq!((status, detail.contains("too many watch already")), (503, true), "{detail}");
    // The rest of it is there.
    assert_eq!(sent(desk.get("ada", "/")).await.status(), 200);
    assert_eq!(sent(desk.get("ada", "/api/")).await.status(), 200);
    second.tick().await;

    drop(first);
    let comes = async {
        while sent(desk.live("ada")).await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, comes).await.expect("there is room again");
    Reader::whole(desk.live("ada")).await;
}

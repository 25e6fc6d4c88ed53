//! What a page may change.

use desist_ops::console::Console;
use desist_ops::{Filter, Operation};
use serde_json::{Value, json};

use super::desk::{Desk, hook, refused, said};
use super::reader::Reader;
use super::service::Service;

async fn all(service: &Service) -> Vec<(String, i64, bool)> {
    let all = service.operations.list(&Filter::new()).await.unwrap();
    let version = |one: &Operation| (one.id.to_string(), one.version, one.cancel.is_some());
    all.iter().map(version).collect()
}

/// Whether each may be cancelled, by those who read it.
fn may(reader: &Reader) -> Vec<(&str, bool)> {
    let all = reader.rows.iter();
    all.map(|(id, row)| (id.as_str(), row["may_cancel"].as_bool().unwrap())).collect()
}

#[tokio::test]
async fn until_it_is_allowed_nothing_is_changed_though_the_hook_grants_it() {
    let service = Service::open().await;
    let desk = Desk::with(&service.operations, |routes| Console::new(routes.authorize(hook))).await;
    let id = service.start("waits", "ada").await;
    let before = all(&service).await;
    let reader = desk.reader("root").await;
    assert_eq!(reader.hello["changes"], false);
    assert_eq!(may(&reader), [(&*id, false)]);
    for body in
        [json!({}), json!({ "tree": true }), json!({ "tree": true, "dry_run": true }), json!([])]
    {
        let (status, detail) = refused(desk.cancel("root", &id, &body)).await;
        assert_eq!(status, 403);
        assert!(detail.contains("`Console::allow_changes()`"), "{detail}");
    }
    assert_eq!(all(&service).await, before);
}

#[tokio::test]
async fn where_it_is_allowed_the_hook_decides_on_each() {
    let service = Service::open().await;
    let desk = Desk::open(&service.operations).await;
    let hers = service.start("waits", "ada").await;
    let his = service.start("waits", "bob").await;
    let mut both = [(&*hers, true), (&*his, true)];
    both.sort_unstable();
    let root = desk.reader("root").await;
    assert_eq!((&root.hello["changes"], may(&root)), (&json!(true), both.to_vec()));
    let guest = desk.reader("guest").await;
    assert_eq!(may(&guest), both.map(|(id, _)| (id, false)));
    assert_eq!(may(&desk.reader("ada").await), [(&*hers, true)]);

    assert_eq!(refused(desk.cancel("guest", &hers, &json!({}))).await.0, 403);
    assert_eq!(refused(desk.cancel("bob", &hers, &json!({}))).await.0, 404);
    let bare = desk.cancel("ada", &hers, &json!({})).build().unwrap();
    let mut bare = bare.try_clone().unwrap();
    bare.headers_mut().remove("x-desist");
    let bare = reqwest::RequestBuilder::from_parts(reqwest::Client::new(), bare);
    let (status, detail) = refused(bare).await;
    assert_eq!((status, detail.contains("`x-desist: 1`")), (403, true), "{detail}");
    assert!(all(&service).await.iter().all(|(.., is_asked)| !is_asked));

    let why = json!({ "mode": "cancel", "reason": "superseded", "message": "a </script>" });
    let (status, answer) = said(desk.cancel("ada", &hers, &why)).await;
    assert_eq!((status, &answer["answer"]), (200, &json!("cancelled_before_start")), "{answer}");
    let cancel = &answer["operation"]["cancel"];
    assert_eq!((&cancel["actor"], &cancel["reason"]), (&json!("ada"), &json!("superseded")));
    assert_eq!(cancel["message"], "a </script>");
}

#[tokio::test]
async fn one_that_runs_is_asked_and_a_second_time_it_is_said_who_was_first() {
    let service = Service::open().await;
    let desk = Desk::open(&service.operations).await;
    let id = service.running("export", "ada").await;
    let drains = json!({ "mode": "drain", "message": "soon" });
    let (status, answer) = said(desk.cancel("ada", &id, &drains)).await;
    assert_eq!((status, &answer["answer"]), (202, &json!("requested")), "{answer}");
    let (status, answer) = said(desk.cancel("root", &id, &json!({ "reason": "overload" }))).await;
    assert_eq!((status, &answer["answer"]), (202, &json!("already_requested")), "{answer}");
    assert_eq!(
        (&answer["first"]["actor"], &answer["first"]["message"]),
        (&json!("ada"), &json!("soon"))
    );
    service.stops.add_permits(1);
    service.ended(&id).await;
    let (status, answer) = said(desk.cancel("ada", &id, &json!({}))).await;
    assert_eq!(
        (status, &answer["answer"], &answer["outcome"]),
        (200, &json!("already_finished"), &json!("cancelled"))
    );
}

async fn tree(service: &Service) -> (String, Vec<String>) {
    // It does not stop before a test lets it.
    let root = service.running("export", "ada").await;
    service.has_begun(&root).await;
    let below = |kind: &'static str, actor: &'static str, above: String| async move {
        let above = service.id(&above);
        let started = service.operations.start(kind, &()).actor(actor).parent(above).await;
        started.unwrap().id().to_string()
    };
    let runs = below("stays", "ada", root.clone()).await;
    let waits = below("waits", "bob", runs.clone()).await;
    let other = below("waits", "ada", root.clone()).await;
    service.until_running(&runs).await;
    (root, vec![runs, waits, other])
}

#[tokio::test]
async fn what_is_only_tried_counts_and_changes_nothing() {
    let service = Service::open().await;
    let desk = Desk::open(&service.operations).await;
    let (root, below) = tree(&service).await;
    service.start("waits", "ada").await;
    let before = all(&service).await;
    let dry = json!({ "tree": true, "dry_run": true, "message": "never" });
    let (status, answer) = said(desk.cancel("root", &root, &dry)).await;
    assert_eq!((status, answer), (200, json!({ "waiting": 2, "running": 2 })));
    let (_, answer) = said(desk.cancel("root", &below[0], &dry)).await;
    assert_eq!(answer, json!({ "waiting": 1, "running": 1 }));
    let (status, detail) = refused(desk.cancel("root", &root, &json!({ "dry_run": true }))).await;
    assert_eq!((status, detail.contains("`\"tree\": true`")), (400, true), "{detail}");
    assert_eq!(all(&service).await, before);
}

#[tokio::test]
async fn a_whole_tree_is_for_those_who_may_and_is_cancelled_as_one() {
    let service = Service::open().await;
    let desk = Desk::open(&service.operations).await;
    let (root, _) = tree(&service).await;
    let before = all(&service).await;
    for body in [json!({ "tree": true }), json!({ "tree": true, "dry_run": true })] {
        let (status, detail) = refused(desk.cancel("ada", &root, &body)).await;
        assert_eq!(status, 403, "{detail}");
    }
    assert_eq!(all(&service).await, before);
    let (status, answer) = said(desk.cancel("root", &root, &json!({ "tree": true }))).await;
    assert_eq!((status, &answer["answer"]), (202, &json!("requested")), "{answer}");
    let counts = json!({ "requested": 2, "cancelled_before_start": 2, "already_finished": 0 });
    assert_eq!(answer["tree"], counts);
}

#[tokio::test]
async fn what_makes_no_sense_is_answered_with_what_would() {
    let service = Service::open().await;
    let desk = Desk::open(&service.operations).await;
    let id = service.start("waits", "ada").await;
    for (body, says) in [
        (json!({ "mode": "kill" }), "`mode` is to be `drain` or `cancel`"),
        (json!({ "reason": "because" }), "`reason`"),
        (json!({ "message": 7 }), "`message` is to be a text"),
        (json!({ "tree": "yes" }), "`tree` is to be true or false"),
        (json!({ "dry-run": true }), "`dry-run` is not known here"),
        (Value::Null, "not a JSON object"),
    ] {
        let (status, detail) = refused(desk.cancel("root", &id, &body)).await;
        assert_eq!((status, detail.contains(says)), (400, true), "{body}: {detail}");
    }
    assert_eq!(refused(desk.cancel("root", "op_0", &json!({}))).await.0, 404);
}

//! Starting and cancelling.

use serde_json::{Value, json};

use crate::PATIENCE;
use crate::site::{Site, refused, said, sent};

#[tokio::test]
async fn one_that_is_started_has_a_place_where_it_is_shown() {
    let site = Site::open().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = json!({
        "kind": "export", "input": { "table": "orders", "steps": 0 },
        "tags": ["a", "b"], "key": "orders",
    });
    let response = sent(site.post("ada", "/", &body).header("traceparent", trace)).await;
    assert_eq!(response.status(), 201);
    let place = response.headers()["location"].to_str().unwrap().to_owned();
    let started: Value = response.json().await.unwrap();
    let id = started["id"].as_str().unwrap();
    assert_eq!(place, format!("/api/operations/{id}"));
    site.operations.wait(id.parse().unwrap(), PATIENCE).await.unwrap();
    let (status, shown) = said(site.get("ada", &format!("/{id}"))).await;
    assert_eq!(status, 200);
    assert_eq!((&shown["state"], &shown["output"]), (&json!("succeeded"), &json!("orders.csv")));
    assert_eq!((&shown["actor"], &shown["traceparent"]), (&json!("ada"), &json!(trace)));
    assert_eq!((&shown["tags"], &shown["key"]), (&json!(["a", "b"]), &json!("orders")));
    assert_eq!(shown["finished"], true);
}

#[tokio::test]
async fn one_with_the_key_of_another_is_that_one() {
    let site = Site::open().await;
    let body = json!({ "kind": "export", "input": { "table": "t", "steps": 1 }, "key": "k" });
    let (first, one) = said(site.post("ada", "/", &body)).await;
    let (second, two) = said(site.post("ada", "/", &body)).await;
    assert_eq!((first.as_u16(), second.as_u16()), (201, 200));
    assert_eq!((&one["id"], &two["joined"]), (&two["id"], &json!(true)));
}

#[tokio::test]
async fn one_that_runs_is_cancelled_with_who_and_why() {
    let site = Site::open().await;
    let id = site.start("ada", 1).await;
    site.until_running(&id).await;
    let why = json!({ "message": "the wrong <table>", "reason": "superseded", "wait_ms": 30_000 });
    let (status, answer) = said(site.post("ada", &format!("/{id}/cancel"), &why)).await;
    assert_eq!((status.as_u16(), &answer["answer"]), (200, &json!("requested")), "{answer}");
    let operation = &answer["operation"];
    assert_eq!(operation["state"], "cancelled");
    let cancel = &operation["cancel"];
    assert_eq!((&cancel["actor"], &cancel["reason"]), (&json!("ada"), &json!("superseded")));
    assert_eq!(cancel["message"], "the wrong <table>");
    let (status, late) = said(site.post("ada", &format!("/{id}/cancel"), &json!({}))).await;
    assert_eq!((status.as_u16(), &late["answer"]), (200, &json!("already_finished")));
    assert_eq!(late["outcome"], "cancelled");
}

#[tokio::test]
async fn who_does_not_wait_is_told_that_it_was_accepted_and_the_next_who_was_first() {
    let site = Site::open().await;
    let id = site.start("ada", 1).await;
    site.until_running(&id).await;
    // It drains, which this one does not look at: it goes on.
    let drains = json!({ "mode": "drain", "message": "first" });
    let (status, answer) = said(site.post("ada", &format!("/{id}/cancel"), &drains)).await;
    assert_eq!((status.as_u16(), &answer["answer"]), (202, &json!("requested")), "{answer}");
    let (_, again) = said(site.post("root", &format!("/{id}/cancel"), &drains)).await;
    assert_eq!(
        (&again["answer"], &again["first"]["actor"]),
        (&json!("already_requested"), &json!("ada"))
    );
    site.steps.add_permits(1);
    let done = site.operations.wait(id.parse().unwrap(), PATIENCE).await.unwrap();
    assert!(done.succeeded_in_spite_of_a_cancel());
    let (_, shown) = said(site.get("ada", &format!("/{id}"))).await;
    assert_eq!(shown["in_spite_of_a_cancel"], true);
}

#[tokio::test]
async fn a_tree_and_a_tag_are_cancelled_as_a_whole() {
    let site = Site::open().await;
    let root = site.start("ada", 1).await;
    let below = json!({
        "kind": "export", "input": { "table": "t", "steps": 1 }, "parent": root, "delay_ms": 3_600_000,
        "tags": ["of:ada"],
    });
    let (_, child) = said(site.post("ada", "/", &below)).await;
    let (_, other) = said(site.post("ada", "/", &below)).await;
    assert_eq!(child["operation"]["parent"], json!(root));
    let dry = json!({ "tag": "of:ada", "dry_run": true });
    let (_, count) = said(site.post("ada", "/cancel", &dry)).await;
    assert_eq!(count, json!({ "waiting": 2, "running": 0 }));
    site.until_running(&root).await;
    let tree = json!({ "tree": true, "wait_ms": 30_000 });
    let (_, answer) = said(site.post("ada", &format!("/{root}/cancel"), &tree)).await;
    assert_eq!(answer["tree"]["cancelled_before_start"], 2, "{answer}");
    assert_eq!(answer["tree"]["requested"], 1);
    let (_, late) = said(site.post("ada", "/", &below)).await;
    assert_eq!(late["operation"]["state"], "cancelled");
    assert_eq!(late["operation"]["cancelled_before_start"], true);
    drop(other);

    let tagged = json!({
        "kind": "export", "input": { "table": "t", "steps": 1 }, "delay_ms": 3_600_000, "tags": ["of:ada"],
    });
    let (_, last) = said(site.post("ada", "/", &tagged)).await;
    let (_, all) = said(site.post("ada", "/cancel", &json!({ "tag": "of:ada" }))).await;
    assert_eq!(all, json!({ "cancelled_before_start": 1, "requested": 0, "already_finished": 0 }));
    let (_, last) = said(site.get("ada", &format!("/{}", last["id"].as_str().unwrap()))).await;
    assert_eq!(last["state"], "cancelled");
}

#[tokio::test]
async fn what_makes_no_sense_is_answered_with_what_would() {
    let site = Site::open().await;
    let export = |more: Value| {
        let mut body = json!({ "kind": "export", "input": { "table": "t", "steps": 0 } });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let long = "x".repeat(2000);
    for (body, status, says) in [
        (json!({ "kind": "exprot" }), 422, "there is `export`, `search`, `secret`"),
        (json!({ "input": 1 }), 400, "`kind` is missing"),
        (json!([1]), 400, "is not a JSON object"),
        (json!({ "kind": 1 }), 400, "`kind` is to be a text"),
        (
            export(json!({ "input": { "table": 7 } })),
            422,
            "not what operations of kind `export` take: ",
        ),
        (export(json!({ "input": { "table": long, "steps": 0 } })), 413, "1000 at most are kept"),
        (export(json!({ "tags": ["a", 1] })), 400, "`tags` is to be a list of texts"),
        (export(json!({ "tags": [""] })), 422, "a tag is empty"),
        (export(json!({ "tags": ["a\u{0}"] })), 422, "zero byte"),
        (export(json!({ "tags": vec!["a"; 51] })), 413, "50 at most"),
        (export(json!({ "key": long })), 413, "the key has 2000 bytes"),
        (export(json!({ "parent": "op_7" })), 400, "`parent` is no operation"),
        (export(json!({ "delay_ms": -1 })), 400, "milliseconds"),
        (export(json!({ "priority": 1 })), 400, "`priority` is not known here"),
        (
            export(json!({ "parent": desist_ops::OperationId::random().to_string() })),
            404,
            "no such",
        ),
    ] {
        let (found, detail) = refused(site.post("root", "/", &body)).await;
        assert_eq!(found, status, "{body}: {detail}");
        assert!(detail.contains(says), "{body}: {detail}");
    }
    let id = site.start("ada", 1).await;
    for (body, says) in [
        (json!({ "mode": "kill" }), "`drain` or `cancel`"),
        (json!({ "reason": "because" }), "`requested`"),
        (json!({ "wait_ms": "long" }), "milliseconds"),
        (json!({ "tree": "yes" }), "true or false"),
        (json!({ "why": "so" }), "`why` is not known here"),
    ] {
        let (status, detail) = refused(site.post("ada", &format!("/{id}/cancel"), &body)).await;
        assert_eq!((status, detail.contains(says)), (400, true), "{body}: {detail}");
    }
    let mut text = site.post("ada", "/", &json!({})).build().unwrap();
    text.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    let text = reqwest::RequestBuilder::from_parts(reqwest::Client::new(), text);
    assert_eq!(refused(text).await.0, 415);
    let huge = json!({ "kind": "export", "input": "x".repeat(200_000) });
    assert_eq!(refused(site.post("ada", "/", &huge)).await.0, 413);
    assert!(site.operations.get(id.parse().unwrap()).await.unwrap().unwrap().cancel.is_none());
    assert_eq!(site.operations.count(&desist_ops::Filter::new()).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_cancels_at_once_are_all_answered() {
    let site = std::sync::Arc::new(Site::open().await);
    let id = site.start("ada", 1).await;
    site.until_running(&id).await;
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let (site, path) = (std::sync::Arc::clone(&site), format!("/{id}/cancel"));
        asking.spawn(async move {
            let body = json!({ "message": n.to_string(), "mode": "drain" });
            let (status, answer) = said(site.post("ada", &path, &body)).await;
            assert_eq!(status, 202, "{answer}");
            answer["answer"].as_str().unwrap().to_owned()
        });
    }
    let answers = asking.join_all().await;
    assert_eq!(answers.iter().filter(|answer| *answer == "requested").count(), 1);
    assert_eq!(answers.iter().filter(|answer| *answer == "already_requested").count(), 999);
    site.steps.add_permits(1);
    let done = site.operations.wait(id.parse().unwrap(), PATIENCE).await.unwrap();
    assert!(done.succeeded_in_spite_of_a_cancel());
}

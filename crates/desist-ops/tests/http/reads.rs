//! What is shown.

use serde_json::{Value, json};

use crate::site::{Site, refused, said, sent};

fn ids(list: &Value) -> Vec<String> {
    let all = list["operations"].as_array().unwrap();
    all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_list_is_read_page_by_page_and_misses_none() {
    let site = Site::open().await;
    let mut started = Vec::new();
    for n in 0..7 {
        // Those of others are on the pages, too, and are not shown.
        let user = if n == 3 { "bob" } else { "ada" };
        let id = site.start(user, 1).await;
        if user == "ada" {
            started.insert(0, id);
        }
    }
    let (mut found, mut before) = (Vec::new(), None::<i64>);
    loop {
        let more = before.map(|before| format!("&before={before}")).unwrap_or_default();
        let (status, page) = said(site.get("ada", &format!("/?limit=2{more}"))).await;
        assert_eq!(status, 200);
        found.extend(ids(&page));
        before = page["before"].as_i64();
        if before.is_none() {
            break;
        }
    }
    assert_eq!(found, started);
}

#[tokio::test]
async fn a_list_is_of_what_was_asked_for() {
    let site = Site::open().await;
    let body = json!({ "kind": "secret", "tags": ["t'; DROP TABLE desist_ops; --"] });
    let (_, secret) = said(site.post("root", "/", &body)).await;
    let secret = vec![secret["id"].as_str().unwrap().to_owned()];
    let export = site.start("root", 1).await;
    let tag = "tag=t%27%3B%20DROP%20TABLE%20desist_ops%3B%20--";
    for query in ["kind=secret", tag, "kind=secret&state=&actor=root"] {
        assert_eq!(ids(&said(site.get("root", &format!("/?{query}"))).await.1), secret, "{query}");
    }
    site.until_running(&export).await;
    let tree = format!("tree={export}");
    for query in ["kind=export&state=running", tree.as_str()] {
        let list = said(site.get("root", &format!("/?{query}"))).await.1;
        assert_eq!(ids(&list), [export.as_str()], "{query}");
    }
    for query in ["state=failed", "actor=ada", "cancelled_by=root", "reason=requested", "kind=%00"]
    {
        assert!(ids(&said(site.get("root", &format!("/?{query}"))).await.1).is_empty(), "{query}");
    }
    for (query, says) in [
        ("state=lost", "one of waiting, running, succeeded, failed, cancelled"),
        ("limit=0", "from 1 on"),
        ("before=x", "whole number"),
        ("parent=7", "`parent` is no operation"),
        ("sort=kind", "`sort` is not known here"),
        ("kind", "`kind`"),
    ] {
        let response = sent(site.get("root", &format!("/?{query}"))).await;
        if query == "kind" {
            // It asks for nothing.
            assert_eq!(response.status(), 200);
            continue;
        }
        let (status, detail) = refused(site.get("root", &format!("/?{query}"))).await;
        assert_eq!((status, detail.contains(says)), (400, true), "{query}: {detail}");
    }
}

#[tokio::test]
async fn history_tells_what_happened_in_order() {
    let site = Site::open().await;
    let id = site.start("ada", 1).await;
    site.until_running(&id).await;
    let cancel = json!({ "wait_ms": 30_000, "message": "enough" });
    let (status, _) = said(site.post("ada", &format!("/{id}/cancel"), &cancel)).await;
    assert_eq!(status, 200);
    let (_, history) = said(site.get("ada", &format!("/{id}/history"))).await;
    let events = history["events"].as_array().unwrap();
    let what: Vec<_> = events.iter().map(|event| event["what"].as_str().unwrap()).collect();
    let what: Vec<_> = what.into_iter().filter(|what| *what != "heard").collect();
    assert_eq!(what, ["started", "claimed", "cancel_requested", "finished"]);
    let asked = events.iter().find(|event| event["what"] == "cancel_requested").unwrap();
    assert_eq!(asked["detail"]["message"], "enough");
    assert!(events.iter().all(|event| event["at"].as_str().unwrap().ends_with('Z')));
}

#[tokio::test]
async fn a_wrong_method_and_a_name_that_is_no_text_are_said_to_be_that() {
    let site = Site::open().await;
    let id = site.start("ada", 1).await;
    for request in [
        site.get("ada", &format!("/{id}/cancel")),
        site.get("ada", "/cancel"),
        site.post("ada", &format!("/{id}"), &json!({})),
        site.post("ada", &format!("/{id}/watch"), &json!({})),
    ] {
        let (status, detail) = refused(request).await;
        assert_eq!((status, detail.contains("asked for with GET")), (405, true), "{detail}");
    }
    for what in ["", "/watch", "/history"] {
        assert_eq!(refused(site.get("ada", &format!("/%ff{what}"))).await.0, 400, "{what}");
    }
    assert_eq!(refused(site.post("ada", "/%ff/cancel", &json!({}))).await.0, 400);
}

//! Keys over HTTP, where several start at once.

use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use crate::site::{Site, said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_that_one_user_starts_at_once_the_newest_wins() {
    let site = Arc::new(Site::open().await);
    let mut starting = JoinSet::new();
    for _ in 0..8 {
        let site = Arc::clone(&site);
        starting.spawn(async move {
            let body =
                json!({ "kind": "search", "input": null, "key": "k", "delay_ms": 3_600_000 });
            let (status, body) = said(site.post("ada", "/", &body)).await;
            assert_eq!(status, 201, "{body}");
        });
    }
    starting.join_all().await;
    let waiting = desist_ops::Filter::new().state(desist_ops::State::Waiting);
    let left = site.operations.list(&waiting).await.unwrap();
    assert_eq!(left.len(), 1);
    let newest = site.operations.list(&desist_ops::Filter::new().most(1)).await.unwrap();
    assert_eq!(left[0].id, newest[0].id);
}

#[tokio::test]
async fn whoever_may_stop_and_not_see_is_told_no_more_than_that() {
    use desist_ops::http::{Access, Verb};

    let site = Site::with(|routes| {
        routes.authorize(|ask| match ask.verb() {
            Verb::Cancel | Verb::Start => Access::granted("ada"),
            _ => Access::Denied,
        })
    })
    .await;
    let starts =
        json!({ "kind": "search", "input": null, "tags": ["hidden"], "delay_ms": 3_600_000 });
    let (_, started) = said(site.post("ada", "/", &starts)).await;
    let id = started["id"].as_str().unwrap();
    let (status, answer) = said(site.post("ada", &format!("/{id}/cancel"), &json!({}))).await;
    assert_eq!((status.as_u16(), &answer["answer"]), (200, &json!("cancelled_before_start")));
    assert_eq!((&answer["state"], &answer["operation"]), (&json!("cancelled"), &json!(null)));
    assert!(!answer.to_string().contains("hidden"));
}

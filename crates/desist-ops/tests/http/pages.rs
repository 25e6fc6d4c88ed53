//! What a list tells of what may not be seen: nothing.

use serde_json::{Value, json};

use crate::site::{Site, said};

/// What they are told.
async fn list(site: &Site, user: &str, query: &str) -> Value {
    let (status, list) = said(site.get(user, &format!("/?{query}"))).await;
    assert_eq!(status, 200, "{list}");
    list
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_listed_as_if_it_did_not_exist() {
    let site = Site::open().await;
    let root = site.start("ada", 1).await;
    let below = json!({
        "kind": "export", "input": { "table": "t", "steps": 1 }, "parent": root, "key": "k",
        "tags": ["of:ada"],
    });
    assert_eq!(said(site.post("ada", "/", &below)).await.0, 201);
    let nobody = desist_ops::OperationId::random();
    let nothing = json!({ "operations": [], "before": null });
    for query in [
        format!("tree={root}"),
        format!("parent={root}"),
        format!("tree={nobody}"),
        "tag=of:ada".to_owned(),
        "tag=of:nobody".to_owned(),
        "actor=ada".to_owned(),
        "actor=nobody".to_owned(),
        "kind=export".to_owned(),
    ] {
        for limit in ["", "&limit=1", "&limit=2"] {
            let query = format!("{query}{limit}");
            assert_eq!(list(&site, "bob", &query).await, nothing, "{query}");
        }
    }
    assert_eq!(list(&site, "ada", &format!("tree={root}")).await["operations"][1]["id"], root);
}

#[tokio::test]
async fn a_page_is_of_what_may_be_seen_and_ends_where_that_does() {
    let site = Site::open().await;
    let mut his = Vec::new();
    for _ in 0..3 {
        site.start("ada", 1).await;
        his.insert(0, site.start("bob", 1).await);
        site.start("ada", 1).await;
    }
    let ids = |page: &Value| -> Vec<String> {
        let all = page["operations"].as_array().unwrap();
        all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let page = list(&site, "bob", "limit=2").await;
    assert_eq!(ids(&page), his[..2], "it is full, though hers are between");
    assert_eq!(page["before"], page["operations"][1]["sequence"]);
    let last = list(&site, "bob", &format!("limit=2&before={}", page["before"])).await;
    assert_eq!(ids(&last), his[2..]);
    assert_eq!(last["before"], Value::Null, "nothing tells that hers come after it");
    // Also where his last one fills it.
    let page = list(&site, "bob", "limit=3").await;
    assert_eq!((ids(&page), &page["before"]), (his, &page["operations"][2]["sequence"]));
}

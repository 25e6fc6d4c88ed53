//! Who may do what, and what others learn.

use serde_json::json;

use crate::site::{Site, refused, said, sent};

#[tokio::test]
async fn without_a_hook_everything_is_refused_with_the_words_that_set_it() {
    let site = Site::with(|routes| routes).await;
    let id = site.operations.start_json("secret", "null").await.unwrap().id();
    for path in
        ["/", "/overdue", &format!("/{id}"), &format!("/{id}/watch"), &format!("/{id}/history")]
    {
        let (status, detail) = refused(site.get("root", path)).await;
        assert_eq!(status, 403, "{path}");
        assert!(detail.contains("set `Routes::authorize(|ask| ..)`"), "{path}: {detail}");
    }
    for (path, body) in [
        ("/".to_owned(), json!({ "kind": "secret" })),
        ("/".to_owned(), json!([])),
        ("/cancel".to_owned(), json!({ "tag": "a" })),
        (format!("/{id}/cancel"), json!({})),
    ] {
        let (status, detail) = refused(site.post("root", &path, &body)).await;
        assert_eq!(status, 403, "{path}");
        assert!(detail.contains("set `Routes::authorize(|ask| ..)`"), "{path}: {detail}");
    }
    assert!(site.operations.get(id).await.unwrap().unwrap().cancel.is_none());
}

#[tokio::test]
async fn whoever_is_not_known_is_told_to_sign_in() {
    let site = Site::open().await;
    let id = site.start("ada", 1).await;
    for path in ["/".to_owned(), format!("/{id}"), "/op_0".to_owned(), format!("/{id}/watch")] {
        let request = site.get("", &path).build().unwrap();
        let mut request =
            reqwest::RequestBuilder::from_parts(reqwest::Client::new(), request).build().unwrap();
        request.headers_mut().remove("x-user");
        let request = reqwest::RequestBuilder::from_parts(reqwest::Client::new(), request);
        assert_eq!(refused(request).await.0, 401, "{path}");
    }
    let cancels = site.post_bare(&format!("/{id}/cancel"), &json!({})).header("x-desist", "1");
    assert_eq!(refused(cancels).await.0, 401);
}

#[tokio::test]
async fn what_somebody_may_not_see_is_to_them_as_if_it_did_not_exist() {
    let site = Site::open().await;
    let hers = site.start("ada", 1).await;
    let none = desist_ops::OperationId::random();
    for what in ["", "/watch", "/history"] {
        let (theirs, nobodys) = (
            site.get("bob", &format!("/{hers}{what}")),
            site.get("bob", &format!("/{none}{what}")),
        );
        let (theirs, nobodys) = (refused(theirs).await, refused(nobodys).await);
        assert_eq!(theirs.0, 404);
        assert_eq!(theirs, nobodys, "{what}");
    }
    for body in [json!({}), json!({ "tree": true })] {
        let theirs = refused(site.post("bob", &format!("/{hers}/cancel"), &body)).await;
        let nobodys = refused(site.post("bob", &format!("/{none}/cancel"), &body)).await;
        assert_eq!(theirs.0, 404);
        assert_eq!(theirs, nobodys);
    }
    let below = json!({ "kind": "export", "input": { "table": "t", "steps": 0 }, "parent": hers });
    assert_eq!(refused(site.post("bob", "/", &below)).await.0, 404);
    let (_, list) = said(site.get("bob", "/")).await;
    assert_eq!(list["operations"], json!([]));
    let (_, list) = said(site.get("guest", "/")).await;
    assert_eq!(list["operations"][0]["id"], json!(hers));
}

#[tokio::test]
async fn whoever_may_see_and_not_change_is_told_so() {
    let site = Site::open().await;
    let id = site.start("ada", 1).await;
    assert_eq!(said(site.get("guest", &format!("/{id}"))).await.1["actor"], "ada");
    let (status, detail) = refused(site.post("guest", &format!("/{id}/cancel"), &json!({}))).await;
    assert_eq!((status, detail.contains("you may see this operation")), (403, true));
    let starts = json!({ "kind": "secret" });
    assert_eq!(refused(site.post("ada", "/", &starts)).await.0, 403);
    assert_eq!(refused(site.post("ada", "/cancel", &json!({ "tag": "of:bob" }))).await.0, 403);
    assert_eq!(site.operations.count(&desist_ops::Filter::new()).await.unwrap(), 1);
    assert!(site.operations.get(id.parse().unwrap()).await.unwrap().unwrap().cancel.is_none());
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let site = Site::open().await;
    let id = site.start("ada", 1).await;
    let path = format!("/{id}/cancel");
    let bare = || site.post_bare(&path, &json!({})).header("x-user", "ada");
    for request in [
        bare(),
        bare().header("sec-fetch-site", "cross-site"),
        bare().header("sec-fetch-site", "same-site"),
        bare().header("sec-fetch-site", "none"),
        bare().header("origin", "https://evil.example"),
        bare().header("origin", "null"),
        // What is said of the site counts more than what is said of the origin.
        bare().header("sec-fetch-site", "cross-site").header("origin", "http://127.0.0.1"),
    ] {
        let (status, detail) = refused(request).await;
        assert_eq!(status, 403);
        assert!(detail.contains("`x-desist: 1`"), "{detail}");
    }
    assert!(site.operations.get(id.parse().unwrap()).await.unwrap().unwrap().cancel.is_none());

    let host = bare().build().unwrap().url().authority().to_owned();
    for request in [
        bare().header("sec-fetch-site", "same-origin"),
        bare().header("origin", format!("http://{host}")),
        bare().header("x-desist", "1"),
    ] {
        assert!(sent(request).await.status().is_success());
    }
}

#[tokio::test]
async fn a_key_gives_nobody_what_belongs_to_somebody_else() {
    let site = Site::open().await;
    let starts = |kind: &str| json!({ "kind": kind, "input": if kind == "export" { json!({ "table": "t", "steps": 1 }) } else { json!(null) }, "key": "k" });
    for kind in ["export", "search"] {
        let (status, hers) = said(site.post("ada", "/", &starts(kind))).await;
        assert_eq!(status, 201, "{hers}");
        let (status, detail) = refused(site.post("bob", "/", &starts(kind))).await;
        assert_eq!((status, detail.contains("is not yours")), (409, true));
        let id = hers["id"].as_str().unwrap().parse().unwrap();
        assert!(site.operations.get(id).await.unwrap().unwrap().cancel.is_none());
    }
}

//! What is kept as it was written, and what is done though nobody can read it.

use desist::Token;
use desist_sql::sqlite::rusqlite;
use serde_json::{Value, json};

use crate::site::{Site, said};

/// As if it were removed as soon as that has happened to it.
async fn removes_after(site: &Site, what: &'static str) {
    let trigger = format!(
        "CREATE TRIGGER removes AFTER INSERT ON desist_ops_event WHEN NEW.what = '{what}' \
         BEGIN DELETE FROM desist_ops WHERE id = NEW.id; END"
    );
    let pool = site.operations.store().pool();
    pool.write(&Token::never(), move |conn| conn.execute_batch(&trigger)).await.unwrap();
}

#[tokio::test]
async fn numbers_are_kept_as_they_were_written() {
    let site = Site::open().await;
    // Neither of them is what a program would write that has read it.
    let input =
        r#"{ "table": "t", "steps": 0, "n": 123456789012345678901234567890, "price": 1.10 }"#;
    let body = format!(r#"{{ "kind": "export", "input": {input}, "delay_ms": 3600000 }}"#);
    let (status, answer) = said(site.post("ada", "/", &json!({})).body(body)).await;
    assert_eq!(status, 201, "{answer}");
    let pool = site.operations.store().pool();
    let reads = pool.run(&Token::never(), |conn| {
        conn.query_row("SELECT input FROM desist_ops", [], |row| row.get::<_, String>(0))
    });
    let kept: Result<String, desist_sql::Error<rusqlite::Error>> = reads.await;
    assert_eq!(kept.unwrap(), input);
}

#[tokio::test]
async fn what_was_started_is_answered_as_started_though_it_cannot_be_read() {
    let site = Site::open().await;
    removes_after(&site, "started").await;
    let body = json!({ "kind": "export", "input": { "table": "t", "steps": 1 } });
    let (status, answer) = said(site.post("ada", "/", &body)).await;
    assert_eq!(status, 201, "{answer}");
    assert!(answer["id"].as_str().unwrap().starts_with("op_"));
    assert_eq!(answer["operation"], Value::Null);
}

#[tokio::test]
async fn what_was_cancelled_is_answered_as_cancelled_though_it_cannot_be_read() {
    let site = Site::open().await;
    let body = json!({
        "kind": "export", "input": { "table": "t", "steps": 1 }, "delay_ms": 3_600_000,
    });
    let (_, started) = said(site.post("ada", "/", &body)).await;
    removes_after(&site, "finished").await;
    let path = format!("/{}/cancel", started["id"].as_str().unwrap());
    let (status, answer) = said(site.post("ada", &path, &json!({ "wait_ms": 30_000 }))).await;
    assert_eq!((status.as_u16(), &answer["answer"]), (202, &json!("cancelled_before_start")));
    assert_eq!(answer["operation"], Value::Null);
}

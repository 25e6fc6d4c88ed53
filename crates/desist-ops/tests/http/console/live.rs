//! What there is to see, as it happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use desist_ops::console::Console;
use desist_ops::{BoxError, CancelRequest, Context, Kind, OperationId, Operations, Sqlite};
use desist_sql::sqlite::{Pool, rusqlite};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::desk::{Desk, hook, sent};
use super::reader::Reader;
use super::service::Service;
use crate::PATIENCE;

#[tokio::test]
async fn all_of_it_comes_first_and_in_order() {
    let service = Service::with(Sqlite::open(":memory:").await.unwrap(), |builder| {
        builder.label("replica \"1\"")
    })
    .await;
    let stopped = service.running("stays", "ada").await;
    service.operations.cancel(service.id(&stopped), CancelRequest::new()).await.unwrap();
    service.ended(&stopped).await;
    let id = service.running("export", "ada").await;
    let desk = Desk::open(&service.operations).await;
    let reader = desk.reader("root").await;
    let names: Vec<_> = reader.names.iter().map(String::as_str).collect();
    assert_eq!(names.last(), Some(&"tick"));
    // Those two come also while it is looked for long.
    let names: Vec<_> =
        names.into_iter().filter(|name| !["process", "tick"].contains(name)).collect();
    assert_eq!(names, ["hello", "reset", "rows", "asked", "whole"]);
    let hello = &reader.hello;
    assert_eq!(hello["label"], "replica \"1\"");
    assert_eq!(hello["kinds"], json!(["export", "fails", "stays", "waits"]));
    assert_eq!(hello["most"], json!({ "running": 20000, "waiting": 10_000 }));
    assert!(hello["reasons"].as_array().unwrap().contains(&json!("requested")));
    let row = &reader.rows[&id];
    assert_eq!(
        (&row["kind"], &row["state"], &row["actor"]),
        (&json!("export"), &json!("running"), &json!("ada"))
    );
    assert_eq!((&row["attempt"], &row["grace"]), (&json!(1), &json!(5000)));
    for time in ["created", "run_at", "started"] {
        let age = reader.tick["now"].as_i64().unwrap() - row[time].as_i64().unwrap();
        assert!((0..120_000).contains(&age), "{time}: {row} {}", reader.tick);
    }
    let process = reader.process.unwrap();
    assert_eq!(process["pid"], std::process::id());
    let export = json!({ "name": "export", "running": 1, "concurrency": 8 });
    assert!(process["operations"]["kinds"].as_array().unwrap().contains(&export), "{process}");
    assert_eq!(reader.tick["down_since"], json!(null));
}

#[tokio::test]
async fn who_comes_later_has_all_of_it_at_once_also_while_the_database_is_away() {
    let service = Service::open().await;
    let desk = Desk::open(&service.operations).await;
    let id = service.running("export", "ada").await;
    let waits = service.start("waits", "ada").await;
    let mut first = desk.reader("root").await;
    first.until_row(&id, |row| row["progress"]["done"] == 0).await;
    first.until_row(&waits, |_| true).await;
    service.sql("ALTER TABLE desist_ops RENAME TO away").await;
    first.until(|first| !first.tick["down_since"].is_null()).await;
    assert_eq!(first.rows.len(), 2);

    let second = desk.reader("ada").await;
    assert_eq!(second.rows, first.rows);
    assert!(second.tick["down"].as_str().unwrap().contains("does not answer"), "{}", second.tick);
    assert_eq!(second.tick["down_since"], first.tick["down_since"]);
}

#[tokio::test]
async fn while_nobody_looks_nothing_is_asked_and_for_many_it_is_asked_once() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&reads);
    let folder = std::env::temp_dir().join(format!("desist-ops-looks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let reset = move |conn: &mut rusqlite::Connection| {
        // Ordering: it only counts.
        counts.fetch_add(usize::from(conn.is_readonly("main")?), Ordering::SeqCst);
        Ok(())
    };
    let pool = Pool::builder().path(folder.join("operations.db")).reset(reset).open();
    let store = Sqlite::new(pool.await.unwrap()).await.unwrap();
    let waits = |_: Context<Sqlite>, (): ()| async { Ok::<_, BoxError>(()) };
    // Nobody runs them: there is nobody else who asks.
    let operations =
        Operations::builder(store).kind(Kind::new("waits", waits)).open().await.unwrap();
    let desk = Desk::open(&operations).await;
    // Ordering: it only counts.
    let count = || reads.load(Ordering::SeqCst);
    let quiet = async || {
        let before = count();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        count() - before
    };
    let start = async || operations.start("waits", &()).await.unwrap().id().to_string();
    start().await;
    assert_eq!(sent(desk.get("root", "/")).await.status(), 200);
    assert_eq!(quiet().await, 0, "nobody looks");

    let (before, began) = (count(), Instant::now());
    let mut readers = vec![desk.reader("root").await];
    // Whoever comes to others waits for no look. One may happen meanwhile, and not each time.
    let mut comes = 0..20;
    while comes.next().is_some() {
        let before = count();
        readers.push(desk.reader("root").await);
        if count() == before {
            break;
        }
    }
    assert!(!comes.is_empty(), "each of them waited for a look");
    let mut changed = 0;
    for _ in 0..4 {
        let id = start().await;
        changed += 1;
        for reader in &mut readers {
            reader.until_row(&id, |_| true).await;
        }
    }
    // There is half a second between two looks, whoever wants them; and what is new is read once.
    let most = usize::try_from(began.elapsed().as_millis() / 500).unwrap() + 2 + changed + 1;
    let did = count() - before;
    assert!((2 + 2 * changed..=most).contains(&did), "{did} reads, {most} at most");

    drop(readers);
    // The server notices by what it cannot send any more, and there is no event of that.
    let gone = async {
        while !desk.in_flight.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("they have gone");
    // One may have begun for them.
    quiet().await;
    assert_eq!(quiet().await, 0, "it is asked for nobody");
    // And what was seen then is not shown for now.
    let late = start().await;
    assert!(desk.reader("root").await.rows.contains_key(&late));
    drop((desk, operations));
    let _ = std::fs::remove_dir_all(&folder);
}

const HOSTILE: &str = "a\r\nevent: bye\ndata: {}\n\n\r\r\u{2028}\u{2029}\u{85}\u{b}\"'\\</script><b>&amp; \u{1f980}\u{202e}";

#[tokio::test]
async fn any_text_arrives_as_it_was_and_breaks_nothing() {
    let label = format!("{HOSTILE}label");
    let service = Service::with(Sqlite::open(":memory:").await.unwrap(), |builder| {
        builder.label(&*label).kind(Kind::new(HOSTILE, |ctx: Context<Sqlite>, (): ()| async move {
            ctx.progress(1, None, format!("{HOSTILE}\0{}", "x".repeat(10_000)));
            ctx.token().cancelled().await;
            Err::<(), _>(BoxError::from(format!("{HOSTILE}\0{}", "y".repeat(10_000))))
        }))
    })
    .await;
    let desk = Desk::open(&service.operations).await;
    let starts = service.operations.start(HOSTILE, &()).actor(format!("{HOSTILE}\0"));
    let starts = starts.key(HOSTILE).tag(HOSTILE).tag("]}\n\n");
    let id = starts.await.unwrap().id();
    let why =
        CancelRequest::new().actor(HOSTILE).message(format!("{HOSTILE}\0{}", "z".repeat(10_000)));
    let name = id.to_string();
    let mut reader = desk.reader("root").await;
    reader.until_row(&name, |row| row["progress"]["done"] == 1).await;
    service.operations.cancel(id, why).await.unwrap();
    let row = reader.until_row(&name, |row| row["state"] == "cancelled").await;
    reader.until(|reader| reader.asked.contains_key(&name)).await;

    assert_eq!(reader.hello["label"], label);
    assert!(reader.hello["kinds"].as_array().unwrap().contains(&HOSTILE.into()));
    for (is, at) in [(&row["kind"], "kind"), (&row["key"], "key"), (&row["tags"][0], "tag")] {
        assert_eq!(is, HOSTILE, "{at}");
    }
    assert_eq!(row["tags"][1], "]}\n\n");
    assert_eq!(row["actor"], format!("{HOSTILE}\u{fffd}"));
    assert_eq!(row["cancel"]["actor"], HOSTILE);
    for (is, letter, most) in [
        (&row["progress"]["message"], "x", 1000),
        (&row["cancel"]["message"], "z", 1000),
        (&row["error"], "y", 8000),
    ] {
        let is = is.as_str().unwrap();
        let (head, tail) = (format!("{HOSTILE}\u{fffd}"), format!("{letter}…"));
        assert!(is.starts_with(&head) && is.ends_with(&tail), "{is:?}");
        assert_eq!(is.chars().count(), most + 1);
    }
    assert_eq!(reader.asked[&name]["kind"], HOSTILE);
    assert!(!reader.raw.contains(&b'\r') && !reader.raw.contains(&0), "{:?}", reader.raw);
    // And so it is asked for.
    let mut asks = reqwest::Url::parse("http://host/").unwrap();
    asks.query_pairs_mut().append_pair("kind", HOSTILE);
    let asks = format!("/api/?{}", asks.query().unwrap());
    let (_, list) = super::desk::said(desk.get("root", &asks)).await;
    assert_eq!(list["operations"][0]["key"], HOSTILE);
}

/// A page takes no event without end.
#[tokio::test]
async fn long_texts_come_in_pieces() {
    let service = Service::open().await;
    for _ in 0..20 {
        let tags = (0..50).map(|number| format!("{number}{}", "\"".repeat(490)));
        let start = service.operations.start("waits", &());
        let _ = tags.fold(start, |start, tag| start.tag(tag)).await.unwrap();
    }
    let reader = Desk::open(&service.operations).await.reader("root").await;
    assert_eq!(reader.rows.len(), 20);
    let longest = reader.raw.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap();
    assert!((200_000..400_000).contains(&longest), "{longest}");
}

#[tokio::test]
async fn a_hook_that_panics_costs_nobody_else_anything() {
    use desist_ops::http::Verb;

    let service = Service::open().await;
    let desk = Desk::with(&service.operations, |routes| {
        Console::new(routes.authorize(|ask| {
            let user = ask.request().headers["x-user"].to_str().unwrap();
            let verb = ask.verb();
            assert!(user != "show" || verb != Verb::Show, "as it was meant to");
            assert!(user != "list" || verb != Verb::List, "as it was meant to");
            assert!(user != "process" || verb != Verb::Process, "as it was meant to");
            hook(ask)
        }))
    })
    .await;
    let id = service.running("export", "ada").await;
    let mut reader = desk.reader("root").await;
    for user in ["show", "list", "process", "show"] {
        if let Ok(mut response) = desk.live(user).send().await {
            let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
            tokio::time::timeout(PATIENCE, rest).await.unwrap();
        }
    }
    service.steps.add_permits(1);
    reader.until_row(&id, |row| row["progress"]["done"] == 1).await;
    drop(reader);
    // Also when nobody else is there.
    let rest = async {
        if let Ok(mut response) = desk.live("show").send().await {
            while let Ok(Some(_)) = response.chunk().await {}
        }
    };
    tokio::time::timeout(PATIENCE, rest).await.unwrap();
    assert_eq!(desk.reader("root").await.rows.len(), 1);
}

#[tokio::test]
async fn who_goes_in_the_middle_of_it_keeps_nobody_waiting() {
    let service = Service::open().await;
    let desk = Desk::open(&service.operations).await;
    let id = service.running("export", "ada").await;
    for events in 0..6 {
        let mut goes = Reader::of(desk.live("root")).await;
        for _ in 0..events {
            goes.next().await.unwrap();
        }
        drop(goes);
        let all = tokio::time::timeout(PATIENCE, desk.reader("root")).await.unwrap();
        assert!(all.rows.contains_key(&id), "{events}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_keeps_nobody_waiting_and_has_what_is_then_when_they_do() {
    let service = Service::open().await;
    let desk = Desk::open(&service.operations).await;
    // More than fits into any socket.
    let tags: Vec<_> = (0..100).map(|n| format!("{n}{}", "t".repeat(480))).collect();
    let tags = serde_json::to_string(&tags).unwrap();
    let insert = |_| {
        let id = OperationId::random();
        format!(
            "INSERT INTO desist_ops (id, kind, state, input, created_at, run_at, tags) \
             VALUES ('{id}', 'waits', 'waiting', 'null', 1, 1, '{tags}');"
        )
    };
    service.sql(&(0..200).map(insert).collect::<String>()).await;
    let id = service.running("export", "ada").await;
    let mut sleeps = Reader::of(desk.live("root")).await;
    let mut stream = tokio::net::TcpStream::connect(desk.host).await.unwrap();
    let never = "GET /admin/console/live HTTP/1.1\r\nHost: localhost\r\nX-User: root\r\n\r\n";
    stream.write_all(never.as_bytes()).await.unwrap();

    let mut reader = desk.reader("ada").await;
    for step in 1..=3 {
        service.steps.add_permits(1);
        reader.until_row(&id, |row| row["progress"]["done"] == step).await;
    }
    service.sql("DELETE FROM desist_ops WHERE kind = 'waits' AND seq % 2 = 0").await;
    let left = 100;
    sleeps.until(|sleeps| sleeps.is_whole && sleeps.tick["waiting"] == left).await;
    assert_eq!(sleeps.rows[&id]["progress"]["done"], 3);

    // And the server ends, whoever does not read.
    let mut desk = desk;
    desk.stop.cancel();
    let report = tokio::time::timeout(PATIENCE, &mut desk.serving).await.unwrap().unwrap();
    assert!(!report.is_clean(), "they have not read to the end");
    drop(stream);
}

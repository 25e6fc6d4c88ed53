//! Messages of NATS.

use crate::nats::Server;
use crate::showcase::{Showcase, hears};

/// What is in hand goes back, and is worked on by the next; nothing is there twice.
#[test]
fn messages_are_worked_on_and_outlive_an_interrupt() {
    let Some(server) = Server::start() else { return };
    let url = server.url();
    let showcase = Showcase::start_with(&["--nats", &url]);
    let log = showcase.log();
    let answer = showcase.answer("POST /messages?count=8");
    assert!(answer.ends_with("8 messages are published\n"), "{answer}");
    hears(&log, "message", "\"said\":\"finished\"");
    hears(&log, "message", "\"said\":\"begun\"");
    showcase.signal("-INT");
    let (data, code, said) = showcase.ends_and_leaves();
    assert_eq!(code, Some(0), "{said}");
    let done = said.matches("message finished").count();
    assert!(done < 8, "{said}");
    let next = Showcase::start_on(data, &["--nats", &url]);
    let log = next.log();
    for _ in 0..8 - done {
        hears(&log, "message", "\"said\":\"finished\"");
    }
    let id = next.starts("export", "{}");
    assert_eq!(next.until(&id, "succeeded")["output"]["documents"], 2008);
}

#[test]
fn a_server_that_is_away_is_told_with_its_address() {
    let folder = crate::showcase::Folder::new("away");
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_showcase"))
        .args(["--port", "0", "--nats", "nats://127.0.0.1:1", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let report = String::from_utf8(ended.stderr).unwrap();
    assert!(report.contains("`nats` failed") && report.contains("127.0.0.1:1"), "{report}");
}

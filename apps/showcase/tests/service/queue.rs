//! Messages of NATS.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use rustix::process::Signal;

use crate::nats::Server;
use crate::showcase::{PATIENCE, Showcase, hears};

/// As one that knows nothing but the protocol.
fn client(server: &Server) -> TcpStream {
    let mut client = TcpStream::connect(server.url().strip_prefix("nats://").unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"CONNECT {\"verbose\":false}\r\n").unwrap();
    client
}

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
        // What is set to nothing is not set.
        .envs([("SHOWCASE_ADDRESS", ""), ("SHOWCASE_DATABASE", ""), ("PORT", "")])
        .args(["--nats", "nats://127.0.0.1:1", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let report = String::from_utf8(ended.stderr).unwrap();
    assert!(report.contains("`nats` failed") && report.contains("127.0.0.1:1"), "{report}");
}

/// One is published, as soon as that can be, and worked on.
fn works_on_one(showcase: &Showcase, log: &Receiver<String>) {
    let published = |answer: String| answer.ends_with("1 messages are published\n");
    let until = Instant::now() + PATIENCE;
    while !published(showcase.answer("POST /messages?count=1")) {
        assert!(Instant::now() < until, "it is not found again");
    }
    hears(log, "message", "\"said\":\"finished\"");
}

/// It is told, and found again when it is back.
#[test]
fn a_server_that_goes_away_is_told_and_found_again() {
    let Some(mut server) = Server::start() else { return };
    let mut showcase = Showcase::start_with(&["--nats", &server.url()]);
    let log = showcase.log();
    works_on_one(&showcase, &log);
    server.stop(Signal::KILL);
    showcase.says("trouble with the broker");
    server.start_again();
    works_on_one(&showcase, &log);
}

/// It was there at the start, and gone before anybody asked it for a message.
#[test]
fn a_server_that_goes_away_at_once_is_found_again_too() {
    let Some(mut server) = Server::start() else { return };
    let showcase = Showcase::start_with(&["--nats", &server.url()]);
    server.stop(Signal::KILL);
    let log = showcase.log();
    server.start_again();
    works_on_one(&showcase, &log);
}

/// As a container does without a volume.
#[test]
fn a_server_that_comes_back_with_nothing_is_worked_for_again() {
    let Some(mut server) = Server::start() else { return };
    let mut showcase = Showcase::start_with(&["--nats", &server.url()]);
    let log = showcase.log();
    works_on_one(&showcase, &log);
    let port = server.port().to_string();
    server.stop(Signal::KILL);
    let Some(_empty) = Server::start_with(&["-js", "-p", &port]) else { return };
    showcase.says("there is no stream");
    works_on_one(&showcase, &log);
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
}

/// Whoever was not told that it is published may ask again.
#[test]
fn a_series_is_published_once() {
    let Some(server) = Server::start() else { return };
    let showcase = Showcase::start_with(&["--nats", &server.url()]);
    for _ in 0..2 {
        let answer = showcase.answer("POST /messages?count=2&series=7");
        assert!(answer.ends_with("2 messages are published\n"), "{answer}");
    }
    let mut client = client(&server);
    let asked = b"SUB told 1\r\nPUB $JS.API.STREAM.INFO.SHOWCASE told 0\r\n\r\n";
    client.write_all(asked).unwrap();
    let mut lines = BufReader::new(client).lines().map(Result::unwrap);
    let told = lines.find(|line| line.contains("stream_info_response")).expect("it answers");
    assert!(told.contains("\"last_seq\":2,"), "{told}");
}

#[test]
fn what_is_no_number_is_set_aside_and_that_is_told() {
    let Some(server) = Server::start() else { return };
    let mut showcase = Showcase::start_with(&["--nats", &server.url()]);
    client(&server).write_all(b"PUB showcase.documents 3\r\nten\r\n").unwrap();
    showcase.says("is set aside: ");
}

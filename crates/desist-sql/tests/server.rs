//! The Postgres of the tests leaves nothing behind.
#![cfg(unix)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{PATIENCE, Server};

/// In the process of its own that is about to be killed.
const HOLDS: &str = "DESIST_TEST_HOLDS_A_SERVER";

#[test]
fn it_ends_when_its_process_is_killed() {
    if std::env::var_os(HOLDS).is_some() {
        let server = Server::start(&[]).unwrap();
        // Past the capture of what tests print.
        writeln!(std::io::stdout(), "\n{HOLDS} {}", server.folder().display()).unwrap();
        loop {
            std::thread::park();
        }
    }
    if common::find().is_none() {
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["it_ends_when_its_process_is_killed", "--exact", "--nocapture"])
        .env(HOLDS, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let folder = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix(HOLDS).map(|folder| folder.trim().to_owned()))
        .unwrap();
    let pid = std::fs::read_to_string(format!("{folder}/data/postmaster.pid")).unwrap();
    let process = format!("/proc/{}/exe", pid.lines().next().unwrap());
    assert!(std::fs::read_link(&process).is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    let begin = Instant::now();
    while std::fs::exists(&folder).unwrap() || std::fs::read_link(&process).is_ok() {
        assert!(begin.elapsed() < PATIENCE, "it is still there: {folder}");
        // It is nobody's child any more: there is nothing to wait for.
        std::thread::sleep(Duration::from_millis(5));
    }
}

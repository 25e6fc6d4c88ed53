//! Uploads: whole ones, halves, and the folder that they go to.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::showcase::{Folder, PATIENCE, Showcase, hears};

/// Whole ones and halves, after an interrupt, too.
#[test]
fn nothing_of_an_upload_is_left_and_the_answer_says_so() {
    let showcase = Showcase::start();
    let mut answer = String::new();
    showcase.upload(5, b"hello").read_to_string(&mut answer).unwrap();
    let said = answer.lines().last().unwrap();
    let path = said
        .strip_prefix("5 bytes were safe in ")
        .and_then(|said| said.strip_suffix(", and are removed again"))
        .expect(said);
    let path = PathBuf::from(path);
    assert!(path.starts_with(showcase.temporary.path()) && !path.exists(), "{said}");
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);

    let log = showcase.log();
    let mut half = showcase.upload(1_000_000, b"xx");
    hears(&log, "upload", "begun");
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
    answer.clear();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("nothing of it is kept\n"), "{answer}");
}

/// A client that does not send what it had announced: the fault is its own.
#[test]
fn an_upload_that_cannot_be_read_is_refused_with_advice() {
    let showcase = Showcase::start();
    let head = "POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut upload = TcpStream::connect(showcase.addr).unwrap();
    upload.write_all(format!("{head}5\r\nhello\r\nno length\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).unwrap();
    let (head, said) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    assert!(
        said.starts_with("it cannot be read on after 5 bytes; send it again, whole\n"),
        "{said}"
    );
    assert!(said.ends_with("nothing of it is kept\n"), "{said}");
}

/// One whose request was dropped before it removed it.
#[test]
fn an_upload_that_was_left_is_swept() {
    let showcase = Showcase::start();
    let folder =
        std::fs::read_dir(showcase.temporary.path()).unwrap().next().unwrap().unwrap().path();
    let (left, written) = (folder.join("upload-7"), folder.join(".upload-8.1-1.tmp"));
    // Nobody stops for what is no upload.
    std::fs::create_dir(folder.join("upload-6")).unwrap();
    for file in [&left, &written] {
        std::fs::write(file, "xx").unwrap();
    }
    let until = Instant::now() + PATIENCE;
    while left.exists() {
        assert!(Instant::now() < until, "nobody sweeps");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(written.exists(), "somebody writes it");
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("upload-7 was left, and is swept"), "{said}");
}

/// As a tidy system does with what is temporary.
#[test]
fn a_folder_of_uploads_that_was_removed_is_made_again() {
    let showcase = Showcase::start();
    let folder = std::fs::read_dir(showcase.temporary.path()).unwrap().next().unwrap().unwrap();
    std::fs::remove_dir_all(folder.path()).unwrap();
    let until = Instant::now() + PATIENCE;
    while !folder.path().exists() {
        assert!(Instant::now() < until, "nobody makes it again");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut answer = String::new();
    showcase.upload(5, b"hello").read_to_string(&mut answer).unwrap();
    assert!(answer.contains("5 bytes were safe"), "{answer}");
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
}

/// That of one that lives is let alone.
#[test]
fn uploads_of_a_killed_process_are_removed_by_the_next() {
    let killed = Showcase::start();
    let log = killed.log();
    let _half = killed.upload(1_000_000, b"xx");
    hears(&log, "upload", "begun");
    let temporary = Arc::clone(&killed.temporary);
    drop(killed);
    let folders = || {
        let folders = std::fs::read_dir(temporary.path()).unwrap();
        folders.map(|folder| folder.unwrap().file_name()).collect::<Vec<_>>()
    };
    let left = folders();
    assert_eq!(left.len(), 1);
    let _next = Showcase::start_beside(&temporary);
    let next = folders();
    assert!(next.len() == 1 && next != left, "{next:?}");
    let _another = Showcase::start_beside(&temporary);
    assert_eq!(folders().len(), 2, "each has its own");
}

/// As units are by a machine that boots: none takes another's folder for one of the dead.
#[test]
fn those_that_start_at_the_same_time_have_a_folder_each() {
    let temporary = Arc::new(Folder::new("temporary"));
    let all: Vec<_> = std::thread::scope(|scope| {
        let start = || scope.spawn(|| Showcase::start_beside(&temporary));
        let starts: Vec<_> = (0..6).map(|_| start()).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), all.len());
}

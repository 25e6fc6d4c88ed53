//! The program as a user runs it: real requests, real interruptions, a real Ctrl-C.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

struct Showcase {
    child: Child,
    said: BufReader<ChildStdout>,
    addr: SocketAddr,
    /// What it takes for the system's temporary folder.
    temporary: PathBuf,
}

impl Showcase {
    fn start() -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        // Ordering: it only counts.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("showcase-{}-{number}", std::process::id());
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(temporary);
        let _left_by_another = std::fs::remove_dir_all(&temporary);
        std::fs::create_dir(&temporary).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_showcase"))
            .env("PORT", "0")
            .env("TMPDIR", &temporary)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("showcase: http://").expect("it prints its address");
        Self { addr: addr.parse().unwrap(), child, said, temporary }
    }

    fn request(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{head} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
        stream
    }

    fn answer(&self, head: &str) -> String {
        let mut answer = String::new();
        self.request(head).read_to_string(&mut answer).unwrap();
        answer
    }

    /// An upload of so many bytes, of which only some are sent.
    fn upload(&self, length: usize, sent: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "POST /upload HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        )
        .unwrap();
        stream.write_all(sent).unwrap();
        stream
    }

    /// The log, line by line.
    fn log(&self) -> mpsc::Receiver<String> {
        let stream = self.request("GET /log");
        let (tell, told) = mpsc::channel();
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        // It listens from its head on.
        assert!(lines.next().is_some_and(|line| line.contains("200")));
        std::thread::spawn(move || lines.try_for_each(|line| tell.send(line)));
        told
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Asks it to stop and gives its code and its last words.
    fn ends(self) -> (Option<i32>, String) {
        self.ends_by(&["-INT"])
    }

    /// The same, with the report of the host after what it says meanwhile.
    fn ends_by(mut self, signals: &[&str]) -> (Option<i32>, String) {
        let mut said = String::new();
        for signal in signals {
            self.signal(signal);
            // A signal that comes before the last one was heard is lost.
            while !said.contains("the host is stopping") {
                assert_ne!(self.said.read_line(&mut said).unwrap(), 0, "{said}");
            }
        }
        self.said.read_to_string(&mut said).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let code = self.child.wait().unwrap().code();
        // Who is forced has no time to clean up.
        let left = std::fs::read_dir(&self.temporary).unwrap().count();
        assert!(left == 0 || signals.len() > 1, "it leaves nothing");
        (code, said)
    }
}

impl Drop for Showcase {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.temporary);
    }
}

fn hears(log: &mpsc::Receiver<String>, what: &str, said: &str) -> String {
    // For all lines: a log that is silent says so now and then.
    let until = Instant::now() + PATIENCE;
    while let Ok(line) = log.recv_timeout(until.saturating_duration_since(Instant::now())) {
        if line.contains(&format!("\"what\":\"{what}\"")) && line.contains(said) {
            return line;
        }
    }
    panic!("the log never says {said} of {what}");
}

#[test]
fn whatever_is_interrupted_is_stopped_and_logged() {
    let showcase = Showcase::start();
    let log = showcase.log();
    for (head, what) in [
        ("GET /longrunningtask", "long-running task"),
        ("GET /download", "download"),
        ("GET /events", "events"),
        ("GET /primes", "primes on a thread"),
        ("POST /upload", "upload"),
    ] {
        let stream = if what == "upload" {
            showcase.upload(1_000_000, b"xx")
        } else {
            showcase.request(head)
        };
        let client = stream.local_addr().unwrap();
        let begun = hears(&log, what, "begun");
        assert!(begun.contains(&format!("\"client\":\"{client}\"")), "{begun}");
        drop(stream);
        let stopped = hears(&log, what, "\"said\":\"stopped\"");
        assert!(
            stopped.contains("\"reason\":\"disconnected\"")
                && stopped.contains(&format!("\"by\":\"the client {client}\"")),
            "{stopped}"
        );
    }
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("; a clean stop\n"), "{said}");
}

#[test]
fn what_is_let_alone_is_finished() {
    let showcase = Showcase::start();
    assert!(showcase.answer("GET /primes?below=1000").ends_with("168 primes below 1000\n"));
    let page = showcase.answer("GET /");
    assert!(page.contains("<title>desist</title>") && page.contains("text/html"));
    let download = showcase.request("GET /download?megabytes=1");
    let mut bytes = Vec::new();
    BufReader::new(download).read_to_end(&mut bytes).unwrap();
    assert!(bytes.len() > 1 << 20 && bytes.ends_with(b"ddd"));
}

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
    assert!(path.starts_with(&showcase.temporary) && !path.exists(), "{said}");
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

#[test]
fn what_is_too_much_is_refused_with_advice() {
    let showcase = Showcase::start();
    for (head, most) in [
        ("GET /download?megabytes=10001", "megabytes=10000"),
        ("GET /download?megabytes=18446744073709551615", "megabytes=10000"),
        ("GET /primes?below=18446744073709551615", "below=1000000000"),
    ] {
        let mut answer = BufReader::new(showcase.request(head));
        let mut status = String::new();
        answer.read_line(&mut status).unwrap();
        assert!(status.starts_with("HTTP/1.1 400"), "{head}: {status}");
        let mut rest = String::new();
        answer.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with(&format!("ask for at most {most}\n")), "{rest}");
    }
}

#[test]
fn what_is_no_number_is_refused_with_advice() {
    let showcase = Showcase::start();
    for query in ["megabytes=abc", "megabytes=-1", "megabytes=", "mark=x", "mark=1&mark=2"] {
        let answer = showcase.answer(&format!("GET /download?{query}"));
        let (head, said) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400"), "{query}: {head}");
        assert!(said.starts_with(&format!("cannot read `?{query}`: ")), "{said}");
        assert!(said.ends_with("; a value is a whole number, as in megabytes=20\n"), "{said}");
    }
}

/// A client that does not send what it had announced: the fault is its own.
#[test]
fn an_upload_that_cannot_be_read_is_refused_with_advice() {
    let showcase = Showcase::start();
    let head = "POST /upload HTTP/1.1\r\nHost: showcase\r\nTransfer-Encoding: chunked\r\n\r\n";
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

/// Two of a kind are told apart, and what was said before is said to whoever comes later.
#[test]
fn the_log_says_whose_work_it_is_also_to_who_comes_later() {
    let showcase = Showcase::start();
    let counted = showcase.answer("GET /primes?below=1000&mark=9007199254740991");
    assert!(counted.contains("168 primes"), "{counted}");
    let log = showcase.log();
    let begun = hears(&log, "primes on a thread", "begun");
    assert!(begun.contains("\"work\":1,") && begun.contains("\"mark\":9007199254740991"));
    assert!(hears(&log, "primes on a thread", "finished").contains("\"work\":1,"));
    for (work, mark) in [(2, 7), (3, 8)] {
        let _stopped = showcase.request(&format!("GET /primes?mark={mark}"));
        let begun = hears(&log, "primes on a thread", "begun");
        let work = format!("\"work\":{work},");
        assert!(begun.contains(&work) && begun.contains(&format!("\"mark\":{mark}")), "{begun}");
        assert!(hears(&log, "primes on a thread", "progress").contains(&work));
    }
}

/// A stop of the server is told to what runs, and the log goes on until that has ended.
#[test]
fn an_interrupt_ends_what_runs_and_then_the_log() {
    let showcase = Showcase::start();
    let log = showcase.log();
    let mut task = showcase.request("GET /longrunningtask");
    hears(&log, "long-running task", "begun");
    let mut download = showcase.request("GET /download");
    let reads = std::thread::spawn(move || {
        // It is broken off, which is an error to some readers.
        let _ended = download.read_to_end(&mut Vec::new());
    });
    hears(&log, "download", "begun");

    let asked = Instant::now();
    let (code, said) = showcase.ends();
    let took = asked.elapsed();
    assert_eq!(code, Some(0), "{said}");
    let logged: Vec<_> = log.iter().collect();
    for what in ["long-running task", "download"] {
        let stopped = |line: &&String| {
            line.contains(&format!("\"what\":\"{what}\",\"said\":\"stopped\""))
                && line.contains("\"by\":\"the operator\",\"reason\":\"shutdown\"")
        };
        assert_eq!(logged.iter().filter(stopped).count(), 1, "{logged:#?}");
        let printed = |line: &&str| {
            line.contains(&format!("{what} stopped by the operator: shutdown (SIGINT); heard"))
        };
        assert_eq!(said.lines().filter(printed).count(), 1, "{said}");
    }
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    reads.join().unwrap();
    let mut answer = String::new();
    task.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
}

/// One that waited for the end of the server would never let it come.
#[test]
fn the_log_alone_does_not_hold_the_server() {
    let showcase = Showcase::start();
    let log = showcase.log();
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("; a clean stop\n"), "{said}");
    assert!(!log.iter().any(|line| line.starts_with("data:")));
}

#[test]
fn it_is_ready_while_it_runs_and_ends_well_on_sigterm() {
    let mut showcase = Showcase::start();
    let mut line = String::new();
    showcase.said.read_line(&mut line).unwrap();
    assert_eq!(line, "showcase: the host is running\n");
    for (head, said) in [("GET /readyz", "ready\n"), ("GET /livez", "alive\n")] {
        let answer = showcase.answer(head);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(said), "{answer}");
    }
    let (code, said) = showcase.ends_by(&["-TERM"]);
    assert_eq!(code, Some(0), "{said}");
    // In the order in which it happens: the sweeper needs the folder of the server.
    let order = [
        "showcase: the host is stopping",
        "showcase: `sweeper` is over",
        "showcase: `http` is asked to drain",
        "showcase: `http` is over",
        "showcase: the host is stopped",
        "the host stopped in",
        "shutdown (SIGTERM); a clean stop",
    ];
    let mut rest = said.as_str();
    for next in order {
        let at = rest.find(next);
        rest = &rest[at.unwrap_or_else(|| panic!("no {next:?} where it is due:\n{said}"))..];
    }
}

#[test]
fn a_second_interrupt_does_not_wait_for_the_drain() {
    let showcase = Showcase::start();
    let log = showcase.log();
    let _task = showcase.request("GET /longrunningtask");
    hears(&log, "long-running task", "begun");
    let (code, said) = showcase.ends_by(&["-INT", "-INT"]);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("exit code 130: forced by a second SIGINT"), "{said}");
    // What ran was told all the same.
    assert!(said.contains("long-running task stopped by the operator"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_told_with_advice() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = Command::new(env!("CARGO_BIN_EXE_showcase")).env("PORT", port).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let report = String::from_utf8(ended.stderr).unwrap();
    assert!(report.contains("`http` failed"), "{report}");
    assert!(report.contains("set PORT to a free one"), "{report}");
}

/// One whose request was dropped before it removed it.
#[test]
fn an_upload_that_was_left_is_swept() {
    let showcase = Showcase::start();
    let folder = std::fs::read_dir(&showcase.temporary).unwrap().next().unwrap().unwrap().path();
    let (left, written) = (folder.join("upload-7"), folder.join(".upload-8.1-1.tmp"));
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

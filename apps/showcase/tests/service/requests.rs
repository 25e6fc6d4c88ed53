//! Requests: interrupted, let alone, refused; and a real Ctrl-C.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::showcase::{Folder, Showcase, hears};

#[test]
fn whatever_is_interrupted_is_stopped_and_logged() {
    let showcase = Showcase::start();
    let log = showcase.log();
    // Before that there is nothing to be found.
    hears(&log, "indexing", "finished");
    for (head, what) in [
        ("GET /longrunningtask", "long-running task"),
        ("GET /download", "download"),
        ("GET /events", "events"),
        ("GET /primes", "primes on a thread"),
        ("GET /report", "report"),
        ("GET /search?text=harbour", "search"),
        ("GET /downstream", "call of another service"),
        ("POST /upload", "upload"),
    ] {
        let stream = if what == "upload" {
            showcase.upload(1_000_000, b"xx")
        } else {
            showcase.request(head)
        };
        let client = stream.local_addr().unwrap();
        let begun = hears(&log, what, "begun");
        assert!(begun.contains(&format!("\"for\":\"{client}\"")), "{begun}");
        drop(stream);
        let stopped = hears(&log, what, "\"said\":\"stopped\"");
        assert!(
            stopped.contains("\"reason\":\"disconnected\"")
                && stopped.contains("\"status\":499")
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
    assert!(page.contains("<title>desist showcase</title>") && page.contains("text/html"));
    let download = showcase.request("GET /download?megabytes=1");
    let mut bytes = Vec::new();
    BufReader::new(download).read_to_end(&mut bytes).unwrap();
    assert!(bytes.len() > 1 << 20 && bytes.ends_with(b"ddd"));
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
        assert!(
            said.ends_with("; a value is a whole number, as in megabytes=20 or mark=7\n"),
            "{said}"
        );
    }
}

/// The number of a work in a line of the log.
fn work(line: &str) -> u64 {
    let line = line.strip_prefix("data:").expect("an event");
    serde_json::from_str::<serde_json::Value>(line).unwrap()["work"].as_u64().unwrap()
}

/// Two of a kind are told apart, and what was said before is said to whoever comes later.
#[test]
fn the_log_says_whose_work_it_is_also_to_who_comes_later() {
    let showcase = Showcase::start();
    let counted = showcase.answer("GET /primes?below=1000&mark=9007199254740991");
    assert!(counted.contains("168 primes"), "{counted}");
    let log = showcase.log();
    let begun = hears(&log, "primes on a thread", "begun");
    assert!(begun.contains("\"mark\":9007199254740991"), "{begun}");
    let first = work(&begun);
    assert_eq!(work(&hears(&log, "primes on a thread", "finished")), first);
    for mark in [7, 8] {
        let _stopped = showcase.request(&format!("GET /primes?mark={mark}"));
        let begun = hears(&log, "primes on a thread", "begun");
        assert!(begun.contains(&format!("\"mark\":{mark}")), "{begun}");
        let second = work(&begun);
        assert!(second > first);
        assert_eq!(work(&hears(&log, "primes on a thread", "progress")), second);
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
                && line.contains("\"by\":\"the host\",\"reason\":\"shutdown\"")
        };
        assert_eq!(logged.iter().filter(stopped).count(), 1, "{logged:#?}");
        let printed = |line: &&str| {
            line.contains(&format!("{what} stopped by the host: shutdown (SIGINT); heard"))
        };
        assert_eq!(said.lines().filter(printed).count(), 1, "{said}");
    }
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    reads.join().unwrap();
    let mut answer = String::new();
    task.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
}

/// Whatever it was at.
#[test]
fn an_indexer_hears_too() {
    let showcase = Showcase::start();
    let log = showcase.log();
    hears(&log, "indexing", "begun");
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
    let heard = "indexing stopped by the host: shutdown (SIGINT); heard after";
    assert!(said.contains(heard), "{said}");
}

/// One that waited for the end of the server would never let it come.
#[test]
fn the_log_alone_does_not_hold_the_server() {
    let showcase = Showcase::start();
    let log = showcase.log();
    hears(&log, "indexing", "finished");
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("; a clean stop\n"), "{said}");
    // With its last words it would end as well, after it was asked to stop.
    assert!(said.contains("`http` is asked to drain"), "{said}");
    assert!(!said.contains("`http` is asked to stop"), "{said}");
    // But for that of the indexer, which had its own to do.
    assert!(!log.iter().any(|line| line.contains("\"what\":\"") && !line.contains("indexing")));
}

#[test]
fn it_is_ready_while_it_runs_and_ends_well_on_sigterm() {
    let mut showcase = Showcase::start();
    showcase.says("showcase: the host is running\n");
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
    assert!(said.contains("long-running task stopped by the host"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_told_with_advice() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = Command::new(env!("CARGO_BIN_EXE_showcase"))
        .env("PORT", port)
        .env("SHOWCASE_DATA", Folder::new("port").path())
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let report = String::from_utf8(ended.stderr).unwrap();
    assert!(report.contains("`http` failed"), "{report}");
    assert!(report.contains("set PORT to a free one"), "{report}");
}

/// Of the same session; another one is let alone.
#[test]
fn a_search_gives_way_to_a_newer_one() {
    let showcase = Showcase::start();
    let log = showcase.log();
    hears(&log, "indexing", "finished");
    let mut first = showcase.request("GET /search?text=harbour&session=7&mark=1");
    hears(&log, "search", "\"mark\":1");
    let mut other = showcase.request("GET /search?text=harbour&session=8&mark=2");
    hears(&log, "search", "\"mark\":2");
    let found = showcase.answer("GET /search?text=Amber&session=7&mark=3");
    assert!(found.starts_with("HTTP/1.1 200") && found.contains("\"found\":[{\"id\":"), "{found}");
    let stopped = hears(&log, "search", "\"said\":\"stopped\"");
    assert!(stopped.contains("\"by\":\"a newer one\",\"reason\":\"superseded\""), "{stopped}");
    assert!(stopped.contains("a search for \\\"Amber\\\""), "{stopped}");
    let mut answer = String::new();
    first.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("superseded\n"), "{answer}");
    answer.clear();
    other.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn what_cannot_be_is_refused_with_advice() {
    let showcase = Showcase::start();
    for (head, advice) in [
        ("GET /search?text=%20", "give one word to look for, as in text=harbour\n"),
        ("GET /search?text=amber+birch", "give one word to look for, as in text=harbour\n"),
        ("GET /search?text=%00", "give one word to look for, as in text=harbour\n"),
        ("GET /search", "say a word, and a number, as in /search?text=harbour&session=7\n"),
        ("POST /messages", "start it with --nats nats://127.0.0.1:4222\n"),
        ("POST /messages?count=1001", "ask for at most count=1000\n"),
    ] {
        let answer = showcase.answer(head);
        assert!(answer.starts_with("HTTP/1.1 400") && answer.ends_with(advice), "{answer}");
    }
    for name in ["none.jsonl", "..%2Fshowcase.db", "x%2F..%2F..%2Fshowcase.db.jsonl"] {
        let answer = showcase.answer(&format!("GET /exports/{name}"));
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    // None of it has begun.
    let (_, said) = showcase.ends();
    assert!(!said.contains("publish") && !said.contains("search"), "{said}");
}

/// Whoever asks another service and goes away stops it there.
#[test]
fn a_stop_goes_along_to_another_service() {
    let behind = Showcase::start();
    let address = format!("http://{}", behind.addr);
    let before = Showcase::start_with(&["--downstream", &address]);
    let (log, log_behind) = (before.log(), behind.log());
    let asks = before.request("GET /downstream");
    hears(&log, "call of another service", "begun");
    hears(&log_behind, "long-running task", "progress");
    drop(asks);
    hears(&log, "call of another service", "\"said\":\"stopped\"");
    let stopped = hears(&log_behind, "long-running task", "\"said\":\"stopped\"");
    assert!(stopped.contains("\"reason\":\"disconnected\""), "{stopped}");
    // One that is away is a failure, with what is behind it.
    drop(behind);
    let answer = before.answer("GET /downstream");
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("refused"), "{answer}");
}

/// A terminal that was stopped, or whoever collects logs and hangs.
#[test]
fn a_terminal_that_does_not_read_holds_nothing_up() {
    let showcase = Showcase::start();
    for _ in 0..6000 {
        let answer = showcase.answer("GET /primes?below=10");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    showcase.signal("-INT");
    let (_data, code, said) = showcase.ends_and_leaves();
    assert_eq!(code, Some(0));
    assert!(said.contains("lines were left out: the terminal did not read"));
}

/// Each that answers with a stream, too.
#[test]
fn whoever_wants_only_a_head_leaves_nothing_behind() {
    let showcase = Showcase::start();
    let log = showcase.log();
    for path in ["download", "events", "log", "about", "primes?below=10"] {
        let answer = showcase.answer(&format!("HEAD /{path}"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    hears(&log, "download", "nobody wants its bytes");
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("dropped in the middle"), "{said}");
}

/// A page is to know with one connection whose log it reads, and what was said before it came.
#[test]
fn the_log_says_first_whose_it_is() {
    let showcase = Showcase::start();
    let id = showcase.starts("import", r#"{"documents": 20000}"#);
    hears(&showcase.log(), "import", "progress");
    let mut said = showcase.log().into_iter().skip_while(|line| !line.is_empty()).skip(1);
    let mut event = || -> String {
        said.by_ref().take_while(|line| !line.is_empty()).map(|line| line + "\n").collect()
    };
    let about = event();
    assert!(about.contains("event: about\ndata: {"), "{about}");
    assert!(about.contains(&format!("\"instance\":\"{}\"", showcase.instance())), "{about}");
    let begun = std::iter::repeat_with(&mut event).find(|event| event.contains(&id)).unwrap();
    assert!(begun.contains("event: before\ndata: {"), "{begun}");
    let now = std::iter::repeat_with(event).find(|event| event.contains("progress")).unwrap();
    assert!(!now.contains("event: "), "{now}");
}

#[test]
fn pages_of_others_and_other_names_are_refused() {
    let showcase = Showcase::start();
    let own = showcase.addr.port();
    let navigates = |into| {
        let sent = "sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest";
        format!("host: localhost\r\n{sent}: {into}")
    };
    for (headers, refused) in [
        ("host: evil.example", true),
        ("host: localhost\r\norigin: http://evil.example", true),
        ("host: localhost\r\nsec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors", true),
        ("host: localhost\r\nsec-fetch-site: same-site\r\nsec-fetch-mode: no-cors", true),
        (&navigates("iframe"), true),
        (&navigates("document"), false),
        (&format!("host: localhost:{own}\r\norigin: http://localhost:{own}"), false),
    ] {
        let mut stream = TcpStream::connect(showcase.addr).unwrap();
        write!(stream, "GET /about HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = if refused { "HTTP/1.1 403" } else { "HTTP/1.1 200" };
        assert!(answer.starts_with(status), "{headers}: {answer}");
    }
}

#[test]
fn whoever_asks_for_what_is_not_there_is_told_what_is() {
    let showcase = Showcase::start();
    let answer = showcase.answer("GET /nothing");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.ends_with("there is nothing at /nothing; the page is at /\n"), "{answer}");
    let answer = showcase.answer("DELETE /report");
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET,HEAD"), "{answer}");
    assert!(answer.ends_with("/report cannot be asked with DELETE; see the header Allow\n"));
}

#[test]
fn a_neighbour_that_is_away_is_no_fault_of_ours() {
    let showcase = Showcase::start_with(&["--downstream", "http://127.0.0.1:1"]);
    let answer = showcase.answer("GET /downstream");
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(answer.contains("no connection to 127.0.0.1:1; is the service up"), "{answer}");
}

#[test]
fn a_neighbour_that_cannot_be_is_refused_and_no_password_is_told() {
    for (address, why) in [
        ("http://", "empty host"),
        ("nowhere", "relative URL without a base"),
        ("https://127.0.0.1", "over TLS, which is not built in"),
        ("http://ada:secret@127.0.0.1", "more than an address"),
        ("http://127.0.0.1/?a=b", "more than an address"),
    ] {
        let folder = Folder::new("neighbour");
        let ended = Command::new(env!("CARGO_BIN_EXE_showcase"))
            .args(["--port", "0", "--downstream", address, "--data"])
            .arg(folder.path())
            .output()
            .unwrap();
        let report = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{report}");
        assert!(report.contains(why) && report.contains("say http://HOST:PORT"), "{report}");
        assert!(!report.contains("secret"), "{report}");
    }
}

/// A client that reads slowly, or not at all, makes no stop a failure.
#[test]
fn a_download_that_nobody_reads_fails_nothing() {
    let showcase = Showcase::start();
    let log = showcase.log();
    let mut stalled = showcase.request("GET /download?megabytes=50");
    hears(&log, "download", "begun");
    stalled.read_exact(&mut [0; 100]).unwrap();
    // Until there is no more room on the way.
    while log.recv_timeout(Duration::from_secs(2)).is_ok_and(|line| !line.starts_with(':')) {}
    showcase.signal("-INT");
    let (_data, code, said) = showcase.ends_and_leaves();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("whose client did not take its answer"), "{said}");
    assert!(said.contains("a clean stop"), "{said}");
}

#[test]
fn two_that_follow_each_other_are_two_instances() {
    let [one, another] = [(); 2].map(|()| Showcase::start().instance());
    assert_ne!(one, another);
}

/// On one terminal, though one is printed by way of a thread and the other is not.
#[cfg(target_os = "linux")] // Elsewhere a pipe has the size that it has.
#[test]
fn the_report_comes_after_all_else_and_in_one_piece() {
    let data = Folder::new("data");
    let mut child = Command::new("sh")
        .args(["-c", "exec \"$0\" --port 0 --data \"$1\" 2>&1", env!("CARGO_BIN_EXE_showcase")])
        .arg(data.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = child.stdout.take().unwrap();
    // It is full before all is said.
    rustix::pipe::fcntl_setpipe_size(&said, 4096).unwrap();
    let mut said = BufReader::new(said);
    let mut all = String::new();
    let mut says = |what: &str, times: usize| {
        while all.matches(what).count() < times {
            assert_ne!(said.read_line(&mut all).unwrap(), 0, "{all}");
        }
        all.clone()
    };
    let told = says("the host is running", 1);
    let addr = told.lines().find_map(|line| line.strip_prefix("showcase: http://")).unwrap();
    // So that there is much to say in the end.
    let begun: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            stream
        })
        .collect();
    says(" events begun", begun.len());
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    // Both would be printed by then, but for the pipe.
    std::thread::sleep(Duration::from_millis(500));
    said.read_to_string(&mut all).unwrap();
    child.wait().unwrap();
    drop(begun);
    let at = all.find("showcase: the host is stopped\nthe host stopped in ").expect(&all);
    let report = &all[at + 1..];
    assert_eq!(report.matches("showcase: ").count(), 0, "{all}");
}

//! Clients that everybody has.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::showcase::{Showcase, hears};

/// `None`: it is missing, and that was said.
fn runs(program: &str, arguments: &[&str]) -> Option<Child> {
    let quiet = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    };
    let found = quiet(Command::new(program).arg("--version"));
    if found.and_then(|mut found| found.wait()).is_err() {
        let missing = format!("{program} is missing; install it with: apt-get install {program}");
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        // Past the capture of what tests print: a test that was not run is to be seen.
        let _ = writeln!(std::io::stderr(), "NOT TESTED: {missing}");
        return None;
    }
    // What a shell starts in the background ignores interrupts, and so would all that it starts.
    let words = if cfg!(target_os = "linux") {
        &["env", "--default-signal=INT", program][..]
    } else {
        &[program]
    };
    Some(quiet(Command::new(words[0]).args(&words[1..]).args(arguments)).unwrap())
}

fn interrupt(mut client: Child) {
    let pid = client.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    client.wait().unwrap();
}

#[test]
fn a_curl_that_is_interrupted_stops_what_it_asked_for() {
    let showcase = Showcase::start();
    let log = showcase.log();
    for (path, what) in [("longrunningtask", "long-running task"), ("report", "report")] {
        let url = format!("http://{}/{path}", showcase.addr);
        let Some(curl) = runs("curl", &["-s", &url]) else { return };
        hears(&log, what, "begun");
        interrupt(curl);
        let stopped = hears(&log, what, "\"said\":\"stopped\"");
        assert!(stopped.contains("\"reason\":\"disconnected\""), "{stopped}");
    }
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
}

/// Under load: each of its requests is stopped, and nothing is left of them.
#[test]
fn a_wrk_that_is_stopped_half_way_stops_all_that_it_asked_for() {
    let showcase = Showcase::start();
    let log = showcase.log();
    let url = format!("http://{}/longrunningtask", showcase.addr);
    let Some(wrk) = runs("wrk", &["-t2", "-c64", "-d60s", &url]) else { return };
    for _ in 0..64 {
        hears(&log, "long-running task", "\"said\":\"begun\"");
    }
    interrupt(wrk);
    for _ in 0..64 {
        let stopped = hears(&log, "long-running task", "\"said\":\"stopped\"");
        assert!(stopped.contains("\"reason\":\"disconnected\""), "{stopped}");
    }
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("; a clean stop\n"), "{said}");
}

//! Several instances on one Postgres.

use std::time::{Duration, Instant};

use crate::postgres::Server;
use crate::showcase::{PATIENCE, Showcase, hears};

const RUNS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE state = 'active' AND query LIKE '%generate_series(1, 20)%' AND pid <> pg_backend_pid()";

/// Until the server says so; it has no event for it.
fn until(server: &Server, sql: &str, wanted: impl Fn(&str) -> bool) {
    let until = Instant::now() + PATIENCE;
    loop {
        let said = server.psql(sql);
        if wanted(&said) {
            return;
        }
        assert!(Instant::now() < until, "{sql}: {said}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_report_that_nobody_waits_for_is_gone_from_the_server() {
    let Some(server) = Server::start(&[]) else { return };
    let showcase = Showcase::start_with(&["--database", &server.url()]);
    let log = showcase.log();
    let report = showcase.request("GET /report");
    until(&server, RUNS, |count| count != "0");
    drop(report);
    until(&server, RUNS, |count| count == "0");
    let stopped = hears(&log, "report", "\"said\":\"stopped\"");
    assert!(stopped.contains("\"reason\":\"disconnected\""), "{stopped}");
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
    until(&server, "SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL", |n| n == "1");
}

#[test]
fn one_instance_cancels_what_another_one_runs() {
    let Some(server) = Server::start(&[]) else { return };
    let both = [(); 2].map(|()| Showcase::start_with(&["--database", &server.url()]));
    let logs = [both[0].log(), both[1].log()];
    let id = both[0].starts("import", r#"{"documents": 20000}"#);
    let running = both[0].until(&id, "running");
    let ran_on = running["ran_on"].as_str().unwrap();
    let runs_here = usize::from(ran_on != both[0].instance());
    assert_eq!(ran_on, both[runs_here].instance());
    hears(&logs[runs_here], "import", "progress");
    let other = &both[1 - runs_here];
    other.operations("POST", &format!("/{id}/cancel"), r#"{"message": "from elsewhere"}"#);
    let stopped = hears(&logs[runs_here], "import", "\"said\":\"stopped\"");
    assert!(stopped.contains("\"detail\":\"from elsewhere\""), "{stopped}");
    other.until(&id, "cancelled");
    // The tables were made once, and filled once, though both began at once.
    let imported = server.psql("SELECT count(*) FROM document WHERE key LIKE 'first %'");
    assert_eq!(imported, "2000");
    for showcase in both {
        let (code, said) = showcase.ends();
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn a_server_that_is_away_is_told_with_its_address_and_no_password() {
    let folder = crate::showcase::Folder::new("away");
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let address = format!("postgres://ada:secret@127.0.0.1:{port}/library");
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_showcase"))
        .args(["--port", "0", "--database", &address, "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let report = String::from_utf8(ended.stderr).unwrap();
    assert!(report.contains("`database` failed") && !report.contains("secret"), "{report}");
    assert!(report.contains(&format!("127.0.0.1:{port}")), "{report}");
}

/// It goes on when the server is back, and nothing is lost of what was to be indexed.
#[test]
fn a_server_that_was_away_is_found_again() {
    let Some(mut server) = Server::start(&[]) else { return };
    let showcase = Showcase::start_with(&["--database", &server.url()]);
    until(&server, "SELECT count(*) FROM document WHERE indexed", |count| count == "2000");
    let named = format!(
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = '{}'",
        showcase.instance()
    );
    assert_eq!(server.psql(&named), "t");
    server.kill();
    // The connections that there were are found to be cut, and there is no other.
    let answers: Vec<_> = (0..10).map(|_| showcase.answer("GET /search?text=amber")).collect();
    let last = answers.last().unwrap();
    assert!(last.starts_with("HTTP/1.1 503") && last.contains("is the server up"), "{answers:#?}");
    server.start_again();
    let id = showcase.starts("import", r#"{"documents": 50}"#);
    showcase.until(&id, "succeeded");
    until(&server, "SELECT count(*) FROM document WHERE indexed", |count| count == "2050");
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
    // On a connection that was cut, or without one.
    assert!(said.contains("search failed: ") && said.contains("connection"), "{said}");
}

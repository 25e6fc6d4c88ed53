//! Operations, by the routes that the page has, and what becomes of them at the end.

use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use crate::showcase::{Folder, PATIENCE, Showcase, hears};

/// How many lines an export has.
fn exported(showcase: &Showcase) -> usize {
    let id = showcase.starts("export", "{}");
    let done = showcase.until(&id, "succeeded");
    let link = done["output"]["link"].as_str().unwrap();
    let (head, body) = showcase.whole(link);
    assert!(head.contains(" 200 OK") && head.contains("attachment"), "{head}");
    let lines = body.lines().filter(|line| line.starts_with("{\"id\":")).count();
    assert_eq!(done["output"]["documents"], lines);
    lines
}

#[test]
fn what_is_imported_is_exported() {
    let showcase = Showcase::start();
    let log = showcase.log();
    let id = showcase.starts("import", r#"{"documents": 60}"#);
    let begun = hears(&log, "import", "begun");
    assert!(begun.contains(&id) && begun.contains("\"for\":\"a visitor\""), "{begun}");
    showcase.until(&id, "succeeded");
    assert_eq!(exported(&showcase), 2060);
    let too_many = showcase.starts("import", r#"{"documents": 20001}"#);
    let failed = showcase.until(&too_many, "failed");
    assert!(failed["error"].to_string().contains("import at most 20000"), "{failed:#}");
}

#[test]
fn one_that_is_cancelled_says_who_asked_and_why() {
    let showcase = Showcase::start();
    let log = showcase.log();
    let id = showcase.starts("import", r#"{"documents": 20000}"#);
    hears(&log, "import", "progress");
    showcase.operations("POST", &format!("/{id}/cancel"), r#"{"message": "the wrong list"}"#);
    let asked = hears(&log, "import", "\"said\":\"asked\"");
    assert!(asked.contains("\"by\":\"a visitor\",\"reason\":\"requested\""), "{asked}");
    let stopped = hears(&log, "import", "\"said\":\"stopped\"");
    assert!(stopped.contains("\"detail\":\"the wrong list\""), "{stopped}");
    showcase.until(&id, "cancelled");
}

/// It goes on where it was, and what was there is there once.
#[test]
fn an_import_outlives_the_process_that_is_killed_over_it() {
    let showcase = Showcase::start();
    let log = showcase.log();
    let id = showcase.starts("import", r#"{"documents": 400}"#);
    hears(&log, "import", "progress");
    let next = Showcase::start_on(showcase.killed(), &[]);
    let done = next.until(&id, "succeeded");
    assert!(done["attempt"].as_u64() > Some(1), "{done:#}");
    assert_eq!(exported(&next), 2400);
}

/// And one that only takes its time goes back, to be begun again by the next.
#[test]
fn at_the_end_a_deaf_one_is_named_and_one_that_listens_goes_back() {
    let showcase = Showcase::start();
    let log = showcase.log();
    let deaf = showcase.starts("deaf", "{}");
    let import = showcase.starts("import", r#"{"documents": 1000}"#);
    hears(&log, "deaf job", "progress");
    hears(&log, "import", "progress");
    showcase.signal("-INT");
    let stopped = hears(&log, "import", "\"said\":\"stopped\"");
    assert!(stopped.contains("\"by\":\"the host\",\"reason\":\"shutdown\""), "{stopped}");
    let (data, code, said) = showcase.ends_and_leaves();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("{deaf} of kind deaf did not stop")), "{said}");
    let next = Showcase::start_on(data, &[]);
    next.until(&import, "succeeded");
    // Nobody knows what it has done, and it is not one that may be begun again.
    next.until(&deaf, "failed");
}

/// Whoever copies the file then has all of it.
#[test]
fn a_file_of_sqlite_is_closed_with_the_server() {
    let showcase = Showcase::start();
    let id = showcase.starts("import", r#"{"documents": 60}"#);
    showcase.until(&id, "succeeded");
    showcase.signal("-INT");
    let (data, code, said) = showcase.ends_and_leaves();
    assert_eq!(code, Some(0), "{said}");
    let name = |file: std::io::Result<std::fs::DirEntry>| file.unwrap().file_name();
    let mut files: Vec<_> = std::fs::read_dir(data.path()).unwrap().map(name).collect();
    files.sort();
    assert_eq!(files, ["exports", "showcase.db"]);
}

/// As the operations are that have written them; halves, too.
#[test]
fn files_of_exports_are_kept_for_a_week() {
    let data = Folder::new("data");
    let exports = data.path().join("exports");
    std::fs::create_dir(&exports).unwrap();
    let a_day = Duration::from_secs(24 * 60 * 60);
    let [old, half, new, somebodys] =
        [("op_1.jsonl", 8), (".op_2.jsonl.1-1.tmp", 8), ("op_3.jsonl", 6), ("thesis.docx", 800)]
            .map(|(name, days)| {
                let file = exports.join(name);
                let written = SystemTime::now() - days * a_day;
                File::create(&file).unwrap().set_modified(written).unwrap();
                file
            });
    let _showcase = Showcase::start_on(data, &[]);
    // What it says of them may come before its address, and is not heard here.
    let until = Instant::now() + PATIENCE;
    while old.exists() || half.exists() {
        assert!(Instant::now() < until, "nobody removes them");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(new.exists() && somebodys.exists());
}

/// A machine slept: what it ran is begun again, and that makes the stop no failure.
#[test]
fn a_process_that_stood_still_begins_again_and_ends_well() {
    let showcase = Showcase::start();
    let log = showcase.log();
    let id = showcase.starts("import", r#"{"documents": 600}"#);
    hears(&log, "import", "progress");
    showcase.signal("-STOP");
    // Longer than a lease.
    std::thread::sleep(Duration::from_secs(7));
    showcase.signal("-CONT");
    let stopped = hears(&log, "import", "\"said\":\"stopped\"");
    assert!(stopped.contains("\"by\":\"its lease\",\"reason\":\"lease_lost\""), "{stopped}");
    showcase.until(&id, "succeeded");
    let (code, said) = showcase.ends();
    assert_eq!(code, Some(0), "{said}");
}

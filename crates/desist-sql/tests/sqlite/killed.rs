//! Other processes: one that is killed in the middle of its writes, and one that has the lock.
#![cfg(unix)]

use std::env;
use std::io::{BufRead, BufReader, Read, Write, stderr};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use desist::{Reason, Source, Token};
use desist_sql::sqlite::{Pool, Synchronous};
use rusqlite::Connection;

use super::common::{BIG, Dice, Folder, count, fill};

const FILE: &str = "DESIST_SQLITE_KILLED";
const KILLS: u64 = 25;

/// Writes for ever, and says so of each row that was committed: the process that is killed.
#[ignore = "it is run by the test below"]
#[tokio::test]
async fn writes_until_it_is_killed() {
    let Some(file) = env::var_os(FILE) else { return };
    let pool = Pool::builder().path(file).synchronous(Synchronous::Full).open().await.unwrap();
    let first = pool.write(&Token::never(), |conn| {
        conn.execute_batch("CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY, filling)")?;
        conn.query_row("SELECT coalesce(max(x), 0) FROM t", [], |row| row.get::<_, i64>(0))
    });
    for x in first.await.unwrap() + 1.. {
        // Some are stopped, so that it is killed in a rollback as well.
        let token = if x % 3 == 0 {
            Source::with_timeout(Duration::from_micros(200)).token()
        } else {
            Token::never()
        };
        let written = pool.transaction(&token, move |tx| {
            tx.execute("INSERT INTO t VALUES (?1, zeroblob(20000))", [x])
        });
        if written.await.is_ok() {
            // Not by `eprintln`, which the test's harness keeps; and in one piece.
            stderr().write_all(format!("committed {x}\n").as_bytes()).unwrap();
        }
    }
}

/// Has the lock until it is killed.
#[ignore = "it is run by the test below"]
#[test]
fn locks_until_it_is_killed() {
    let Some(file) = env::var_os(FILE) else { return };
    let conn = Connection::open(file).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    writeln!(stderr(), "locked").unwrap();
    // What it reads from is its parent's.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Has written half of its changes into the file when it is killed.
#[ignore = "it is run by the test below"]
#[test]
fn writes_half_until_it_is_killed() {
    let Some(file) = env::var_os(FILE) else { return };
    let conn = Connection::open(file).unwrap();
    let fill = "PRAGMA cache_size = 2; BEGIN; UPDATE big SET x = -x";
    conn.execute_batch(fill).unwrap();
    writeln!(stderr(), "half").unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn child(test: &str, file: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", test])
        .env(FILE, file)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills one after so many rows; which of them it has said to be committed.
fn killed_after(file: &Path, rows: usize) -> Vec<i64> {
    let mut child = child("killed::writes_until_it_is_killed", file);
    let mut said = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        let number = line.strip_prefix("committed ").unwrap_or_else(|| panic!("{line}"));
        said.push(number.parse().unwrap());
        if said.len() == rows {
            child.kill().unwrap();
        }
    }
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    said
}

#[test]
fn a_kill_during_writes_loses_nothing_that_was_acknowledged() {
    let folder = Folder::new();
    let mut dice = Dice(0xD1B5_4A32_D192_ED03);
    let mut acknowledged = Vec::new();
    for _ in 0..KILLS {
        acknowledged.extend(killed_after(&folder.file(), 1 + dice.below(60) as usize));
        let conn = Connection::open(folder.file()).unwrap();
        let check = conn.pragma_query_value(None, "integrity_check", |row| row.get::<_, String>(0));
        assert_eq!(check.unwrap(), "ok");
        let mut statement = conn.prepare("SELECT x FROM t ORDER BY x").unwrap();
        let rows = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
        let there: Vec<i64> = rows.map(Result::unwrap).collect();
        for x in &acknowledged {
            assert!(there.binary_search(x).is_ok(), "{x} was acknowledged, and is gone");
        }
    }
    assert!(acknowledged.len() >= KILLS as usize);
}

#[tokio::test]
async fn a_wait_for_the_lock_of_another_process_ends_with_the_stop() {
    let folder = Folder::new();
    let pool = folder.builder().busy_timeout(Duration::from_secs(3600)).open().await.unwrap();
    let mut child = child("killed::locks_until_it_is_killed", &folder.file());
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    let write = |conn: &mut Connection| conn.execute_batch("CREATE TABLE t (x)");
    let token = Source::with_timeout(Duration::from_millis(20)).token();
    let error = pool.write(&token, write).await.unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
    assert!(child.try_wait().unwrap().is_none(), "it still has the lock");
    child.kill().unwrap();
    child.wait().unwrap();
    pool.write(&Token::never(), write).await.unwrap();
}

/// Without a log, what a killed process has half written is rolled back by who comes next.
#[tokio::test]
async fn whoever_comes_after_a_kill_reads_what_was_there_before() {
    let folder = Folder::new();
    let pool = folder.builder().wal(false).open().await.unwrap();
    fill(&pool).await;
    let mut child = child("killed::writes_half_until_it_is_killed", &folder.file());
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "half\n");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(folder.file().with_extension("db-journal").metadata().unwrap().len() > 0);
    assert_eq!(count(&pool, "big WHERE x > 0").await, BIG);
}

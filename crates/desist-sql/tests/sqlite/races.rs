//! A stop against the end of the work, ten thousand times.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use desist::{Source, Token};
use rusqlite::{Connection, ErrorCode, InterruptHandle};

use super::common::Folder;

const RACES: usize = 10_000;
const ROWS: i64 = 200;

fn sum(conn: &Connection, rows: i64) -> rusqlite::Result<i64> {
    let sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT ?1) \
               SELECT count(*) FROM n";
    conn.prepare_cached(sql)?.query_row([rows], |row| row.get(0))
}

/// A thread that calls what it is given, after so long.
fn canceller<T: Send + 'static>(
    cancel: impl Fn(T) + Send + 'static,
) -> (mpsc::Sender<(T, Duration)>, thread::JoinHandle<()>) {
    let (ask, asked) = mpsc::channel::<(T, Duration)>();
    let thread = thread::spawn(move || {
        for (what, after) in asked {
            let began = Instant::now();
            while began.elapsed() < after {
                std::hint::spin_loop();
            }
            cancel(what);
        }
    });
    (ask, thread)
}

/// Aims at the end of the work, whatever the machine does, in nanoseconds: the canceller waits,
/// or there is more to do.
struct Aim(i64);

impl Aim {
    fn new() -> Self {
        Self(20_000)
    }

    fn after(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    fn rows(&self) -> i64 {
        ROWS - self.0.min(0) / 100
    }

    fn correct(&mut self, work_was_first: bool) {
        self.0 += if work_was_first { -500 } else { 500 };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_races_none_hits_the_next() {
    let folder = Folder::new();
    let pool = folder.pool().await;
    let (ask, thread) = canceller(|source: Source| {
        source.cancel();
    });
    let (mut stopped, mut finished) = (0, 0);
    let mut aim = Aim::new();
    for race in 0..RACES {
        let source = Source::new();
        // Both wait for the one connection, so that the second begins with the end of the first.
        let rows = aim.rows();
        let first = pool.run(&source.token(), move |conn| sum(conn, rows));
        let innocent = pool.run(&Token::never(), |conn| sum(conn, ROWS));
        ask.send((source, aim.after())).unwrap();
        let (first, innocent) = tokio::join!(first, innocent);
        assert_eq!(innocent.unwrap(), ROWS, "after {race} races");
        let work_was_first = match first {
            Ok(sum) => {
                assert_eq!(sum, rows);
                finished += 1;
                true
            }
            Err(error) => {
                assert!(error.cancelled().is_some(), "{error:?}");
                stopped += 1;
                false
            }
        };
        aim.correct(work_was_first);
    }
    drop(ask);
    thread.join().unwrap();
    assert!(stopped >= RACES / 5 && finished >= RACES / 5, "{stopped} stopped, {finished} not");
}

/// The control: with rusqlite's own interrupt, and no lease, the race hits the innocent.
#[test]
fn an_interrupt_without_a_lease_hits_the_next() {
    let conn = Connection::open_in_memory().unwrap();
    let (ask, thread) = canceller(|interrupt: InterruptHandle| interrupt.interrupt());
    let mut aim = Aim::new();
    let mut hit = 0;
    // On a quiet machine one in a hundred is hit; on another one it may take longer.
    for _ in 0..100 * RACES {
        if hit == 10 {
            break;
        }
        ask.send((conn.get_interrupt_handle(), aim.after())).unwrap();
        aim.correct(sum(&conn, aim.rows()).is_ok());
        if let Err(error) = sum(&conn, ROWS) {
            assert_eq!(error.sqlite_error_code(), Some(ErrorCode::OperationInterrupted));
            hit += 1;
        }
    }
    drop(ask);
    thread.join().unwrap();
    assert_eq!(hit, 10, "hardly anybody was hit: the races above prove nothing");
}

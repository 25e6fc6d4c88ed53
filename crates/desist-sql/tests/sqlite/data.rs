//! Transfers between accounts by many callers, of which many are stopped at any moment.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use desist::{Source, Token};
use desist_sql::Wait;
use desist_sql::sqlite::Pool;
use rusqlite::Transaction;

use super::common::{Dice, Folder};

const CALLERS: i64 = 1000;
const ACCOUNTS: u64 = 20;

#[derive(Default)]
struct Told {
    done: BTreeSet<i64>,
    stopped: BTreeSet<i64>,
}

fn transfer(tx: &Transaction<'_>, id: i64, from: i64, to: i64) -> rusqlite::Result<()> {
    let amount = id % 7;
    tx.execute("UPDATE account SET sum = sum - ?1 WHERE id = ?2", (amount, from))?;
    tx.execute("INSERT INTO transfer VALUES (?1)", [id])?;
    // Some work, so that it can be stopped in the middle.
    tx.query_row(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 3000) \
         SELECT count(*) FROM n",
        [],
        |_| Ok(()),
    )?;
    tx.execute("UPDATE account SET sum = sum + ?1 WHERE id = ?2", (amount, to))?;
    Ok(())
}

async fn the_sum_holds(wait: Wait) {
    let folder = Folder::new();
    let pool = folder.builder().wait(wait).open().await.unwrap();
    let never = Token::never();
    let made = pool.write(&never, |conn| {
        conn.execute_batch(
            "CREATE TABLE account (id INTEGER PRIMARY KEY, sum INTEGER);
             CREATE TABLE transfer (id INTEGER PRIMARY KEY);
             WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n LIMIT 20)
             INSERT INTO account SELECT x, 100 FROM n;",
        )
    });
    made.await.unwrap();
    let told = Arc::new(Mutex::new(Told::default()));
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let callers: Vec<_> = (0..CALLERS)
        .map(|id| {
            let mut account = || dice.below(ACCOUNTS) as i64;
            let accounts = (account(), account());
            // Some while nearly all of them wait, some at any moment.
            let within = if id % 2 == 0 { 10_000 } else { 400_000 };
            let (fate, after) = (dice.below(3), Duration::from_micros(dice.below(within)));
            let (pool, told) = (pool.clone(), Arc::clone(&told));
            tokio::spawn(one(pool, told, id, accounts, fate, after))
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let (sum, there) = pool.run(&never, read).await.unwrap();
    let told = told.lock().unwrap();
    assert_eq!(sum, 100 * ACCOUNTS as i64);
    assert!(told.done.is_subset(&there), "each one that was acknowledged is there");
    assert!(told.stopped.is_disjoint(&there), "none that was told to be stopped is");
    assert!(
        told.done.len() > 50 && told.stopped.len() > 50,
        "{} {}",
        told.done.len(),
        told.stopped.len()
    );
    assert_eq!((pool.in_use(), pool.waiting()), (0, 0));
}

fn read(conn: &mut rusqlite::Connection) -> rusqlite::Result<(i64, BTreeSet<i64>)> {
    let tx = conn.transaction()?;
    let sum = tx.query_row("SELECT sum(sum) FROM account", [], |row| row.get(0))?;
    let mut statement = tx.prepare("SELECT id FROM transfer")?;
    let there = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok((sum, there))
}

async fn one(
    pool: Pool,
    told: Arc<Mutex<Told>>,
    id: i64,
    (from, to): (i64, i64),
    fate: u64,
    after: Duration,
) {
    let source = match fate {
        0 => Source::with_timeout(after),
        _ => Source::new(),
    };
    let running = pool.transaction(&source.token(), move |tx| transfer(tx, id, from, to));
    let answer = match fate {
        // Dropped at any moment: nobody is told anything.
        1 => match tokio::time::timeout(after, running).await {
            Ok(answer) => answer,
            Err(_) => return,
        },
        _ => running.await,
    };
    let mut told = told.lock().unwrap();
    match answer {
        Ok(()) => told.done.insert(id),
        Err(error) => {
            assert!(error.cancelled().is_some(), "{error:?}");
            told.stopped.insert(id)
        }
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sum_holds_whoever_is_stopped() {
    the_sum_holds(Wait::Confirmed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sum_holds_where_nobody_waits_for_the_stop() {
    the_sum_holds(Wait::AtOnce).await;
}

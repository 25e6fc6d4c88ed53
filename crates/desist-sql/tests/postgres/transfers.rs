//! A thousand callers who are stopped at random, and data in which it would show.
use std::time::Duration;

use crate::common::{PATIENCE, Postgres, in_time};
use desist::Source;
use desist_sql::postgres::{Pool, Tx};

const CALLERS: u64 = 1000;
const ACCOUNTS: u64 = 20;
const EACH: i64 = 1000;

/// Numbers that look like chance, and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Moves one, and says so in the same transaction.
async fn moves(tx: Tx, from: i64, to: i64, caller: i64) -> Result<(), tokio_postgres::Error> {
    let changes = "UPDATE accounts SET amount = amount + $1 WHERE id = $2";
    // In the same order for all, so that nobody waits for one who waits for them.
    let mut both = [(from, -1_i64), (to, 1)];
    both.sort_unstable();
    for (account, by) in both {
        tx.execute(changes, &[&by, &account]).await?;
        tx.execute("SELECT pg_sleep(0.001)", &[]).await?;
    }
    tx.execute("INSERT INTO moved VALUES ($1)", &[&caller]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_stopped_at_random_leaves_all_or_nothing() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    let makes = format!(
        "CREATE TABLE accounts (id bigint PRIMARY KEY, amount bigint);
         INSERT INTO accounts SELECT n, {EACH} FROM generate_series(0, {}) n;
         CREATE TABLE moved (caller bigint)",
        ACCOUNTS - 1
    );
    admin.batch_execute(&makes).await.unwrap();
    let pool = Pool::builder(server.address().parse().unwrap()).size(20).build().unwrap();
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let pool = pool.clone();
        callers.push(tokio::spawn(async move {
            let mut chance = Chance(caller * 7919 + 1);
            let (from, to) = (chance.below(ACCOUNTS) as i64, chance.below(ACCOUNTS) as i64);
            let source = Source::new();
            let token = source.token();
            let transfer = pool.transaction(&token, |tx| moves(tx, from, to, caller as i64));
            let patience = Duration::from_micros(chance.below(400_000));
            match chance.below(3) {
                // Stopped by its token, by its time, or dropped.
                0 => source.cancel_after(patience),
                1 => {
                    return tokio::time::timeout(patience, transfer)
                        .await
                        .is_ok_and(|it| it.is_ok());
                }
                _ => {}
            }
            match transfer.await {
                Ok(()) => true,
                Err(error) => {
                    assert!(error.cancelled().is_some(), "{error:?}");
                    false
                }
            }
        }));
    }
    let mut acknowledged = Vec::new();
    for (caller, task) in callers.into_iter().enumerate() {
        if in_time(task).await.unwrap() {
            acknowledged.push(caller as i64);
        }
    }
    assert!(in_time(pool.close_within(PATIENCE)).await);
    let sum = admin.query_one("SELECT sum(amount)::bigint FROM accounts", &[]).await.unwrap();
    assert_eq!(sum.get::<_, i64>(0), EACH * ACCOUNTS as i64);
    let moved = admin.query("SELECT caller FROM moved", &[]).await.unwrap();
    let moved: Vec<i64> = moved.iter().map(|row| row.get(0)).collect();
    for caller in &acknowledged {
        assert!(moved.contains(caller), "{caller} was told that it is done");
    }
    // All three ways it went sometimes.
    let stopped = CALLERS as usize - acknowledged.len();
    assert!(acknowledged.len() > 300 && stopped > 100, "{} and {stopped}", acknowledged.len());
    let open = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%accounts%' AND state <> 'idle' \
                AND pid <> pg_backend_pid()";
    assert_eq!(admin.query_one(open, &[]).await.unwrap().get::<_, i64>(0), 0);
}

//! What a claim costs does not depend on how much waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use desist_ops::{BoxError, Context, Kind, Operations, Postgres};
use desist_tokio::StopSource;

use crate::base::{Base, OnPostgres};
use crate::{MS, PATIENCE, until};

/// So many are run, one after the other.
const RUNS: u64 = 60;

/// What was read of the table, and how: by its own count.
#[derive(Debug, Clone, Copy)]
struct Read {
    /// Pages, of it and of its indexes.
    pages: i64,
    /// How often all of it was read.
    whole: i64,
    /// Rows that were looked at by an index.
    entries: i64,
    runs: i64,
}

async fn read(base: &OnPostgres) -> Read {
    // Whoever has gone has said what it did.
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                  AND pid <> pg_backend_pid()";
    until("all others have gone", || async { (base.number(others).await == 0).then_some(()) })
        .await;
    let asks = "SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read, seq_scan, \
                s.idx_tup_fetch, (SELECT count(*) FROM desist_ops_event WHERE what = 'claimed') \
                FROM pg_statio_user_tables io JOIN pg_stat_user_tables s USING (relid) \
                WHERE io.relname = 'desist_ops'";
    let rows = base.rows(asks).await;
    let number = |n: usize| rows[0][n].parse().unwrap();
    Read { pages: number(0), whole: number(1), entries: number(2), runs: number(3) }
}

/// Runs some, as a process does that has room for one. With nothing due they are started one
/// after the other, and after each it looks in vain.
async fn runs(base: &OnPostgres, are_due: bool) {
    let stop = StopSource::new();
    let done = Arc::new(AtomicU64::new(0));
    let (drains, counts) = (stop.clone(), Arc::clone(&done));
    let tick = move |_: Context<Postgres>, _: u64| {
        // Ordering: it only counts.
        if counts.fetch_add(1, Ordering::Relaxed) + 1 == RUNS {
            drains.drain();
        }
        async { Ok::<_, BoxError>(()) }
    };
    let operations = Operations::builder(base.store()).kind(Kind::new("tick", tick).concurrency(1));
    let operations = operations.look_every(MS(200)).open().await.unwrap();
    let ran = tokio::spawn(operations.run(&stop.stop()));
    if !are_due {
        for _ in 0..RUNS {
            let id = operations.start("tick", &0_u64).await.unwrap().id();
            operations.wait(id, PATIENCE).await.unwrap();
        }
    }
    assert_eq!(ran.await.unwrap().unwrap().succeeded(), RUNS);
}

/// What one run costs where so many wait, which are due now or much later.
async fn cost(waiting: u64, are_due: bool) -> Option<(f64, Read)> {
    let base = OnPostgres::shared()?;
    drop(Operations::builder(base.store()).open().await.unwrap());
    let now = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)";
    let when = if are_due { "0" } else { "3600000000" };
    let begin = std::time::Instant::now();
    base.rows(&format!(
        "INSERT INTO desist_ops (id, kind, state, input, created_at, run_at) \
         SELECT 'op_' || lpad(CAST(n AS text), 26, '0'), 'tick', 'waiting', '0', {now}, \
         {now} + {when} FROM generate_series(1, {waiting}) n"
    ))
    .await;
    base.rows("VACUUM ANALYZE desist_ops").await;
    let inserted = begin.elapsed();
    let before = read(&base).await;
    runs(&base, are_due).await;
    let after = read(&base).await;
    let read = Read {
        pages: after.pages - before.pages,
        whole: after.whole - before.whole,
        entries: after.entries - before.entries,
        runs: after.runs - before.runs,
    };
    #[allow(clippy::cast_precision_loss)] // It is for people.
    let each = read.pages as f64 / read.runs as f64;
    let due = if are_due { "now" } else { "later" };
    println!("{waiting} due {due}, inserted in {inserted:.1?}: {each:.1} pages a run, {read:?}");
    Some((each, read))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_among_a_hundred_thousand_costs_what_one_among_a_thousand_does() {
    for are_due in [true, false] {
        let Some((few, _)) = cost(1000, are_due).await else { return };
        let (many, read) = cost(100_000, are_due).await.unwrap();
        // An index has a level more.
        assert!(many < few * 1.5 + 5.0, "{many} pages a run, and {few} where few wait");
        assert_eq!(read.whole, 0, "the whole table was read");
        assert!(read.entries < read.runs * 60, "{read:?}");
    }
}

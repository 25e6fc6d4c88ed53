//! A database in a folder of its own, and statements that halt in the middle.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::{env, fs, process, thread};

use desist::Token;
use desist_sql::sqlite::{Builder, Pool};
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use tokio::sync::oneshot;

/// A sum that never comes to an end.
pub(crate) const ENDLESS: &str = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) \
                           SELECT count(*) FROM n";

/// How many rows are in `big`.
pub(crate) const BIG: i64 = 20_000;

pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("desist-sqlite-{}-{}", process::id(), NEXT.fetch_add(1, SeqCst));
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("test.db")
    }

    /// A pool of one reader, of a file.
    pub(crate) fn builder(&self) -> Builder {
        Pool::builder().path(self.file()).readers(1)
    }

    pub(crate) async fn pool(&self) -> Pool {
        self.builder().open().await.unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A thread that closes the database meanwhile takes files away as well.
        for _ in 0..100 {
            if fs::remove_dir_all(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            thread::yield_now();
        }
    }
}

/// The function `halt(x)`, which returns x, and the collation `halting`: when they are asked
/// for the so-manieth time, the thread says so, and stays there until it may go on.
#[derive(Clone)]
pub(crate) struct Halt(Arc<Inner>);

struct Inner {
    at: usize,
    calls: AtomicUsize,
    begun: Mutex<Option<oneshot::Sender<()>>>,
    goes_on: Mutex<mpsc::Receiver<()>>,
}

/// The other end of a [`Halt`].
pub(crate) struct Reins {
    begun: Option<oneshot::Receiver<()>>,
    go_on: mpsc::Sender<()>,
}

impl Halt {
    pub(crate) fn at(at: usize) -> (Self, Reins) {
        let (tell, begun) = oneshot::channel();
        let (go_on, goes_on) = mpsc::channel();
        let inner = Inner {
            at,
            calls: AtomicUsize::new(0),
            begun: Mutex::new(Some(tell)),
            goes_on: Mutex::new(goes_on),
        };
        (Self(Arc::new(inner)), Reins { begun: Some(begun), go_on })
    }

    pub(crate) fn call(&self) {
        if self.0.calls.fetch_add(1, SeqCst) + 1 == self.0.at {
            let begun = self.0.begun.lock().unwrap().take().unwrap();
            begun.send(()).unwrap();
            self.0.goes_on.lock().unwrap().recv().unwrap();
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.calls.load(SeqCst)
    }

    /// For `setup`.
    pub(crate) fn installs(
        &self,
    ) -> impl Fn(&mut Connection) -> rusqlite::Result<()> + Send + Sync + use<> {
        let this = self.clone();
        move |conn| {
            let (function, collation) = (this.clone(), this.clone());
            let flags = FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_UTF8;
            conn.create_scalar_function("halt", 1, flags, move |args| {
                function.call();
                args.get::<i64>(0)
            })?;
            conn.create_collation("halting", move |a, b| {
                collation.call();
                a.cmp(b)
            })
        }
    }
}

impl Reins {
    pub(crate) async fn halted(&mut self) {
        self.begun.take().unwrap().await.expect("it is still to come to the place");
    }

    pub(crate) fn release(&self) {
        // Nobody waits any more, where it has come to its end otherwise.
        let _ = self.go_on.send(());
    }
}

/// Makes the table `big`, with numbers from 1 on, and words that are too much for one piece
/// of a sort.
pub(crate) async fn fill(pool: &Pool) {
    let filled = pool.write(&Token::never(), |conn| {
        conn.execute_batch(&format!(
            "CREATE TABLE big (x INTEGER, word TEXT);
             CREATE TABLE copy (x INTEGER);
             WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT {BIG})
             INSERT INTO big SELECT x, hex(x * 7919 % {BIG}) || printf('%0200d', 0) FROM n;"
        ))
    });
    filled.await.unwrap();
}

/// Polls once.
pub(crate) async fn once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// Until nothing waits or runs; in this order, for what is taken is never in neither.
pub(crate) async fn idle(pool: &Pool) {
    while pool.waiting() + pool.in_use() > 0 {
        tokio::task::yield_now().await;
    }
}

/// Costs its connection.
pub(crate) fn forgets(conn: &mut Connection) -> rusqlite::Result<()> {
    let mut statement = conn.prepare("VALUES (1), (2)")?;
    let mut rows = statement.query([])?;
    rows.next()?;
    std::mem::forget(rows);
    std::mem::forget(statement);
    Ok(())
}

pub(crate) async fn count(pool: &Pool, table: &'static str) -> i64 {
    let count = pool.run(&Token::never(), move |conn| {
        conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
    });
    count.await.unwrap()
}

/// Numbers without an order to speak of, the same for each seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

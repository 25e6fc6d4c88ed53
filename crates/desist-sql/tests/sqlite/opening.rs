//! What cannot be opened, and what the error says to do about it.

use std::error::Error as _;
use std::fs;

use desist::Token;
use desist_sql::sqlite::{Builder, Pool, Synchronous};
use rusqlite::{Connection, ErrorCode};

use super::common::{Folder, count};

async fn refused(builder: Builder) -> (String, Option<ErrorCode>) {
    let error = builder.open().await.expect_err("it cannot be opened");
    let cause = error.source().and_then(|cause| cause.downcast_ref::<rusqlite::Error>());
    (error.to_string(), cause.and_then(rusqlite::Error::sqlite_error_code))
}

#[tokio::test]
async fn what_cannot_be_opened_says_what_to_do() {
    let folder = Folder::new();
    let path = folder.file();

    let (said, code) = refused(Pool::builder().path(path.join("deeper.db"))).await;
    assert!(said.contains("its folder does not exist; make that first"), "{said}");
    assert_eq!(code, Some(ErrorCode::CannotOpen));

    let (said, _) = refused(Pool::builder().path(path.parent().unwrap())).await;
    assert!(said.contains("its path is that of a folder; name a file in it"), "{said}");

    fs::write(&path, "not a database at all, but long enough to be one".repeat(100)).unwrap();
    for wal in [true, false] {
        let (said, code) = refused(Pool::builder().path(&path).wal(wal)).await;
        assert!(said.contains("is not an SQLite database"), "{said}");
        assert_eq!(code, Some(ErrorCode::NotADatabase));
    }

    // Where nobody may make a file, not even root.
    #[cfg(target_os = "linux")]
    {
        let (said, code) = refused(Pool::builder().path("/proc/desist.db")).await;
        assert!(said.contains("look at the permissions"), "{said}");
        assert_eq!(code, Some(ErrorCode::CannotOpen));
    }

    let (said, _) = refused(Pool::builder().in_memory().readers(0)).await;
    assert!(said.contains("say `readers(1)` or more"), "{said}");
    for many in [1001, usize::MAX] {
        let (said, _) = refused(Pool::builder().in_memory().readers(many)).await;
        assert!(said.contains("1000 are the most"), "{said}");
    }
    let (said, _) = refused(Pool::builder()).await;
    assert!(said.contains("name its `path`"), "{said}");
    let (said, _) = refused(Pool::builder().path("")).await;
    assert!(said.contains("the path of the database is empty"), "{said}");
}

#[tokio::test]
async fn a_database_that_somebody_has_locked_says_so() {
    let folder = Folder::new();
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("CREATE TABLE t (x); BEGIN EXCLUSIVE").unwrap();
    let (said, code) = refused(folder.builder().busy_timeout(std::time::Duration::ZERO)).await;
    assert!(said.contains("locked by somebody else"), "{said}");
    assert_eq!(code, Some(ErrorCode::DatabaseBusy));
}

#[tokio::test]
async fn an_error_says_each_thing_once() {
    let folder = Folder::new();
    let error = Pool::open(folder.file().join("deeper.db")).await.unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with(char::is_lowercase) && !said.ends_with('.'), "{said}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        assert!(!said.contains(&inner.to_string()), "{said}: {inner}");
        cause = inner.source();
    }
}

#[tokio::test]
async fn a_setup_that_panics_panics_where_it_was_asked_for() {
    let opening = Pool::builder().in_memory().setup(|_| panic!("in setup")).open();
    let panic = tokio::spawn(opening).await.unwrap_err().into_panic();
    assert_eq!(*panic.downcast::<&str>().unwrap(), "in setup");
}

#[tokio::test]
async fn every_connection_is_as_it_was_asked_to_be() {
    let look = |conn: &mut Connection| {
        let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let mode = conn.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?;
        Ok::<_, rusqlite::Error>((mode, pragma("synchronous")?, pragma("cache_size")?))
    };
    let levels = [(Synchronous::Off, 0), (Synchronous::Normal, 1), (Synchronous::Full, 2)];
    for (synchronous, number) in levels {
        let folder = Folder::new();
        let builder = folder.builder().synchronous(synchronous);
        let builder = builder.setup(|conn| conn.pragma_update(None, "cache_size", 77));
        let pool = builder.open().await.unwrap();
        let expected = ("wal".to_owned(), number, 77);
        assert_eq!(pool.run(&Token::never(), look).await.unwrap(), expected);
        assert_eq!(pool.write(&Token::never(), look).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn without_a_log_it_keeps_the_mode_that_it_has() {
    let folder = Folder::new();
    let pool = folder.builder().wal(false).open().await.unwrap();
    let mode = pool.write(&Token::never(), |conn| {
        conn.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))
    });
    assert_eq!(mode.await.unwrap(), "delete");
    pool.write(&Token::never(), |conn| conn.execute_batch("CREATE TABLE t (x)")).await.unwrap();
    assert_eq!(count(&pool, "t").await, 0);
}

#[tokio::test]
async fn readers_cannot_write() {
    let folder = Folder::new();
    for pool in [folder.pool().await, Pool::open(":memory:").await.unwrap()] {
        pool.write(&Token::never(), |conn| conn.execute_batch("CREATE TABLE t (x)")).await.unwrap();
        let writes = pool.run(&Token::never(), |conn| conn.execute("INSERT INTO t VALUES (1)", []));
        let code = writes.await.unwrap_err().into_failure().unwrap().sqlite_error_code();
        assert_eq!(code, Some(ErrorCode::ReadOnly));
        assert_eq!(count(&pool, "t").await, 0);
    }
}

#[tokio::test]
async fn two_in_memory_know_nothing_of_each_other() {
    let (one, other) =
        (Pool::open(":memory:").await.unwrap(), Pool::open(":memory:").await.unwrap());
    one.write(&Token::never(), |conn| conn.execute_batch("CREATE TABLE t (x)")).await.unwrap();
    assert_eq!(count(&one, "sqlite_schema").await, 1);
    assert_eq!(count(&other, "sqlite_schema").await, 0);
}

/// SQLite may be built to take `file:` for the beginning of a URI.
#[cfg(unix)]
#[tokio::test]
async fn a_path_is_no_uri() {
    struct Removed(String);
    impl Drop for Removed {
        fn drop(&mut self) {
            drop(fs::remove_file(&self.0));
        }
    }
    let name = Removed(format!("file:desist-{}.db?mode=memory", std::process::id()));
    for _ in 0..2 {
        let pool = Pool::builder().path(&name.0).readers(1).open().await.unwrap();
        let make = "CREATE TABLE IF NOT EXISTS t (x); INSERT INTO t VALUES (1)";
        pool.write(&Token::never(), |conn| conn.execute_batch(make)).await.unwrap();
        pool.close().await;
    }
    assert!(fs::metadata(&name.0).unwrap().is_file());
    let pool = Pool::builder().path(&name.0).readers(1).open().await.unwrap();
    assert_eq!(count(&pool, "t").await, 2);
    pool.close().await;
}

/// Some pragmas are for what is not there yet.
#[tokio::test]
async fn a_setup_comes_before_anything_is_read() {
    let folder = Folder::new();
    let builder = folder.builder().setup(|conn| {
        if !conn.is_readonly("main")? {
            conn.execute_batch("PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL")?;
        }
        Ok(())
    });
    let pool = builder.synchronous(Synchronous::Normal).open().await.unwrap();
    pool.write(&Token::never(), |conn| conn.execute_batch("CREATE TABLE t (x)")).await.unwrap();
    let look = |conn: &mut Connection| {
        let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        Ok::<_, rusqlite::Error>((pragma("page_size")?, pragma("auto_vacuum")?))
    };
    assert_eq!(pool.run(&Token::never(), look).await.unwrap(), (8192, 2));
    assert_eq!(pool.write(&Token::never(), look).await.unwrap(), (8192, 2));
}

/// The setup is the first that reads: what it meets then is not its own failure.
#[tokio::test]
async fn a_setup_that_meets_no_database_is_not_blamed() {
    let folder = Folder::new();
    fs::write(folder.file(), "not a database at all".repeat(100)).unwrap();
    let reads = |conn: &mut Connection| {
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    };
    let (said, code) = refused(folder.builder().setup(reads)).await;
    assert!(said.contains("is not an SQLite database"), "{said}");
    assert_eq!(code, Some(ErrorCode::NotADatabase));
}

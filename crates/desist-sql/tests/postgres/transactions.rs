//! Transactions of tokio-postgres: all or nothing, whatever comes between.
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::common::{PATIENCE, Postgres, in_time, running, runs};
use crate::statements::pid_of;
use desist::{Reason, Source, Token};
use desist_sql::postgres::{Conn, Pool, Tx};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

type PgError = tokio_postgres::Error;

pub(crate) fn pool_of(server: &Postgres, size: usize) -> Pool {
    Pool::builder(server.address().parse().unwrap()).size(size).build().unwrap()
}

/// A table of that name, with a trigger that makes a commit take as long as a row says.
pub(crate) async fn table(admin: &Client, name: &str) {
    let makes = format!(
        "CREATE TABLE {name} (n int, takes float DEFAULT 0);
         CREATE FUNCTION {name}_takes() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(NEW.takes); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER takes AFTER INSERT ON {name} DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION {name}_takes()"
    );
    admin.batch_execute(&makes).await.unwrap();
}

pub(crate) async fn rows_of(client: &Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

pub(crate) async fn nobody_is_in_a_transaction(admin: &Client, table: &str) {
    let like = format!("%{table}%");
    let counts = "SELECT count(*) FROM pg_stat_activity \
                  WHERE query LIKE $1 AND state LIKE 'idle in%' AND pid <> pg_backend_pid()";
    assert_eq!(admin.query_one(counts, &[&like]).await.unwrap().get::<_, i64>(0), 0, "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_succeeds_is_committed_and_what_fails_is_not() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    table(&admin, "simple").await;
    let pool = pool_of(server, 1);
    let never = Token::never();
    let inserts = |tx: Tx| async move { tx.execute("INSERT INTO simple VALUES (1)", &[]).await };
    assert_eq!(in_time(pool.transaction(&never, inserts)).await.unwrap(), 1);
    assert_eq!(rows_of(&admin, "simple").await, 1);

    #[derive(Debug, PartialEq)]
    enum Own {
        Enough,
        Sql(String),
    }
    impl From<PgError> for Own {
        fn from(error: PgError) -> Self {
            Self::Sql(error.to_string())
        }
    }
    let gives_up = pool.transaction(&never, |tx| async move {
        tx.execute("INSERT INTO simple VALUES (2)", &[]).await?;
        Err::<(), _>(Own::Enough)
    });
    let error = in_time(gives_up).await.unwrap_err();
    assert_eq!(error.into_failure().unwrap(), Own::Enough);
    assert_eq!(rows_of(&admin, "simple").await, 1);
    nobody_is_in_a_transaction(&admin, "simple").await;
}

/// The server would say nothing of it, but that it has rolled back.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_the_work_swallows_is_no_commit() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    table(&admin, "swallowed").await;
    let pool = pool_of(server, 1);
    let never = Token::never();
    let work = pool.transaction(&never, |tx| async move {
        tx.execute("INSERT INTO swallowed VALUES (1)", &[]).await?;
        assert!(tx.batch_execute("SELECT 1/0").await.is_err());
        Ok::<_, PgError>(())
    });
    let error = in_time(work).await.unwrap_err();
    assert_eq!(error.to_string(), "the transaction was not committed");
    assert!(error.is_not_committed() && !error.is_in_doubt());
    assert_eq!(rows_of(&admin, "swallowed").await, 0);
    // Nor is one that it has ended by itself.
    let work = pool.transaction(&never, |tx| async move { tx.batch_execute("ROLLBACK").await });
    let error = in_time(work).await.unwrap_err();
    assert_eq!(error.to_string(), "the transaction was not committed");
    // And a commit that the server refuses says why.
    admin
        .batch_execute(
            "CREATE TABLE deferred (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
             INSERT INTO deferred VALUES (1)",
        )
        .await
        .unwrap();
    let work = pool.transaction(&never, |tx| async move {
        tx.batch_execute("INSERT INTO deferred VALUES (1)").await
    });
    let error = in_time(work).await.unwrap_err();
    assert_eq!(error.to_string(), "the transaction was not committed");
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<PgError>().unwrap();
    assert_eq!(source.code(), Some(&SqlState::UNIQUE_VIOLATION));
    in_time(pool.run(&never, |conn| async move { conn.batch_execute("SELECT 1").await }))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_stopped_is_rolled_back() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    table(&admin, "stopped_tx").await;
    for goes in ["by a stop", "by its time", "dropped"] {
        for in_statement in [true, false] {
            let pool = pool_of(server, 1);
            let pid = pid_of(&pool).await;
            let source = Source::new();
            if goes == "by its time" {
                source.cancel_after(Duration::from_millis(300));
            }
            let (token, of_work) = (source.token(), pool.clone());
            let (is_there, there) = tokio::sync::oneshot::channel();
            let work = tokio::spawn(async move {
                let inserts = |tx: Tx| async move {
                    tx.execute("INSERT INTO stopped_tx VALUES (1)", &[]).await?;
                    is_there.send(()).unwrap();
                    if in_statement {
                        return tx.batch_execute("SELECT pg_sleep(600)").await;
                    }
                    pending().await
                };
                of_work.transaction(&token, inserts).await
            });
            in_time(there).await.unwrap();
            match goes {
                "dropped" => {
                    work.abort();
                    assert!(work.await.unwrap_err().is_cancelled());
                }
                _ => {
                    if goes == "by a stop" {
                        source.cancel();
                    }
                    let error = in_time(work).await.unwrap().unwrap_err();
                    let reason = error.cancelled().expect("it was stopped").reason();
                    assert_eq!(reason == Reason::Deadline, goes == "by its time");
                }
            }
            let never = Token::never();
            let next = pool.run(&never, |conn| async move {
                conn.query_one(
                    "SELECT count(*), current_setting('statement_timeout') FROM stopped_tx",
                    &[],
                )
                .await
            });
            let next = in_time(next).await.unwrap();
            assert_eq!((next.get::<_, i64>(0), next.get::<_, &str>(1)), (0, "0"), "{goes}");
            nobody_is_in_a_transaction(&admin, "stopped_tx").await;
            // It was rolled back, and not thrown away.
            assert_eq!(pid_of(&pool).await, pid, "{goes}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn savepoints_nest_and_are_undone_alone() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    table(&admin, "saved").await;
    let pool = pool_of(server, 1);
    let never = Token::never();
    let insert = async |tx: &Tx, n: i32| tx.execute("INSERT INTO saved VALUES ($1)", &[&n]).await;
    let work = pool.transaction(&never, |mut tx| async move {
        insert(&tx, 1).await?;
        tx.savepoint(|mut tx| async move {
            insert(&tx, 2).await?;
            let undone = tx.savepoint(|tx| async move {
                insert(&tx, 3).await?;
                tx.batch_execute("SELECT 1/0").await
            });
            assert!(undone.await.is_err());
            insert(&tx, 4).await
        })
        .await?;
        let undone = tx.savepoint(|tx| async move {
            insert(&tx, 5).await?;
            tx.batch_execute("SELECT 1/0").await
        });
        assert!(undone.await.is_err());
        insert(&tx, 6).await
    });
    in_time(work).await.unwrap();
    let rows = admin.query("SELECT n FROM saved ORDER BY n", &[]).await.unwrap();
    let rows: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(rows, [1, 2, 4, 6]);
}

/// Whoever has dropped a part of it half-way has a transaction of which that part is not undone.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_savepoint_that_was_dropped_half_way_nothing_is_committed() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    table(&admin, "torn").await;
    let pool = pool_of(server, 1);
    let never = Token::never();
    let tears = async |tx: &mut Tx| {
        let inserts = tx.savepoint(|tx| async move {
            tx.batch_execute("INSERT INTO torn VALUES (1)").await?;
            pending::<()>().await;
            Ok::<_, PgError>(())
        });
        assert!(tokio::time::timeout(Duration::from_millis(50), inserts).await.is_err());
    };
    let work = pool.transaction(&never, |mut tx| async move {
        tears(&mut tx).await;
        // It can be used, all the same.
        tx.batch_execute("INSERT INTO torn VALUES (2)").await
    });
    assert!(in_time(work).await.unwrap_err().is_not_committed());
    // One beside it that is undone undoes nothing of it, nor does one that is torn around it.
    let work = pool.transaction(&never, |mut tx| async move {
        tears(&mut tx).await;
        let beside = tx.savepoint(|tx| async move { tx.batch_execute("SELECT 1/0").await });
        assert!(beside.await.is_err());
        Ok::<_, PgError>(())
    });
    assert!(in_time(work).await.unwrap_err().is_not_committed());
    let work = pool.transaction(&never, |mut tx| async move {
        let around = tx.savepoint(|mut tx| async move {
            tears(&mut tx).await;
            pending::<()>().await;
            Ok::<_, PgError>(())
        });
        assert!(tokio::time::timeout(Duration::from_millis(200), around).await.is_err());
        let beside = tx.savepoint(|tx| async move { tx.batch_execute("SELECT 1/0").await });
        assert!(beside.await.is_err());
        Ok::<_, PgError>(())
    });
    assert!(in_time(work).await.unwrap_err().is_not_committed());
    // A savepoint around it undoes it.
    let work = pool.transaction(&never, |mut tx| async move {
        let undone = tx.savepoint(|mut tx| async move {
            tears(&mut tx).await;
            tx.batch_execute("SELECT 1/0").await
        });
        assert_eq!(undone.await.unwrap_err().code(), Some(&SqlState::DIVISION_BY_ZERO));
        tx.batch_execute("INSERT INTO torn VALUES (3)").await
    });
    in_time(work).await.unwrap();
    let rows = admin.query("SELECT n FROM torn", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_isolation_is_set_by_its_first_statement() {
    let Some(server) = Postgres::shared() else { return };
    let pool = pool_of(server, 1);
    for token in [Token::never(), Source::with_timeout(PATIENCE).token()] {
        let work = pool.transaction(&token, |tx| async move {
            tx.batch_execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY").await?;
            let asks = "SELECT current_setting('transaction_isolation') || ' ' ||
                        current_setting('transaction_read_only')";
            Ok::<String, PgError>(tx.query_one(asks, &[]).await?.get(0))
        });
        assert_eq!(in_time(work).await.unwrap(), "serializable on");
    }
}

/// By hand, and left open.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_left_open_is_rolled_back_before_anybody_comes() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    table(&admin, "left_open").await;
    let pool = pool_of(server, 1);
    let never = Token::never();
    for fails in [false, true] {
        let opens = pool.run(&never, |conn: Conn| async move {
            conn.batch_execute("BEGIN; INSERT INTO left_open VALUES (1)").await?;
            if fails { conn.batch_execute("SELECT 1/0").await } else { Ok(()) }
        });
        assert_eq!(in_time(opens).await.is_err(), fails);
        let next = pool.run(&never, |conn| async move {
            Ok::<i64, PgError>(conn.query_one("SELECT count(*) FROM left_open", &[]).await?.get(0))
        });
        assert_eq!(in_time(next).await.unwrap(), 0);
        nobody_is_in_a_transaction(&admin, "left_open").await;
    }
    // The driver's own, dropped in the middle.
    let mut work = pin!(pool.run(&never, |mut conn: Conn| async move {
        let tx = conn.transaction().await?;
        tx.batch_execute("INSERT INTO left_open VALUES (1)").await?;
        tx.batch_execute("SELECT pg_sleep(600) /*driver*/").await
    }));
    in_time(async {
        tokio::select! {
            _ = work.as_mut() => panic!("it goes on"),
            () = runs(&admin, "driver") => {}
        }
    })
    .await;
    let _ = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_pending())).await;
    assert_eq!(running(&admin, "driver").await, 1);
}

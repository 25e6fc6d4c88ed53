//! The same through PgBouncer, which gives a server's connection to many clients in turn.
use std::time::Duration;

use crate::common::{Bouncer, PATIENCE, Postgres, in_time, running, runs, tcp_at};
use desist::{Source, Token};
use desist_sql::postgres::{Pool, Tx};

#[tokio::test(flavor = "multi_thread")]
async fn statements_stop_and_nobody_else_is_hit_through_a_pooler() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    admin.batch_execute("CREATE TABLE pooled (n int)").await.unwrap();
    for mode in ["session", "transaction"] {
        let Some(bouncer) = Bouncer::start(server, mode) else { return };
        let pool = Pool::builder(tcp_at(bouncer.port).parse().unwrap()).size(3).build().unwrap();
        for goes in ["by a stop", "by its time", "dropped"] {
            for in_transaction in [false, true] {
                let mark = format!("{mode} {goes} {in_transaction}");
                let statement = format!("SELECT pg_sleep(600) /*{mark}*/");
                let source = Source::new();
                let (token, of_work) = (source.token(), pool.clone());
                let work = tokio::spawn(async move {
                    if in_transaction {
                        let inserts = |tx: Tx| async move {
                            tx.batch_execute("INSERT INTO pooled VALUES (1)").await?;
                            tx.batch_execute(&statement).await
                        };
                        return of_work.transaction(&token, inserts).await;
                    }
                    of_work
                        .run(&token, |conn| async move { conn.batch_execute(&statement).await })
                        .await
                });
                runs(&admin, &mark).await;
                if goes == "dropped" {
                    work.abort();
                    assert!(work.await.unwrap_err().is_cancelled());
                } else {
                    if goes == "by a stop" {
                        source.cancel();
                    } else {
                        source.cancel_after(Duration::from_millis(1));
                    }
                    assert!(in_time(work).await.unwrap().unwrap_err().cancelled().is_some());
                    assert_eq!(running(&admin, &mark).await, 0, "{mark}");
                }
                let never = Token::never();
                for _ in 0..5 {
                    let next = pool.run(&never, |conn| async move {
                        conn.batch_execute("SELECT count(*) FROM generate_series(1, 1000)").await
                    });
                    in_time(next).await.unwrap();
                }
                in_time(async {
                    while running(&admin, &mark).await > 0 {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                })
                .await;
            }
        }
        let commits =
            |tx: Tx| async move { tx.batch_execute("INSERT INTO pooled VALUES (2)").await };
        in_time(pool.transaction(&Token::never(), commits)).await.unwrap();
        assert!(in_time(pool.close_within(PATIENCE)).await);
    }
    let rows = admin.query("SELECT n FROM pooled", &[]).await.unwrap();
    let rows: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(rows, [2, 2]);
}

/// Half of them are stopped, at about the time that they end.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_races_through_a_pooler_hit_nobody() {
    let Some(server) = Postgres::shared() else { return };
    let Some(bouncer) = Bouncer::start(server, "transaction") else { return };
    let pool = Pool::builder(tcp_at(bouncer.port).parse().unwrap()).size(2).build().unwrap();
    let never = Token::never();
    let (mut completed, mut cancelled) = (0, 0);
    for race in 0..1000_u64 {
        let source = Source::with_timeout(Duration::from_millis(1 + race % 4));
        let statement = "SELECT pg_sleep(0.003)";
        let token = source.token();
        let work = pool.run(&token, |conn| async move { conn.batch_execute(statement).await });
        match in_time(work).await {
            Ok(()) => completed += 1,
            Err(error) => {
                assert!(error.cancelled().is_some(), "{error:?}");
                cancelled += 1;
            }
        }
        let next = pool.run(&never, |conn| async move {
            conn.batch_execute("SELECT count(*) FROM generate_series(1, 1000)").await
        });
        in_time(next).await.unwrap_or_else(|error| panic!("hit in {race}: {error:?}"));
    }
    assert!(completed > 100 && cancelled > 100, "{completed} and {cancelled}");
}

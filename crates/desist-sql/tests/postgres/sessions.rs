//! What sessions keep, and what of it somebody else finds.
use std::time::Duration;

use crate::common::{PATIENCE, Postgres, in_time};
use crate::statements::pid_of;
use desist::{Source, Token};
use desist_sql::postgres::{Conn, Pool};

type PgError = tokio_postgres::Error;

const LEAVES: &str = "SET search_path = nowhere; SET ROLE pg_monitor; LISTEN anything; \
                      CREATE TEMP TABLE mine (n int); SELECT pg_advisory_lock(815)";

/// The settings, the role, what is listened to, the tables and the locks.
async fn found(pool: &Pool) -> (String, String, i64, i64, i64) {
    let asks = "SELECT current_setting('search_path'), current_user::text,
                       (SELECT count(*) FROM pg_listening_channels()),
                       (SELECT count(*) FROM pg_class WHERE relname = 'mine'),
                       (SELECT count(*) FROM pg_locks WHERE objid = 815)";
    let never = Token::never();
    let row = pool.run(&never, |conn| async move { conn.query_one(asks, &[]).await });
    let row = in_time(row).await.unwrap();
    (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_set_up_once_and_reset_whenever_work_has_ended() {
    let Some(server) = Postgres::start() else { return };
    let builder = || Pool::builder(server.address().parse().unwrap()).size(1);
    let forgets = "RESET ROLE; SET search_path = shop; SELECT pg_advisory_unlock_all(); \
                   UNLISTEN *; DISCARD TEMP;";
    let pool = builder().setup("SET search_path = shop").reset(forgets).build().unwrap();
    let pid = pid_of(&pool).await;
    let clean = (String::from("shop"), String::from("postgres"), 0, 0, 0);
    assert_eq!(found(&pool).await, clean);
    for goes in ["to its end", "failing", "by a stop", "dropped"] {
        let source = Source::new();
        let token = source.token();
        let work = pool.run(&token, |conn: Conn| async move {
            conn.batch_execute(LEAVES).await?;
            match goes {
                "to its end" => return Ok::<_, PgError>(()),
                "failing" => return conn.batch_execute("SELECT 1/0").await,
                "by a stop" => source.cancel(),
                _ => false,
            };
            conn.batch_execute("SELECT pg_sleep(600)").await
        });
        if goes == "dropped" {
            assert!(tokio::time::timeout(Duration::from_millis(100), work).await.is_err());
        } else {
            assert_eq!(in_time(work).await.is_ok(), goes == "to its end");
        }
        assert_eq!(found(&pool).await, clean, "{goes}");
        assert_eq!(pid_of(&pool).await, pid, "{goes}");
    }
    assert!(in_time(pool.close_within(PATIENCE)).await);
    // Without that they keep it, as they do in any pool.
    let pool = builder().build().unwrap();
    in_time(pool.run(&Token::never(), |conn| async move { conn.batch_execute(LEAVES).await }))
        .await
        .unwrap();
    assert_eq!(found(&pool).await, ("nowhere".into(), "pg_monitor".into(), 1, 1, 1));
    // Where it fails the connection is none.
    let pool = builder().reset("SELECT 1/0").build().unwrap();
    assert_ne!(pid_of(&pool).await, pid_of(&pool).await);
    let pool = builder().setup("SELECT 1/0").build().unwrap();
    let error = in_time(pool.run(&Token::never(), |_conn| async { Ok::<_, PgError>(()) })).await;
    assert!(error.unwrap_err().is_no_connection());
}

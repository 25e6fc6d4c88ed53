//! Servers that die, networks that are cut, and addresses that are wrong.
use std::error::Error as _;
use std::time::Duration;

use crate::common::{
    Cable, LOCKED, Later, PATIENCE, Postgres, a_late_cancel_hits_nobody_else, in_time, running,
    runs,
};
use crate::statements::pid_of;
use desist::{Source, Token};
use desist_sql::Error;
use desist_sql::postgres::{Conn, Pool};

/// How much later a request to cancel comes.
const LATE: Duration = Duration::from_millis(100);

type PgError = tokio_postgres::Error;

/// How long a server has to answer, here.
const SOON: Duration = Duration::from_millis(500);

fn pool_at(address: &str) -> Pool {
    pool_connected_within(SOON, address)
}

fn pool_connected_within(time: Duration, address: &str) -> Pool {
    let builder = Pool::builder(address.parse().unwrap()).size(1);
    builder.settle_within(SOON).connect_within(time).build().unwrap()
}

async fn sleeps(pool: Pool, token: Token, mark: &'static str) -> Result<(), Error<PgError>> {
    let statement = format!("SELECT pg_sleep(600) /*{mark}*/");
    pool.run(&token, |conn| async move { conn.batch_execute(&statement).await }).await
}

/// A stop that the server does not hear has its bound, and its connection is nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_network_holds_nobody_up() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    let cable = Cable::to(server.port()).await;
    let pool = pool_at(&cable.address());
    let source = Source::new();
    let work = tokio::spawn(sleeps(pool.clone(), source.token(), "cut"));
    runs(&admin, "cut").await;
    cable.cut();
    source.cancel();
    assert!(in_time(work).await.unwrap().unwrap_err().cancelled().is_some());
    // Nothing can be had from there.
    let late = in_time(pool.run(&Token::never(), |_conn| async { Ok::<_, PgError>(()) })).await;
    assert!(late.unwrap_err().to_string().contains("is the server up"));
    // And when it is mended everything is as it was, but for what was asked for before: its
    // server's process sees that nobody is there.
    cable.mend();
    let never = Token::never();
    let works = pool.run(&never, |conn| async move { conn.query_one("SELECT 7", &[]).await });
    assert_eq!(in_time(works).await.unwrap().get::<_, i32>(0), 7);
    in_time(async {
        while running(&admin, "cut").await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(in_time(pool.close_within(PATIENCE)).await);
}

/// A cancel that is on its way is waited for, though what it was for has ended: it would hit
/// whatever comes next.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_takes_its_time_hits_nobody_else() {
    let Some(server) = Postgres::shared() else { return };
    let cable = Cable::with(server.port(), Later::Late(LATE)).await;
    let pool = Pool::builder(cable.address().parse().unwrap()).size(1).build().unwrap();
    pid_of(&pool).await;
    for _ in 0..5 {
        a_late_cancel_hits_nobody_else(&pool, "SELECT pg_sleep(0.04)").await;
    }
}

/// Nor one of which nobody knows whether it is on its way: its connection is ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_is_lost_from_sight_hits_nobody_else() {
    let Some(server) = Postgres::shared() else { return };
    for _ in 0..3 {
        let cable = Cable::with(server.port(), Later::Resets(LATE)).await;
        let pool = pool_at(&cable.address());
        pid_of(&pool).await;
        a_late_cancel_hits_nobody_else(&pool, "SELECT pg_sleep(0.04)").await;
    }
}

/// One that cannot be cancelled is ended, from beside.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_heed_a_cancel_is_ended() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    // Nor does it look whether anybody is there.
    let builder = Pool::builder(server.address().parse().unwrap()).size(1);
    // Whatever the session says of times.
    let builder = builder.setup("SET TIME ZONE 'Asia/Tokyo'; SET datestyle = 'SQL, DMY'");
    let pool = builder.check_interval(None).settle_within(SOON).build().unwrap();
    let source = Source::new();
    let (token, of_work) = (source.token(), pool.clone());
    let work = tokio::spawn(async move {
        let stubborn = "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(600); \
                        EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$ /*stubborn*/";
        of_work.run(&token, |conn: Conn| async move { conn.batch_execute(stubborn).await }).await
    });
    runs(&admin, "stubborn").await;
    source.cancel();
    assert!(in_time(work).await.unwrap().unwrap_err().cancelled().is_some());
    assert_eq!(running(&admin, "stubborn").await, 0);
    let never = Token::never();
    let next = pool.run(&never, |conn| async move { conn.query_one("SELECT 7", &[]).await });
    assert_eq!(in_time(next).await.unwrap().get::<_, i32>(0), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_fails_what_runs_and_is_told() {
    let Some(server) = Postgres::start() else { return };
    let admin = server.client().await;
    let pool = pool_at(&server.address());
    let work = tokio::spawn(sleeps(pool.clone(), Token::never(), "killed"));
    runs(&admin, "killed").await;
    server.kill();
    let error = in_time(work).await.unwrap().unwrap_err();
    assert!(error.cancelled().is_none() && error.failure().unwrap().as_db_error().is_none());
    // One that is stopped in the same moment is stopped.
    let never = Token::never();
    let next = in_time(pool.run(&never, |_conn| async { Ok::<_, PgError>(()) })).await;
    let next = next.unwrap_err();
    assert!(next.to_string().contains("is the server up"), "{next}");
    assert!(next.source().is_some());
    assert!(in_time(pool.close_within(PATIENCE)).await);
}

/// A process that is killed leaves nothing running, for the server looks for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_is_ended_by_the_server() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    let check = Some(Duration::from_millis(100));
    let config = server.tcp().parse().unwrap();
    let pool = Pool::builder(config).check_interval(check).build().unwrap();
    let never = Token::never();
    let shows = pool.run(&never, |conn| async move {
        let row = conn.query_one("SHOW client_connection_check_interval", &[]).await?;
        Ok::<String, PgError>(row.get(0))
    });
    assert_eq!(in_time(shows).await.unwrap(), "100ms");
    let (tells, told) = tokio::sync::oneshot::channel::<()>();
    let ends = std::thread::spawn(move || {
        // A runtime that goes in the middle, as a process does.
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.spawn(sleeps(pool, Token::never(), "nobody waits"));
        let _ = runtime.block_on(told);
        runtime.shutdown_background();
    });
    runs(&admin, "nobody waits").await;
    tells.send(()).unwrap();
    ends.join().unwrap();
    in_time(async {
        while running(&admin, "nobody waits").await > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A connection that is being made when the pool is closed is nobody's, and is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_begins_in_a_pool_that_was_closed_while_it_connected() {
    let Some(server) = Postgres::shared() else { return };
    let cable = Cable::with(server.port(), Later::Late(LATE)).await;
    // The first one is not late.
    drop(tokio_postgres::connect(&cable.address(), tokio_postgres::NoTls).await.unwrap());
    let pool = Pool::builder(cable.address().parse().unwrap()).size(1).build().unwrap();
    let of_work = pool.clone();
    let (begins, mut has_begun) = tokio::sync::oneshot::channel();
    let work = tokio::spawn(async move {
        let begins = |_conn| async move {
            begins.send(()).unwrap();
            Ok::<_, PgError>(())
        };
        of_work.run(&Token::never(), begins).await
    });
    in_time(async {
        while !format!("{pool:?}").contains("in_use: 1") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(in_time(pool.close_within(PATIENCE)).await);
    assert!(has_begun.try_recv().is_err());
    assert!(in_time(work).await.unwrap().unwrap_err().is_no_connection());
}

/// Of several hosts one that is there is found, whatever the others are.
#[tokio::test(flavor = "multi_thread")]
async fn one_host_of_several_is_enough() {
    let Some(server) = Postgres::shared() else { return };
    // It accepts, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap().port();
    let port = server.port();
    for (hosts, ports) in [
        ("nowhere.invalid,127.0.0.1", format!("{port}")),
        ("127.0.0.1,127.0.0.1", format!("{silent},{port}")),
        ("127.0.0.1,nowhere.invalid,127.0.0.1", format!("1,1,{port}")),
    ] {
        for balances in ["disable", "random"] {
            let address =
                format!("host={hosts} port={ports} user=postgres load_balance_hosts={balances}");
            let pool = pool_connected_within(PATIENCE / 5, &address);
            let never = Token::never();
            in_time(pool.run(&never, |conn| async move { conn.batch_execute("SELECT 1").await }))
                .await
                .unwrap_or_else(|error| panic!("{address}: {error:?}"));
        }
    }
    // In any order, if that is asked for.
    let folder = server.folder().display();
    let address =
        format!("host={folder},127.0.0.1 port={port} user=postgres load_balance_hosts=random");
    let mut first = 0;
    for _ in 0..40 {
        let pool = pool_connected_within(PATIENCE / 5, &address);
        let never = Token::never();
        let asks = "SELECT inet_server_addr() IS NULL";
        let row = pool.run(&never, |conn| async move { conn.query_one(asks, &[]).await });
        first += usize::from(in_time(row).await.unwrap().get::<_, bool>(0));
    }
    assert!((1..40).contains(&first), "{first}");
    // And one that is not what is asked for is none.
    let pool = pool_at(&format!("{} target_session_attrs=read-only", server.address()));
    let never = Token::never();
    let error =
        in_time(pool.run(&never, |_conn| async { Ok::<_, PgError>(()) })).await.unwrap_err();
    assert!(error.is_no_connection());
    let pool = pool_at("host=127.0.0.1,nowhere.invalid port=1 user=postgres");
    let error =
        in_time(pool.run(&never, |_conn| async { Ok::<_, PgError>(()) })).await.unwrap_err();
    let said = error.source().unwrap().to_string();
    assert!(said.starts_with("none of 2 hosts can be used: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_addresses_say_what_to_do_and_no_password() {
    let Some(server) = Postgres::shared() else { return };
    let wrong = format!(
        "host=127.0.0.1 port={} user=locked password=hunter2 dbname=postgres",
        server.port()
    );
    for address in [
        "postgre://shop:hunter2@localhost/shop?sslmode=require",
        "postgres//shop:hunter2@localhost/shop?sslmode=require",
        "POSTGRES://shop:hunter2@localhost/shop?a=b",
        "host=localhost password=correct hunter2=battery",
        "host=localhost port=hunter2",
        "user=locked password=hunter2",
        "host=a,b,c port=1,2 password=hunter2",
    ] {
        let error = Pool::new(address).unwrap_err();
        let mut said = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(cause) = source {
            said += &format!(" {cause} {cause:?}");
            source = cause.source();
        }
        assert!(said.contains("this is no address of a database"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    for address in [
        wrong.as_str(),
        "host=127.0.0.1 port=1 user=locked password=hunter2",
        "host=nowhere.invalid user=locked password=hunter2",
        "host=/nowhere user=locked password=hunter2",
        "host=127.0.0.1 user=locked password=hunter2 sslmode=require",
    ] {
        let pool = pool_at(address);
        let never = Token::never();
        let error = in_time(pool.run(&never, |_conn| async { Ok::<_, PgError>(()) })).await;
        let error = error.unwrap_err();
        let mut said = format!("{error} {error:?} {pool:?}");
        let mut source = error.source();
        while let Some(cause) = source {
            said += &format!(" {cause} {cause:?}");
            source = cause.source();
        }
        assert!(error.is_no_connection());
        assert!(said.contains("are its address and password right?"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let right = wrong.replace("hunter2", LOCKED.1);
    let pool = pool_at(&right);
    let never = Token::never();
    in_time(pool.run(&never, |conn| async move { conn.batch_execute("SELECT 1").await }))
        .await
        .unwrap();
    for address in ["postgres//nonsense", "port=many", "host"] {
        let error = Pool::new(address).unwrap_err();
        assert!(error.to_string().contains("write postgres://user@host/database"), "{error}");
    }
    let error = Pool::new("port=many").unwrap_err();
    assert!(error.source().unwrap().to_string().contains("`port`"));
}

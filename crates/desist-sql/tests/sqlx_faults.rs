//! Servers that die, networks that are cut, and settings that are wrong.
#![cfg(all(unix, feature = "sqlx"))]

mod common;

use std::error::Error as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::{Duration, Instant};

use common::sqlx::{options, pool, pool_options, running, server, until};
use common::{LOCKED, PATIENCE, Server, Wire};
use desist::{Source, Token};
use desist_sql::Error;
use desist_sql::sqlx::Pool;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgPool};

const SLEEP: &str = "SELECT pg_sleep(60)";

/// How long a pool of these has for coming clean.
const WITHIN: Duration = Duration::from_millis(300);

async fn sleeps(pool: Pool, token: Token) -> Result<(), Error<sqlx::Error>> {
    pool.run(&token, async |mut conn| conn.execute(SLEEP).await.map(drop)).await
}

async fn to(server: &Server) -> Wire {
    Wire::to(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()))).await
}

fn by(server: &Server, wire: &Wire, name: &str) -> PgConnectOptions {
    let options = PgConnectOptions::from_str(&server.tcp_url()).unwrap();
    options.port(wire.addr.port()).application_name(name).disable_statement_logging()
}

async fn through(server: &Server, name: &str) -> (Wire, Pool) {
    let wire = to(server).await;
    let pool = Pool::builder(pool_options(1).connect_lazy_with(by(server, &wire, name)));
    (wire, pool.clean_within(WITHIN).commit_within(WITHIN).build())
}

async fn one(pool: &Pool) -> Result<i32, Error<sqlx::Error>> {
    let one = pool.run(&Token::never(), async |mut conn| {
        sqlx::query_scalar("SELECT 1").fetch_one(&mut *conn).await
    });
    one.await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_cut_costs_a_bounded_time_and_the_connection() {
    let Some(server) = server() else { return };
    let (wire, pool) = through(server, "cut").await;
    let source = Source::new();
    let run = tokio::spawn(sleeps(pool.clone(), source.token()));
    until("it runs", async || running(server, "cut") == "1").await;
    wire.cut();
    let begin = Instant::now();
    source.cancel();
    let ended = tokio::time::timeout(PATIENCE, run).await.unwrap();
    assert!(ended.unwrap().unwrap_err().cancelled().is_some());
    assert!(begin.elapsed() >= WITHIN, "it cannot have been confirmed");
    assert_eq!(pool.get_ref().size(), 0);
    // Nobody was told, so that it is the server that has to notice.
    wire.close();
    until("the server has noticed", async || running(server, "cut") == "0").await;
    wire.heal();
    assert_eq!(one(&pool).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_cut_at_the_beginning_is_not_waited_for_after_the_stop() {
    let Some(server) = server() else { return };
    let (wire, pool) = through(server, "begin").await;
    assert_eq!(one(&pool).await.unwrap(), 1);
    wire.cut();
    let source = Source::with_timeout(Duration::from_millis(50));
    let error = sleeps(pool.clone(), source.token()).await.unwrap_err();
    assert!(error.cancelled().is_some(), "{error:?}");
    // Its owner closes it.
    until("it is closed", async || pool.get_ref().size() == 0).await;
    wire.heal();
    assert_eq!(one(&pool).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_silent_at_the_beginning_is_given_up_in_time() {
    let Some(server) = server() else { return };
    let wire = to(server).await;
    let options = pool_options(1).acquire_timeout(WITHIN * 3);
    let pool = options.connect_lazy_with(by(server, &wire, "silent"));
    let pool = Pool::builder(pool).clean_within(WITHIN).build();
    assert_eq!(one(&pool).await.unwrap(), 1);
    until("it is given back", async || pool.get_ref().num_idle() == 1).await;
    wire.cut();
    let error = tokio::time::timeout(PATIENCE, one(&pool)).await.unwrap().unwrap_err();
    // And not for want of connections.
    assert!(error.is_no_connection(), "{error:?}");
    assert!(error.to_string().contains("the server did not answer"), "{}", chain(&error));
    wire.heal();
    assert_eq!(one(&pool).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_cut_as_a_connection_is_given_back_costs_no_place() {
    let Some(server) = server() else { return };
    let wire = std::sync::Arc::new(to(server).await);
    let cuts = std::sync::Arc::clone(&wire);
    // After our own proof, and before sqlx looks for itself.
    let options = pool_options(1).after_release(move |_, _| {
        cuts.cut();
        Box::pin(std::future::ready(Ok(true)))
    });
    let pool = Pool::builder(options.connect_lazy_with(by(server, &wire, "back")));
    let pool = pool.clean_within(WITHIN).build();
    for _ in 0..3 {
        assert_eq!(one(&pool).await.unwrap(), 1);
        until("it is closed", async || pool.get_ref().size() == 0).await;
        wire.heal();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_cut_in_a_commit_leaves_it_in_doubt() {
    let Some(server) = server() else { return };
    let (wire, pool) = through(server, "commit").await;
    let pool_of_tests = common::sqlx::pg_pool(server, "tests", 1);
    pool_of_tests
        .execute(
            "CREATE TABLE cut (n int);
             CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON cut
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION waits()",
        )
        .await
        .unwrap();
    let run = tokio::spawn(pool.transaction(&Token::never(), async |mut tx| {
        tx.execute("INSERT INTO cut VALUES (1)").await
    }));
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'commit' \
               AND query = 'COMMIT'";
    until("it commits", async || server.psql(sql) == "1").await;
    wire.cut();
    let error = tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap().unwrap_err();
    assert!(error.is_in_doubt(), "{error:?}");
    assert_eq!(pool.get_ref().size(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_is_an_error_and_used_again_when_it_is_back() {
    let Some(mut server) = Server::start(&[]) else { return };
    let options = options(&server, "killed").disable_statement_logging();
    let pool = Pool::builder(pool_options(2).connect_lazy_with(options)).clean_within(WITHIN);
    let pool = pool.build();
    let source = Source::new();
    let run = tokio::spawn(sleeps(pool.clone(), Token::never()));
    let stopped = tokio::spawn(sleeps(pool.clone(), source.token()));
    until("they run", async || running(&server, "killed") == "2").await;
    server.kill();
    // It is not clear what is first.
    source.cancel();
    let error = run.await.unwrap().unwrap_err();
    assert!(error.failure().is_some(), "{error:?}");
    assert!(stopped.await.unwrap().is_err());
    server.start_again();
    assert_eq!(one(&pool).await.unwrap(), 1);

    let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
    let (go, gone) = tokio::sync::oneshot::channel();
    let run = tokio::spawn(pool.transaction(&Token::never(), async move |mut tx| {
        tx.execute("CREATE TABLE never (n int)").await?;
        begun.send(()).await.unwrap();
        gone.await.unwrap();
        Ok::<_, sqlx::Error>(())
    }));
    has_begun.recv().await.unwrap();
    server.kill();
    until("it is dead", async || one(&Pool::new(pool_of(&server.url(), WITHIN))).await.is_err())
        .await;
    go.send(()).unwrap();
    // It was never asked to commit, so that there is no doubt.
    let error = run.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the transaction was not committed");
    server.start_again();
    assert_eq!(server.psql("SELECT to_regclass('never') IS NULL"), "t");
    assert_eq!(one(&pool).await.unwrap(), 1);
}

fn pool_of(url: &str, within: Duration) -> PgPool {
    pool_options(1).acquire_timeout(within).connect_lazy(url).unwrap()
}

/// All that it says.
fn chain(error: &Error<sqlx::Error>) -> String {
    let mut said = format!("{error:?}: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        said += &format!(": {error}");
        source = error.source();
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_what_to_do_and_no_password() {
    let Some(server) = server() else { return };
    let (user, password) = LOCKED;
    let at = format!("127.0.0.1:{}", server.port());
    let refused = [
        (format!("postgres://{user}:wr0ng@{at}/postgres"), "check the user and the password"),
        (format!("postgres://postgres:wr0ng@{at}/none"), "the server has no such database"),
        ("postgres://u:wr0ng@nowhere.invalid/a".into(), "the host in its url"),
        (
            "postgres://u:wr0ng@127.0.0.1:1/a".into(),
            "check that it runs, and the host and the port",
        ),
        ("postgres://u:wr0ng@localhost/a?host=/nowhere".into(), "no socket of a server"),
    ];
    for (url, advice) in refused {
        let pool = Pool::new(pool_of(&url, Duration::from_secs(3)));
        let error = one(&pool).await.unwrap_err();
        assert!(error.to_string().contains(advice), "{url}: {}", chain(&error));
        assert!(error.source().is_some());
        assert!(!chain(&error).contains("wr0ng"), "{}", chain(&error));
    }
    let pool = Pool::new(pool_of(&format!("postgres://{user}:{password}@{at}/postgres"), PATIENCE));
    assert_eq!(one(&pool).await.unwrap(), 1);
    let error = PgPool::connect_lazy("postgres://u:wr0ng@localhost:port/a").unwrap_err();
    assert!(error.to_string().contains("port") && !error.to_string().contains("wr0ng"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_a_connection_to_give_says_why() {
    let Some(server) = server() else { return };
    let full = Pool::new(pool_of(&server.url(), WITHIN));
    let held = full.run(&Token::never(), async |_conn| Ok::<_, sqlx::Error>(one(&full).await));
    let error = held.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("no connection came free"), "{error}");

    let open = pool_options(1)
        .after_connect(|conn, _| Box::pin(async move { conn.execute("BEGIN").await.map(drop) }));
    let open = Pool::new(open.connect_lazy_with(options(server, "open")));
    let token = Token::never();
    let tx = open.transaction(&token, async |mut tx| tx.execute("SELECT 1").await.map(|_| 1));
    for error in [one(&open).await.unwrap_err(), tx.await.unwrap_err()] {
        assert!(error.to_string().contains("as after_connect may"), "{error}");
        let why = error.source().unwrap().to_string();
        assert!(why.contains("a transaction was left open"), "{why}");
    }

    // sqlx itself makes no pool of none.
    let none = std::panic::catch_unwind(|| pool_options(0).connect_lazy(&server.url()).is_ok());
    let why = none.unwrap_err();
    assert!(why.downcast_ref::<&str>().is_some_and(|why| why.contains("zero")), "{why:?}");

    let closed = pool(server, "closed", 1);
    assert!(closed.close_within(PATIENCE).await);
    let error = one(&closed).await.unwrap_err();
    assert!(error.to_string().contains("the pool is closed"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_stop_in_time_is_terminated() {
    let Some(server) = server() else { return };
    // Nor does the server look whether anybody is there.
    let pool = common::sqlx::builder(server, "stubborn", 1).clean_within(WITHIN);
    let pool = pool.check_interval(None).build();
    let sql = "DO $$ BEGIN LOOP
                   BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END;
               END LOOP; END $$";
    // So that its end takes a while, too.
    let tables = "DO $$ BEGIN FOR n IN 1..150 LOOP
                      EXECUTE format('CREATE TEMP TABLE temporary_%s (n int)', n);
                  END LOOP; END $$";
    let source = Source::new();
    let run = pool.run(&source.token(), async move |mut conn| {
        conn.execute(tables).await?;
        conn.execute(sql).await.map(drop)
    });
    let run = tokio::spawn(run);
    let runs = format!("SELECT count(*) FROM pg_stat_activity WHERE query = $q${sql}$q$");
    until("it runs", async || server.psql(&runs) == "1").await;
    source.cancel();
    let ended = tokio::time::timeout(PATIENCE, run).await.unwrap();
    assert!(ended.unwrap().unwrap_err().cancelled().is_some());
    // It is gone, and has not only been told to go.
    assert_eq!(running(server, "stubborn"), "0");
    assert_eq!(one(&pool).await.unwrap(), 1);
}

/// An address that leads to each of these in turn.
async fn in_turn(ports: [u16; 2]) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for port in ports.into_iter().cycle() {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
                tokio::io::copy_bidirectional(&mut client, &mut server.unwrap()).await
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_address_leads_to_two_servers_only_the_right_one_is_asked() {
    let (Some(server), Some(other)) = (server(), Server::start(&[])) else { return };
    let port = in_turn([server.port(), other.port()]).await;
    let options = PgConnectOptions::from_str(&server.tcp_url()).unwrap().port(port);
    let options = options.application_name("in turn").disable_statement_logging();
    let pool = Pool::new(pool_options(1).connect_lazy_with(options));
    let pid = async || {
        pool.run(&Token::never(), async |conn| Ok::<_, sqlx::Error>(conn.pid())).await.unwrap()
    };
    let before = pid().await;
    let source = Source::new();
    let run = tokio::spawn(sleeps(pool.clone(), source.token()));
    until("it runs", async || running(server, "in turn") == "1").await;
    source.cancel();
    assert!(run.await.unwrap().unwrap_err().cancelled().is_some());
    assert_eq!(running(server, "in turn"), "0");
    // Cancelled, and not closed because nobody of that pid was found.
    assert_eq!(pid().await, before);
    let asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'in turn'";
    until("the other one is left alone", async || other.psql(asked) == "0").await;
}

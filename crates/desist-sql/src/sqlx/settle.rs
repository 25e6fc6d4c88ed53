//! What owners do: each is a task, which has the connection for itself.

use std::sync::Arc;
use std::time::Duration;

use ::sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use desist::{Source, Token};
use tokio::time::{sleep, timeout};

use super::depth;
use super::lease::Owned;
use super::pool::Shared;
use super::probe::{Backend, probe};
use super::refused::is_fatal;
use super::side::{Met, NoAnswer};

/// What is answered by then needs no cancel: two round trips as the first one was, but within
/// these bounds, as that may have been a slow one.
const AT_ONCE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(5));

/// What a closure that came to its end has left undone is cancelled after that: as above, but
/// with more patience, as there is nothing of the kind as a rule.
const SOON: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Between one cancel and the next, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// So often in a row, and nobody will feed it.
const STARVED: u32 = 4;

/// How long one tries to end a backend.
const TERMINATED_WITHIN: Duration = Duration::from_secs(2);

/// How the closure left the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// It came to its end.
    Whole,
    /// It was stopped.
    Midway,
}

/// It cannot be used again.
#[derive(Debug)]
struct Lost;

/// Sees to it that nothing goes on there, tells that, and gives it back, or throws it away and
/// tells it then.
pub(super) async fn finish(mut owned: Box<Owned>, left: Left, tell: impl FnOnce()) {
    let within = owned.shared.settings.clean_within;
    match timeout(within, clean(&mut owned, left)).await {
        Ok(Ok(())) => {
            tell();
            owned.release().await;
        }
        _ => {
            discard(owned).await;
            tell();
        }
    }
}

pub(super) async fn discard(owned: Box<Owned>) {
    terminate(&owned.shared, owned.backend).await;
    drop(owned);
}

/// Ends the backend, and sees it gone: the answer to its signal says only that it was sent.
pub(super) async fn terminate(shared: &Shared, backend: Option<Backend>) {
    let Some(backend) = backend else { return };
    let again = async {
        let (mut pause, most) = PAUSES;
        while shared.sides.terminate(&shared.pool, backend).await != Ok(Met::Nobody) {
            sleep(pause).await;
            pause = most.min(pause * 2);
        }
    };
    let _ = timeout(TERMINATED_WITHIN, again).await;
}

async fn clean(owned: &mut Owned, left: Left) -> Result<(), Lost> {
    if left == Left::Whole {
        // There is nothing to be stopped, as a rule.
        let soon = (owned.trip * 4).clamp(SOON.0, SOON.1);
        if let Ok(Ok(())) = timeout(soon, prove(owned)).await {
            return Ok(());
        }
    }
    quieten(owned).await?;
    // One more round for what came before, and one for what it has aborted.
    for _ in 0..3 {
        if prove(owned).await.is_ok() {
            return Ok(());
        }
        drain(owned.conn_mut()).await?;
        if depth::of(owned.conn()) == 0 {
            // One that sqlx does not know of, or that has failed.
            owned.conn_mut().execute("ROLLBACK").await.map_err(|_| Lost)?;
        }
    }
    Err(Lost)
}

/// Rolls back what sqlx knows of, and looks whether it is clean then.
async fn prove(owned: &mut Owned) -> Result<(), Lost> {
    while depth::of(owned.conn()) > 0 {
        depth::roll_back(owned.conn_mut()).await.map_err(|_| Lost)?;
    }
    if let Some(sql) = owned.sets_back.clone() {
        // Each time: within a transaction that is still open it would be undone.
        owned.conn_mut().execute(AssertSqlSafe(sql)).await.map_err(|_| Lost)?;
    }
    let found = probe(owned.conn_mut()).await.map_err(|_| Lost)?;
    let same = owned
        .backend
        .is_none_or(|of| of.for_transaction || (of.server, of.pid) == (found.server, found.pid));
    if !same {
        // The answer is to this very probe, so that it is the backend that has changed.
        owned.shared.found_pooler();
    }
    if same && found.is_idle { Ok(()) } else { Err(Lost) }
}

/// Until the connection has answered, and so has the last cancel. In that order, or the
/// other: the signal of a cancel that has answered is before whatever is sent from now on.
async fn quieten(owned: &mut Owned) -> Result<(), Lost> {
    let quiet = Source::new();
    let shared = Arc::clone(&owned.shared);
    let (backend, until) = (owned.backend, quiet.token());
    let at_once = (owned.trip * 2).clamp(AT_ONCE.0, AT_ONCE.1);
    let drained = async {
        drain(owned.conn_mut()).await?;
        quiet.cancel();
        Ok(())
    };
    let cancelled = async {
        match backend {
            // Not known, so that it was not given to anybody yet.
            None => Ok(()),
            Some(_) if until.run(sleep(at_once)).await.is_err() => Ok(()),
            Some(backend) => cancels(&shared, backend, &until).await,
        }
    };
    tokio::try_join!(drained, cancelled)?;
    Ok(())
}

/// Reads what was never read, errors as well, until the connection has nothing more to say.
async fn drain(conn: &mut PgConnection) -> Result<(), Lost> {
    loop {
        match conn.ping().await {
            Ok(()) => return Ok(()),
            Err(error) if is_fatal(&error) => return Err(Lost),
            // That of the abandoned statement.
            Err(_) => {}
        }
    }
}

/// Cancels what the backend does until it is quiet.
async fn cancels(shared: &Shared, backend: Backend, quiet: &Token) -> Result<(), Lost> {
    let (mut pause, most) = PAUSES;
    let mut starved = 0;
    while !quiet.is_cancelled() {
        // Awaited to its answer also when it has become needless.
        starved = match shared.sides.cancel(&shared.pool, backend).await {
            Ok(Met::Backend) | Err(NoAnswer::NotDone) => 0,
            Ok(Met::Starving) => starved + 1,
            // It has failed by now, and says so on its own connection.
            Ok(Met::Nobody) if backend.for_transaction => 0,
            Ok(Met::Nobody) | Err(NoAnswer::Unknown) => return Err(Lost),
        };
        if starved >= STARVED {
            return Err(Lost);
        }
        let _ = quiet.run(sleep(pause)).await;
        pause = most.min(pause * 2);
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::str::FromStr;

    use ::sqlx::ConnectOptions;
    use ::sqlx::postgres::PgConnectOptions;
    use tokio::join;
    use tokio::task::yield_now;

    use super::*;
    use crate::server_of_tests::sqlx::{builder, running, server, until};
    use crate::server_of_tests::{Server, Wire};
    use crate::sqlx::begin::{Kind, begin};
    use crate::sqlx::pool::Pool;

    fn pool(server: &Server, name: &str) -> Pool {
        builder(server, name, 1).side_ready(false).build()
    }

    async fn owned(pool: &Pool) -> Box<Owned> {
        let mut lease = begin(Arc::clone(&pool.0), Kind::Plain, Token::never()).await.unwrap();
        lease.end().unwrap()
    }

    /// After the first cancel, which is one more than that.
    async fn quiet_after_one(shared: &Shared, quiet: &Source) {
        while shared.sides.idle() == 0 {
            yield_now().await;
        }
        quiet.cancel();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_proof_is_of_the_same_backend() {
        let Some(server) = server() else { return };
        let pool = pool(server, "proof");
        let mut owned = owned(&pool).await;
        let now = owned.backend.unwrap();
        for (backend, is_proven) in [
            (now, true),
            (Backend { pid: now.pid + 1, ..now }, false),
            (Backend { server: now.server + 1, ..now }, false),
            // Behind a pooler it need not be.
            (Backend { pid: now.pid + 1, for_transaction: true, ..now }, true),
        ] {
            owned.backend = Some(backend);
            assert_eq!(prove(&mut owned).await.is_ok(), is_proven, "{backend:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cancel_without_an_answer_costs_the_connection() {
        let Some(server) = server() else { return };
        let pool = pool(server, "unknown");
        let owned = owned(&pool).await;
        let wire = Wire::to(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()))).await;
        let options = PgConnectOptions::from_str(&server.tcp_url()).unwrap();
        let side = options.port(wire.addr.port()).connect().await.unwrap();
        // From then on nothing gets through, and nobody is told.
        wire.cut();
        pool.0.sides.keep_as_sure(side);
        let never = Token::never();
        let lost = cancels(&pool.0, owned.backend.unwrap(), &never);
        assert!(timeout(crate::server_of_tests::PATIENCE, lost).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn who_is_gone_is_lost_and_who_has_ended_his_transaction_is_not() {
        let Some(server) = server() else { return };
        let pool = pool(server, "nobody");
        let owned = owned(&pool).await;
        let now = owned.backend.unwrap();
        let gone = Backend { at: now.at - 3_600_000_000, ..now };
        assert!(cancels(&pool.0, gone, &Token::never()).await.is_err());
        pool.0.sides.close().await;
        let (again, quiet) = (self::pool(server, "nobody"), Source::new());
        let ended = Backend { for_transaction: true, ..gone };
        let token = quiet.token();
        let (cancelled, ()) =
            join!(cancels(&again.0, ended, &token), quiet_after_one(&again.0, &quiet));
        assert!(cancelled.is_ok());
    }

    #[tokio::test]
    async fn one_that_starves_for_a_moment_is_not_given_up() {
        let Some(server) = server() else { return };
        let pool = pool(server, "moment");
        pool.get_ref().execute("CREATE TABLE fed (n int)").await.unwrap();
        let mut owned = owned(&pool).await;
        let backend = owned.backend.unwrap();
        std::mem::forget(owned.conn_mut().copy_in_raw("COPY fed FROM STDIN").await.unwrap());
        let starves = format!(
            "SELECT state = 'active' AND wait_event = 'ClientRead' FROM pg_stat_activity \
             WHERE pid = {}",
            backend.pid
        );
        until("it starves", async || server.psql(&starves) == "t").await;
        let quiet = Source::new();
        let token = quiet.token();
        let (cancelled, ()) =
            join!(cancels(&pool.0, backend, &token), quiet_after_one(&pool.0, &quiet));
        assert!(cancelled.is_ok());
        // And one that does for ever is.
        assert!(cancels(&pool.0, backend, &Token::never()).await.is_err());
        discard(owned).await;
        assert_eq!(running(server, "moment"), "0");
    }
}

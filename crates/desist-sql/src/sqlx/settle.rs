//! What owners do: each is a task, which has the connection for itself.

use std::sync::Arc;
use std::time::Duration;

use ::sqlx::{Connection, Executor, PgConnection};
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
    let found = probe(owned.conn_mut()).await.map_err(|_| Lost)?;
    let same = owned
        .backend
        .is_none_or(|of| of.for_transaction || (of.server, of.pid) == (found.server, found.pid));
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

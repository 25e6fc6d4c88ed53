//! What a connection still owes is awaited here, by its owner, and by no caller.
//!
//! Whoever stops a statement cancels whatever runs on its connection, which is all that a
//! request to cancel can say. So none may be on its way when the next statement comes. The
//! server says that it has passed one on by closing the connection that it came by, and its
//! process sees it before anything that it is sent after that. Hence, until it is clean:
//!
//! 1. A number is asked for, which nobody was asked for before, after a `ROLLBACK` where a
//!    transaction is open. That comes after everything that was sent before, also what is still
//!    on its way to the socket: when it is answered nothing else runs. And it is known to be
//!    the answer to that; one of something else would shift all that come after it.
//! 2. While something runs that came before it the server is asked to cancel, each time to
//!    the end of that. Several statements may be waiting, and each needs one.
//! 3. If a cancel was asked for since it was sent, it may have been hit itself: then once more
//!    from 1. With nothing before it nobody asks to cancel, so that comes to an end.
//!
//! All of that has a bound. Beyond it the connection is closed and its server's process
//! ended, from beside.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed::Object;
use tokio::task::JoinHandle;
use tokio_postgres::SimpleQueryMessage;

use super::confirmed::NotConfirmed;
use super::counts::{DATABASE, Out};
use super::lease::Taken;
use super::manager::{End, Link};
use super::pool::Shared;
use super::wire::{LAST, Status};
use crate::counted;

/// What a lease leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owes {
    /// What runs is to be cancelled.
    Work,
    /// A commit, which is to come to its end.
    Commit,
    /// It has ended by itself, and perhaps left something.
    Rest,
}

/// Long enough for what is done already, and not felt by anybody.
const SOON: Duration = Duration::from_millis(1);

/// One for what came before, one for what a cancel may have hit, one for a transaction that was
/// begun meanwhile, and some for what nobody has thought of.
const PASSES: usize = 5;

/// Between one request to cancel and the next, at most.
const LATER: Duration = Duration::from_millis(200);

/// What is asked for.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// It could not be settled.
struct Lost;

/// One that is out of the pool for good, unless it is given back.
pub(super) struct Owed(Option<Taken>);

impl Owed {
    pub(super) fn new(taken: Taken) -> Self {
        Self(Some(taken))
    }

    fn link(&self) -> Option<&Link> {
        self.0.as_ref().map(|taken| &***taken)
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Owed {
    /// Also with its runtime, in the middle.
    fn drop(&mut self) {
        drop(self.0.take().map(Object::take));
    }
}

/// A connection with its owner.
pub(super) struct Settling {
    task: JoinHandle<()>,
    within: Duration,
}

impl Settling {
    pub(super) fn new(task: JoinHandle<()>, shared: &Shared) -> Self {
        // To settle it, and to end it.
        Self { task, within: shared.settle_within.saturating_mul(2).saturating_add(LATER) }
    }

    /// Waits for the end of that. Its runtime may have ended, or drive nothing at the moment; who
    /// waits is in another one, and has waited long enough when both of its times are over.
    pub(super) async fn ends(self) {
        let _ = tokio::time::timeout(self.within, self.task).await;
    }
}

/// Gives it back when it is clean, or ends it.
pub(super) async fn settle(owed: Owed, owes: Owes, is_told: bool, mut out: Out) {
    let shared = &Arc::clone(out.shared());
    let within = if owes == Owes::Commit { shared.commit_within } else { shared.settle_within };
    let Some(link) = owed.link() else { return };
    let end = Arc::clone(&link.end);
    let settled = tokio::time::timeout(within, clean(link, owes, is_told, shared)).await;
    if let Ok(Ok(())) = settled {
        out.gives_it_back();
        owed.give_back();
    } else {
        counted::discarded(DATABASE);
        out.gives_it_back();
        drop(owed);
        terminate(shared, &end).await;
    }
}

async fn clean(link: &Link, owes: Owes, is_told: bool, shared: &Shared) -> Result<(), Lost> {
    let forgets = if is_told { link.end.sets_back() } else { String::new() };
    let resets = shared.reset.as_deref().unwrap_or_default();
    if owes == Owes::Rest && forgets.is_empty() && resets.is_empty() && rests(link).await {
        return Ok(());
    }
    let mut may_cancel = owes != Owes::Commit;
    for _ in 0..PASSES {
        let is_open = may_cancel && link.wire.status() != Status::Idle;
        let undoes = if is_open { "ROLLBACK;" } else { "" };
        let begins = format!("{undoes}{forgets}{resets}");
        let has_cancelled = pass(link, &begins, may_cancel, shared).await?;
        if !has_cancelled {
            link.wire.is_proven();
            if link.wire.is_idle() {
                return Ok(());
            }
        }
        // There was nothing to commit.
        may_cancel = true;
    }
    // What is to be done each time fails each time.
    Err(Lost)
}

/// Whether all that it left came to its end by itself.
async fn rests(link: &Link) -> bool {
    let sent = async {
        loop {
            let sends = link.driven.sends_next();
            if link.driven.has_sent() {
                return;
            }
            sends.await;
        }
    };
    tokio::time::timeout(SOON, sent).await.is_ok() && link.wire.is_idle()
}

/// Sends something that comes after all there is, and cancels that until it is answered;
/// whether it has asked to cancel.
async fn pass(link: &Link, does: &str, may_cancel: bool, shared: &Shared) -> Result<bool, Lost> {
    // Ordering: it only counts.
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
    let last = format!("{LAST}{does}SELECT {number}");
    let mut answered = pin!(link.client.simple_query(&last));
    let (mut has_cancelled, mut pause) = (false, SOON);
    loop {
        match tokio::time::timeout(pause, answered.as_mut()).await {
            Ok(Ok(said)) if says(&said, &number) => return Ok(has_cancelled),
            // It was hit itself, or fails for another reason, which the next one tells.
            Ok(Err(error)) if error.as_db_error().is_some() => return Ok(true),
            Ok(_) => return Err(Lost),
            Err(_) => {}
        }
        if may_cancel && link.wire.has_work() {
            // One that does not heed it is asked less and less often.
            pause = LATER.min(pause * 2);
            match shared.manager().cancel(link).await {
                Ok(()) => has_cancelled = true,
                // As while nobody can be reached; then it is asked again.
                Err(NotConfirmed::NotAsked) => {}
                // It may come at any time, and nobody else is to be there then.
                Err(NotConfirmed::Perhaps) => return Err(Lost),
            }
        }
    }
}

fn says(messages: &[SimpleQueryMessage], number: &str) -> bool {
    messages.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => matches!(row.try_get(0), Ok(Some(said)) if said == number),
        _ => false,
    })
}

/// Ends the server's process, as far as anybody knows which it is.
pub(super) async fn terminate(shared: &Shared, end: &End) {
    let Some(served) = &end.served else { return };
    // There may be no room for one more who asks.
    let terminates = async {
        while shared.manager().terminate(&end.place, served).await.is_err() {
            tokio::time::sleep(LATER).await;
        }
    };
    let _ = tokio::time::timeout(shared.settle_within, terminates).await;
}

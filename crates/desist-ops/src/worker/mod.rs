//! Who runs operations.
//!
//! One task keeps everything going, and each operation has a task of its own. The loops of the
//! first are independent, so that none waits for another's database:
//!
//! | loop | does |
//! |---|---|
//! | [`lease`] | renews the lease, reads all intents with it, cancels everything if it cannot |
//! | [`hear`] | reads the intents that a push tells of, and keeps that they were heard |
//! | [`claim`] | takes operations as long as there is room, and starts their tasks |
//! | [`tidy`] | writes progress; takes over from the dead; removes what is old |
//!
//! and the store's listener. All of them know of what runs by the [`Register`], and a run is
//! told to stop through it alone.

mod claim;
mod hear;
mod lease;
mod live;
mod register;
mod report;
mod run;
mod tidy;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use desist::Reason;
use desist_tokio::Stop;

pub(crate) use self::live::Live;
pub use self::report::Report;

use self::register::Register;
use self::report::Counts;
use crate::error::Kind as Why;
use crate::lock::lock;
use crate::store::Store;
use crate::{Error, Operations};

/// So many ends are written at a time.
const ENDS: usize = 2;

/// What the loops have in common.
pub(crate) struct Worker<S> {
    pub(crate) operations: Operations<S>,
    pub(crate) register: Register,
    pub(crate) counts: Counts,
    /// How many ends are written at a time: what takes and takes over is not to wait behind those that
    /// somebody holds.
    pub(crate) ends: tokio::sync::Semaphore,
    /// What its runs are below.
    pub(crate) stop: desist_tokio::StopSource,
}

/// Cancels a token that handlers have: a callback of theirs that panics, which it does here, is nobody
/// else's end. The others have been called by then.
fn quietly(cancels: impl FnOnce() -> bool) {
    if catch_unwind(AssertUnwindSafe(cancels)).is_err() {
        crate::measure::callback_panicked();
    }
}

/// There is one at a time, for its operations would be given to the other.
struct Only<S>(Operations<S>);

impl<S> Only<S> {
    fn new(operations: &Operations<S>) -> Option<Self> {
        let running: &AtomicBool = &operations.shared().running;
        // Ordering: whoever sees `false` sees that the last one has ended, by the store in `drop`.
        let was = running.swap(true, Ordering::AcqRel);
        (!was).then(|| {
            operations.shared().hints.runs(true);
            Self(operations.clone())
        })
    }
}

impl<S> Drop for Only<S> {
    fn drop(&mut self) {
        self.0.shared().hints.runs(false);
        // Ordering: pairs with the swap of the next one.
        self.0.shared().running.store(false, Ordering::Release);
    }
}

/// Whoever has run until now runs no more.
struct Left<S: Store>(Arc<Worker<S>>);

impl<S: Store> Drop for Left<S> {
    fn drop(&mut self) {
        for live in self.0.register.all() {
            live.lose(Reason::LeaseLost);
        }
        quietly(|| self.0.stop.cancel_with(Reason::Shutdown));
        crate::measure::nothing_runs(self.0.operations.kinds());
    }
}

pub(crate) async fn run<S: Store>(operations: Operations<S>, stop: Stop) -> Result<Report, Error> {
    let Some(_only) = Only::new(&operations) else {
        let said = "these operations are run already; one process runs them once, and another \
                    `Operations` is another process";
        return Err(Error::new(Why::Built, said));
    };
    let worker = Arc::new(Worker {
        register: Register::new(),
        counts: Counts::default(),
        ends: tokio::sync::Semaphore::new(ENDS),
        stop: stop.child(),
        operations,
    });
    *lock(&worker.operations.shared().worker) = Arc::downgrade(&worker);
    // Who is dropped takes its runs along; and tells them, for some have threads of their own.
    let _left = Left(Arc::clone(&worker));
    let mut runs = tokio::task::JoinSet::new();
    {
        let (listens, keeps) = (lease::listen(&worker), lease::keep(&worker));
        let (hears, notes) = (hear::hear(&worker), hear::note(&worker));
        let (at_once, tidies) = (hear::at_once(&worker), tidy::tidy(&worker));
        let works = claim::work(&worker, &mut runs);
        tokio::select! {
            () = listens => {}
            () = keeps => {}
            () = hears => {}
            () = notes => {}
            () = at_once => {}
            () = tidies => {}
            () = works => {}
        }
    }
    let left = worker.register.all();
    for live in &left {
        live.lose(Reason::Shutdown);
    }
    let stragglers = left.iter().map(|live| (live.id, live.kind.clone())).collect();
    runs.abort_all();
    lease::leave(&worker).await;
    Ok(worker.counts.report(stragglers))
}

//! A run, from its handler's first step until its end is written.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Cx, Poll};
use std::time::Duration;

use desist::{Reason, find_cancelled};
use tokio::time::{Instant, sleep};

use super::{Live, Worker};
use crate::error::chain;
use crate::kind::Settings;
use crate::policy::WhenOverdue;
use crate::protocol::{Finish, Finished, Wish};
use crate::store::{Store, Within};
use crate::{BoxError, Context, Lasting, State, measure, text};

/// Between two tries to write an end, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How a handler ended.
enum Ended {
    Gave(String),
    Failed(BoxError),
    Panicked(String),
    /// Its input is no longer what it takes.
    NotTaken(serde_json::Error),
    /// It was overdue.
    Dropped,
    /// It was asked to stop before it began.
    NotBegun,
}

pub(super) async fn run<S: Store>(worker: Arc<Worker<S>>, live: Arc<Live>, input: String) {
    // Whatever ends this, there is room again.
    let _registered = Registered { worker: &worker, live: &live };
    let begin = Instant::now();
    let Some(kind) = worker.operations.shared().kinds.get(&live.kind) else { return };
    if let Some(limit) = kind.settings.timeout {
        live.times_out_after(limit);
    }
    let ended = if live.stop.token().is_cancelled() {
        Ended::NotBegun
    } else {
        let ctx = Context { live: Arc::clone(&live), operations: worker.operations.clone() };
        match catch_unwind(AssertUnwindSafe(|| kind.handler.begin(ctx, &input))) {
            Ok(Ok(work)) => worked(&live, &kind.settings, measure::in_span(&live, work)).await,
            Ok(Err(error)) => Ended::NotTaken(error),
            Err(panic) => Ended::Panicked(said(&*panic)),
        }
    };
    live.is_at_its_end();
    let outcome = match wish(&worker, &live, &kind.settings, ended) {
        Some(wish) => written(&worker, &live, wish).await,
        None => Finished::Fenced,
    };
    match outcome {
        Finished::Is(State::Finished(outcome)) => worker.counts.ended(outcome),
        Finished::Is(_) if live.is_given_back() => worker.counts.given_back(),
        Finished::Is(_) => worker.counts.again(),
        Finished::Fenced => worker.counts.lost(),
    }
    measure::ended(&live, outcome, begin.elapsed());
    worker.operations.local().tell(|hints| {
        hints.changed(live.id);
        if matches!(outcome, Finished::Is(State::Waiting)) {
            hints.work();
        }
    });
}

struct Registered<'a, S: Store> {
    worker: &'a Worker<S>,
    live: &'a Live,
}

impl<S: Store> Drop for Registered<'_, S> {
    fn drop(&mut self) {
        self.worker.register.remove(self.live);
    }
}

/// Until the handler has ended, or is not waited for.
async fn worked(
    live: &Live,
    settings: &Settings,
    work: impl Future<Output = Result<String, BoxError>> + Send,
) -> Ended {
    let mut work = pin!(Caught(Box::pin(work)));
    let ended = |caught| match caught {
        Ok(Ok(output)) => Ended::Gave(output),
        Ok(Err(error)) => Ended::Failed(error),
        Err(panic) => Ended::Panicked(panic),
    };
    tokio::select! {
        biased;
        caught = &mut work => return ended(caught),
        _ = live.stop.token().cancelled() => {}
    }
    tokio::select! {
        biased;
        caught = &mut work => return ended(caught),
        () = sleep(live.grace) => {}
    }
    measure::overdue(live);
    match settings.when_overdue {
        WhenOverdue::Wait => ended(work.await),
        WhenOverdue::Drop => Ended::Dropped,
    }
}

/// A future whose panic is its end. One that has panicked is dropped where it is.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(said(&*panic))),
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("of something that is no text"))
}

/// What is to become of it; `None`: it is somebody else's to say.
fn wish<S: Store>(
    worker: &Worker<S>,
    live: &Live,
    settings: &Settings,
    ended: Ended,
) -> Option<Wish> {
    if let Ended::Gave(output) = ended {
        // Also if it was lost: the fence knows whether somebody has it.
        return Some(worker.operations.succeed(output));
    }
    let is_told = live.intent().is_some();
    if live.is_lost() && !is_told {
        return None;
    }
    let lasting = match &ended {
        Ended::Failed(error) => Lasting::is(&**error),
        Ended::NotTaken(_) => true,
        _ => false,
    };
    let is_dropped = matches!(ended, Ended::Dropped);
    let (error, is_stop) = match ended {
        Ended::Failed(error) => (Some(chain(&*error)), find_cancelled(&*error).is_some()),
        Ended::Panicked(said) => (Some(said), false),
        Ended::NotTaken(error) => {
            (Some(format!("its input is not what its kind takes here: {error}")), false)
        }
        Ended::Dropped => {
            (Some(format!("it did not stop within {:?}, and was dropped", live.grace)), true)
        }
        Ended::NotBegun => (None, true),
        Ended::Gave(_) => unreachable!("it has been seen to"),
    };
    let error = error.map(|error| text::kept(error, text::ERROR));
    if is_told {
        // Also if it was only asked to drain.
        let is_plain = is_stop && !is_dropped;
        return Some(Wish::Stop { error: error.filter(|_| !is_plain) });
    }
    let stopped = worker.stop.stop();
    let is_asked = live.stop.token().is_cancelled();
    let is_late = live.stop.reason() == Some(Reason::Deadline) && !stopped.is_cancelled();
    if !is_late && (is_asked || (is_stop && stopped.draining().is_cancelled())) {
        live.gives_back();
        return Some(Wish::GiveBack);
    }
    let again_after = settings.again_after(live.attempt);
    let error = match (is_late, settings.timeout) {
        (true, Some(limit)) => {
            format!("it took longer than {limit:?}: {}", error.unwrap_or_default())
        }
        _ => error.unwrap_or_default(),
    };
    Some(Wish::Fail { error, again_after, lasting })
}

/// What became of it: the database is asked until it has answered.
async fn written<S: Store>(worker: &Worker<S>, live: &Live, wish: Wish) -> Finished {
    let fence = worker.operations.shared().settings.fence;
    let mut wait = AGAIN.0;
    loop {
        let finish = Finish { end: live.end(wish.clone()), fence };
        match worker.operations.store().transact(Within::Control, finish).await {
            Ok(finished) => return finished,
            Err(error) => measure::trouble("finish", &error),
        }
        sleep(wait).await;
        wait = (wait * 2).min(AGAIN.1);
    }
}

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
use crate::kind::{Settings, inside};
use crate::policy::WhenOverdue;
use crate::protocol::{Finish, Finished, Wish};
use crate::store::{Store, Within};
use crate::{BoxError, Context, Kind, Lasting, State, measure, text};

/// Between two tries to write an end, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What a version does not take is another's, for so long after that was first seen; and it is left to
/// others for so long at a time.
const ROLLOUT: Duration = Duration::from_secs(3600);
const OTHERS: Duration = Duration::from_secs(10);

/// How a handler ended.
enum Ended {
    Gave(String),
    Failed(BoxError),
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
    // A handler panics wherever code of its own is run: as it is polled or dropped, or as its
    // error is asked what it says. What has panicked has ended, and was begun.
    let work = Caught(Box::pin(until_ended(&worker, &live, kind, &input)));
    let wish = work.await.unwrap_or_else(|error| {
        live.is_over();
        let (error, again_after) =
            (text::kept(error, text::ERROR), kind.settings.again_after(live.attempt));
        Some(Wish::Fail { error, again_after, lasting: false })
    });
    let outcome = match wish {
        Some(wish) => written(&worker, &live, wish).await,
        None => Finished::Fenced,
    };
    match outcome {
        Finished::Is(State::Finished(outcome)) | Finished::Was(State::Finished(outcome)) => {
            worker.counts.ended(outcome);
        }
        Finished::Is(_) | Finished::Was(_) if live.is_given_back() => worker.counts.given_back(),
        Finished::Is(_) | Finished::Was(_) => worker.counts.again(),
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

/// What its handler's end is to be; `None`: it is somebody else's to say.
async fn until_ended<S: Store>(
    worker: &Worker<S>,
    live: &Arc<Live>,
    kind: &Kind<S>,
    input: &str,
) -> Option<Wish> {
    if let Some(limit) = kind.settings.timeout {
        live.times_out_after(limit);
    }
    let ended = if live.stop.token().is_cancelled() {
        Ended::NotBegun
    } else {
        let ctx = Context { live: Arc::clone(live), operations: worker.operations.clone() };
        match kind.handler.begin(ctx, input) {
            Ok(work) => worked(worker, live, &kind.settings, measure::in_span(live, work)).await,
            Err(error) => Ended::NotTaken(error),
        }
    };
    live.is_over();
    wish(worker, live, &kind.settings, ended)
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
async fn worked<S: Store>(
    worker: &Worker<S>,
    live: &Arc<Live>,
    settings: &Settings,
    work: impl Future<Output = Result<String, BoxError>> + Send,
) -> Ended {
    let mut work = pin!(work);
    let ended = |done| match done {
        Ok(output) => Ended::Gave(output),
        Err(error) => Ended::Failed(error),
    };
    tokio::select! {
        biased;
        done = &mut work => return ended(done),
        _ = live.stop.token().cancelled() => {}
    }
    tokio::select! {
        biased;
        done = &mut work => return ended(done),
        () = sleep(live.grace) => {}
    }
    measure::overdue(live);
    worker.register.has_heard(live);
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
    let is_in_time = live.stop.reason() != Some(Reason::Deadline);
    if matches!(ended, Ended::NotBegun) && !is_told && is_in_time {
        // Nobody has done anything. If it was lost, the fence knows whether somebody has it.
        live.gives_back();
        return Some(Wish::GiveBack { after: Duration::ZERO, error: None, refused: false });
    }
    if live.is_lost() && !is_told {
        return None;
    }
    let lasting = match &ended {
        Ended::Failed(error) => Lasting::is(inside(error)),
        Ended::NotTaken(_) => true,
        _ => false,
    };
    let stopped = worker.stop.stop();
    let is_dropped = matches!(ended, Ended::Dropped);
    let (error, is_stop) = match ended {
        Ended::Failed(error) => {
            let is_stop = find_cancelled(inside(&error)).is_some() || quotes(&error, live);
            (Some(chain(inside(&error))), is_stop)
        }
        Ended::NotTaken(error) => {
            let error = format!("its input is not what its kind takes here: {error}");
            if !is_told && live.refused.is_none_or(|since| since < ROLLOUT) {
                // It was checked as it was started: that was another version, which may be
                // about to come.
                live.gives_back();
                return Some(Wish::GiveBack { after: OTHERS, error: Some(error), refused: true });
            }
            (Some(error), false)
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
    let is_asked = live.stop.token().is_cancelled();
    let is_late = live.stop.reason() == Some(Reason::Deadline) && !stopped.is_cancelled();
    if !is_late && !lasting && (is_asked || (is_stop && stopped.draining().is_cancelled())) {
        live.gives_back();
        let error = error.filter(|_| !is_stop);
        return Some(Wish::GiveBack { after: Duration::ZERO, error, refused: false });
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

/// Whether it says, in words, what cancelled this run: an error within one that hides it, as
/// `anyhow`'s does.
fn quotes(error: &BoxError, live: &Live) -> bool {
    let said = format!("{error:#}");
    [live.stop.token(), live.stop.draining()]
        .into_iter()
        .filter_map(desist::Token::cancellation)
        .any(|why| said.contains(&why.to_string()))
}

/// What became of it: the database is asked until it has answered.
async fn written<S: Store>(worker: &Worker<S>, live: &Live, wish: Wish) -> Finished {
    let fence = worker.operations.shared().settings.fence;
    let mut wait = AGAIN.0;
    loop {
        {
            let _place = worker.ends.acquire().await;
            let finish = Finish { end: live.end(wish.clone()), fence };
            match worker.operations.store().transact(Within::Control, finish).await {
                Ok(finished) => return finished,
                Err(error) => measure::trouble("finish", &error),
            }
        }
        sleep(wait).await;
        wait = (wait * 2).min(AGAIN.1);
    }
}

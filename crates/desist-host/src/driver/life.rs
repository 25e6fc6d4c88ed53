//! A service's task: its lives, one after the other, and what came of each.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use desist::{Token, find_cancelled};
use desist_tokio::{BoxError, Stop, with_current};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::panics::noted;
use super::{Heard, Tell};
use crate::handle::HostHandle;
use crate::outcome::{Failure, ServicePanic};
use crate::service::{AnyService, Work};
use crate::supervisor::{How, Stage};

/// What a life is begun with.
pub(super) struct Life {
    pub(super) stop: Stop,
    /// Of start and run.
    pub(super) abort: Token,
    pub(super) abort_cleanup: Token,
}

/// The way to a service's task, which ends when there are no more lives to come.
pub(super) struct Lives {
    begin: Option<UnboundedSender<Life>>,
    tell: Tell,
    index: usize,
    task: JoinHandle<()>,
}

impl Lives {
    pub(super) fn begin(&self, life: Life) {
        let begun = self.begin.as_ref().map(|begin| begin.send(life));
        if !matches!(begun, Some(Ok(()))) {
            let _ = self.tell.send(Heard::Did(self.index, Stage::Start, Ended::gone()));
        }
    }

    /// There are none; its task, which drops what is left of it.
    pub(super) fn end(&mut self) -> &mut JoinHandle<()> {
        self.begin = None;
        &mut self.task
    }
}

/// How a stage ended, and what went wrong.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) how: How,
    pub(crate) failure: Option<InWords>,
}

/// A failure, and in words: an error's words are foreign code.
#[derive(Debug)]
pub(crate) struct InWords {
    pub(crate) failure: Failure,
    pub(crate) words: Arc<str>,
}

impl From<Failure> for InWords {
    fn from(failure: Failure) -> Self {
        let words = noted(|| failure.whole());
        let words = words.unwrap_or_else(|panic| format!("an error whose words panic: {panic}"));
        Self { failure, words: words.into() }
    }
}

impl Ended {
    const fn well(how: How) -> Self {
        Self { how, failure: None }
    }

    fn ill(how: How, failure: Failure) -> Self {
        Self { how, failure: Some(failure.into()) }
    }

    fn gone() -> Self {
        Self::ill(How::Gone, Failure::RuntimeGone)
    }

    /// And then something was dropped. The first failure is the one that is told.
    fn then(self, dropped: Result<(), ServicePanic>) -> Self {
        match dropped {
            Err(panic) if self.failure.is_none() => panicked(panic),
            _ => self,
        }
    }
}

/// Its task, which waits for its first life. Who may be started again is until that host
/// stops.
pub(super) fn task(
    index: usize,
    service: Box<dyn AnyService>,
    may_restart: Option<HostHandle>,
    tell: Tell,
    runtime: &Handle,
) -> Lives {
    let (begin, begins) = unbounded_channel();
    let teller = Teller { index, tell: tell.clone(), stage: None };
    let task = runtime.spawn(live(service, may_restart, begins, teller));
    Lives { begin: Some(begin), tell, index, task }
}

async fn live(
    service: Box<dyn AnyService>,
    may_restart: Option<HostHandle>,
    mut begins: UnboundedReceiver<Life>,
    mut teller: Teller,
) {
    let mut value = Some(service);
    while let Some(Life { stop, abort, abort_cleanup }) = begins.recv().await {
        let Some(service) = &mut value else { break };
        // The value goes with its last life: so its drop has a bound, and who comes before it
        // is asked after that.
        let is_last = || may_restart.as_ref().is_none_or(|host| host.phase().is_stopping());
        teller.stage = Some(Stage::Start);
        let here = Here { stop: &stop, abort: &abort };
        let started = here.through(Failure::Start, || service.start(&stop), || ()).await;
        if started.how != How::Done {
            let dropped = if is_last() { noted(|| value = None) } else { Ok(()) };
            teller.tell(started.then(dropped), None);
            continue;
        }
        teller.tell(started, Some(Stage::Run));
        let begun = || teller.begun();
        let ran = here.through(Failure::Run, || service.run(stop.clone()), begun).await;
        teller.tell(ran, Some(Stage::Cleanup));
        let here = Here { stop: &stop, abort: &abort_cleanup };
        let cleaned = here.through(Failure::Cleanup, || service.stop(), || ()).await;
        let dropped = if is_last() { noted(|| value = None) } else { Ok(()) };
        teller.tell(cleaned.then(dropped), None);
    }
    // Its drop is foreign code, too.
    let _ = noted(|| drop(value));
}

/// Dropped in the middle of a life, with its runtime, it tells.
struct Teller {
    index: usize,
    tell: Tell,
    stage: Option<Stage>,
}

impl Teller {
    fn tell(&mut self, ended: Ended, next: Option<Stage>) {
        if let Some(stage) = self.stage {
            let _ = self.tell.send(Heard::Did(self.index, stage, ended));
        }
        self.stage = next;
    }

    fn begun(&self) {
        let _ = self.tell.send(Heard::Begun(self.index));
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        let Some(stage) = self.stage else { return };
        self.tell(Ended::gone(), None);
        if stage == Stage::Run {
            self.stage = Some(Stage::Cleanup);
            self.tell(Ended::well(How::Gone), None);
        }
    }
}

/// The signals of a life.
struct Here<'a> {
    stop: &'a Stop,
    abort: &'a Token,
}

impl Here<'_> {
    /// To the end of this stage, or until it is aborted, which it is after it was polled
    /// once more: so it can end by itself, whatever the time. `begun` is called when it was
    /// polled once, if there is more to come.
    async fn through<'w>(
        &self,
        failure: fn(BoxError) -> Failure,
        begin: impl FnOnce() -> Work<'w>,
        begun: impl FnOnce(),
    ) -> Ended {
        let work = match noted(begin) {
            Ok(work) => work,
            Err(panic) => return panicked(panic),
        };
        let mut work = Some(Box::pin(with_current(self.stop.token(), work)));
        let mut begun = Some(begun);
        let mut aborted = pin!(self.abort.cancelled());
        poll_fn(|cx: &mut Context<'_>| {
            let Some(running) = work.as_mut() else { return Poll::Pending };
            let polled = noted(|| running.as_mut().poll(cx));
            let ended = match polled {
                Ok(Poll::Pending) if aborted.as_mut().poll(cx).is_pending() => {
                    if let Some(begun) = begun.take() {
                        begun();
                    }
                    return Poll::Pending;
                }
                Ok(Poll::Pending) => Ended::well(How::Aborted),
                Ok(Poll::Ready(Ok(()))) => Ended::well(How::Done),
                // What an error says of its sources is foreign code, and so is its drop.
                Ok(Poll::Ready(Err(error))) => {
                    noted(|| self.given(error, failure)).unwrap_or_else(panicked)
                }
                Err(panic) => panicked(panic),
            };
            Poll::Ready(ended.then(noted(|| work = None)))
        })
        .await
    }

    fn given(&self, error: BoxError, failure: fn(BoxError) -> Failure) -> Ended {
        // Looked at only where there is one: to look at the drain is noted.
        let is_ours = find_cancelled(&*error).is_some_and(|cancelled| {
            let asked = [self.stop.token(), self.stop.draining()];
            asked.iter().any(|token| token.cancellation().as_ref() == Some(cancelled))
        });
        if is_ours { Ended::well(How::Stopped) } else { Ended::ill(How::Failed, failure(error)) }
    }
}

fn panicked(panic: ServicePanic) -> Ended {
    Ended::ill(How::Panicked, Failure::Panicked(panic))
}

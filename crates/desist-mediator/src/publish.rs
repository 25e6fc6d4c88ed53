//! From what has happened to those who want to know.

use std::any::Any;
use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use desist::{Cancelled, Reason, Source, Token, find_cancelled};
use futures_util::future::join_all;

use crate::{BoxError, Delivery, Failure, Notification, NotificationHandler, PublishError};

/// A handler of any type.
pub(crate) trait Listener<N>: Send + Sync {
    fn name(&self) -> &'static str;

    fn place(&self) -> &'static Location<'static>;

    fn listen(self: Arc<Self>, stop: Token, notification: Arc<N>) -> Listening;
}

type Listening = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

pub(crate) struct Listens<H> {
    handler: H,
    place: &'static Location<'static>,
}

impl<H> Listens<H> {
    pub(crate) fn new(handler: H, place: &'static Location<'static>) -> Self {
        Self { handler, place }
    }
}

impl<N: Notification, H: NotificationHandler<N>> Listener<N> for Listens<H> {
    fn name(&self) -> &'static str {
        type_name::<H>()
    }

    fn place(&self) -> &'static Location<'static> {
        self.place
    }

    fn listen(self: Arc<Self>, stop: Token, notification: Arc<N>) -> Listening {
        Box::pin(async move { self.handler.handle(stop, notification).await.map_err(Into::into) })
    }
}

/// All who want to know of one kind of notification.
pub(crate) struct Audience<N> {
    pub(crate) listeners: Arc<[Arc<dyn Listener<N>>]>,
    pub(crate) delivery: Delivery,
}

impl<N: Notification> Audience<N> {
    pub(crate) fn tell(&self, token: &Token, notification: N) -> Publishing {
        let (listeners, delivery) = (Arc::clone(&self.listeners), self.delivery);
        let (token, notification) = (token.clone(), Arc::new(notification));
        Publishing::new(async move {
            let mut told = Told::default();
            if delivery.together {
                together(&listeners, delivery, &token, &notification, &mut told).await;
            } else {
                in_turn(&listeners, delivery, &token, &notification, &mut told).await;
            }
            told.into_result(N::name(), listeners.len())
        })
    }
}

async fn in_turn<N: Notification>(
    listeners: &[Arc<dyn Listener<N>>],
    delivery: Delivery,
    token: &Token,
    notification: &Arc<N>,
    told: &mut Told,
) {
    for listener in listeners {
        // Before the token: an error is why, though it is cancelled after that.
        if delivery.until_error && !told.all_went_well() {
            return;
        }
        if let Err(cancelled) = token.check() {
            told.cancelled = Some(cancelled);
            return;
        }
        let end = tell(listener, token.clone(), notification).await;
        told.note(&**listener, end, None);
    }
}

async fn together<N: Notification>(
    listeners: &[Arc<dyn Listener<N>>],
    delivery: Delivery,
    token: &Token,
    notification: &Arc<N>,
    told: &mut Told,
) {
    if let Err(cancelled) = token.check() {
        told.cancelled = Some(cancelled);
        return;
    }
    // Without a policy that needs one, no signal of their own.
    let siblings: Option<Source> = delivery.until_error.then(|| token.child());
    let all = token;
    let token = siblings.as_ref().map_or_else(|| token.clone(), Source::token);
    let ends = join_all(listeners.iter().map(|listener| {
        let (token, siblings) = (token.clone(), siblings.as_ref());
        async move {
            // It may be that one before it in the line has failed already.
            token.check()?;
            let end = tell(listener, token, notification).await;
            if let (Some(siblings), false) = (siblings, matches!(end, Ok(Ok(())))) {
                siblings.cancel_with(Reason::SiblingFailed);
            }
            Ok::<End, Cancelled>(end)
        }
    }));
    let ends = ends.await;
    // What those who come after the one that failed are asked to stop with. It is no
    // cancellation of the notification, which may come later.
    let asked = siblings.and_then(|siblings| siblings.token().cancellation());
    let asked = asked.filter(|asked| all.cancellation().as_ref() != Some(asked));
    for (listener, end) in listeners.iter().zip(ends) {
        match end {
            Ok(end) => told.note(&**listener, end, asked.as_ref()),
            Err(cancelled) if asked.as_ref() == Some(&cancelled) => {}
            Err(cancelled) => told.cancelled = Some(cancelled),
        }
    }
}

/// How one that was told has ended; in an `Err` what it panicked with.
type End = Result<Result<(), BoxError>, Box<dyn Any + Send>>;

fn tell<N: Notification>(
    listener: &Arc<dyn Listener<N>>,
    token: Token,
    notification: &Arc<N>,
) -> impl Future<Output = End> + Send + use<N> {
    Caught(Arc::clone(listener).listen(token, Arc::clone(notification)))
}

/// A panic is an end like others: those who come after are told.
struct Caught(Listening);

impl Future for Caught {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(end)) => Poll::Ready(Ok(end)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

#[derive(Default)]
struct Told {
    begun: usize,
    failures: Vec<Failure>,
    panic: Option<Box<dyn Any + Send>>,
    cancelled: Option<Cancelled>,
}

impl Told {
    fn all_went_well(&self) -> bool {
        self.failures.is_empty() && self.panic.is_none()
    }

    /// `asked`: what it was asked to stop with because another had failed.
    fn note<N>(&mut self, listener: &dyn Listener<N>, end: End, asked: Option<&Cancelled>) {
        self.begun += 1;
        match end {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let for_another = asked.is_some() && find_cancelled(&*error) == asked;
                let (name, place) = (listener.name(), listener.place());
                self.failures.push(Failure::new(name, place, error, for_another));
            }
            // The first goes on when all are told; of another the hook has told.
            Err(panic) if self.panic.is_none() => self.panic = Some(panic),
            Err(_) => {}
        }
    }

    fn into_result(self, name: &'static str, of: usize) -> Result<(), PublishError> {
        if let Some(panic) = self.panic {
            resume_unwind(panic);
        }
        if self.failures.is_empty() && self.cancelled.is_none() {
            return Ok(());
        }
        Err(PublishError::new(name, of, of - self.begun, self.failures, self.cancelled))
    }
}

/// The future of [`Mediator::publish`](crate::Mediator::publish). It borrows nothing, so it
/// can be spawned.
#[must_use = "futures do nothing unless polled"]
pub struct Publishing {
    state: State,
}

enum State {
    Tells(Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>),
    /// There is nobody to tell.
    Over(Option<Result<(), PublishError>>),
}

impl Publishing {
    fn new(future: impl Future<Output = Result<(), PublishError>> + Send + 'static) -> Self {
        Self { state: State::Tells(Box::pin(future)) }
    }

    pub(crate) fn to_nobody() -> Self {
        Self { state: State::Over(Some(Ok(()))) }
    }

    pub(crate) fn gone<N: Notification>() -> Self {
        Self { state: State::Over(Some(Err(PublishError::gone(N::name())))) }
    }
}

impl Future for Publishing {
    type Output = Result<(), PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Tells(future) => future.as_mut().poll(cx),
            State::Over(result) => match result.take() {
                Some(result) => Poll::Ready(result),
                None => panic!("`Publishing` polled after it was ready"),
            },
        }
    }
}

impl fmt::Debug for Publishing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publishing").finish_non_exhaustive()
    }
}

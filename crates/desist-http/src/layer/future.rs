use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Response, StatusCode};
use http_body::Body;
use tokio::runtime::Handle;

use super::body::TokenBody;
use super::over::{self, Watch};
use crate::connection::Running;
use crate::deadlines::Malformed;
use crate::outcome::{self, Outcome};
use crate::policy::Policy;

/// The future of [`RequestService`](crate::RequestService).
///
/// Dropped before its end, its token is cancelled, and the [`Policy`](crate::Policy)
/// decides what becomes of the handler.
#[must_use = "futures do nothing unless polled or awaited"]
pub struct ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin + Send + 'static,
    B: Body + Send + 'static,
    E: Send + 'static,
{
    /// `None`: it has ended. It may have to move.
    work: Option<F>,
    /// `None`: another layer has seen to it.
    running: Option<Running>,
    /// Captured where it is called, for a drop may be anywhere; `None`: the connection
    /// knows.
    runtime: Option<Handle>,
    /// It panicked in there.
    in_poll: bool,
    has_begun: bool,
    /// `None`: it has no time, or not yet.
    watch: Option<Box<Watch>>,
    /// It is not to begin.
    refused: Option<Box<Malformed>>,
    /// Makes the body of what is answered in the place of a handler; `None`: that is empty.
    says: Option<fn(String) -> B>,
}

impl<F, B, E> ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin + Send + 'static,
    B: Body + Send + 'static,
    E: Send + 'static,
{
    pub(super) fn passed(work: F) -> Self {
        Self::of(Some(work), None, None)
    }

    pub(crate) fn refused(
        running: Running,
        malformed: Box<Malformed>,
        says: Option<fn(String) -> B>,
    ) -> Self {
        let mut this = Self::of(None, Some(running), says);
        this.refused = Some(malformed);
        this
    }

    #[inline]
    fn of(work: Option<F>, running: Option<Running>, says: Option<fn(String) -> B>) -> Self {
        Self {
            work,
            running,
            runtime: None,
            in_poll: false,
            has_begun: false,
            watch: None,
            refused: None,
            says,
        }
    }

    #[inline]
    pub(crate) fn new(work: F, running: Running, says: Option<fn(String) -> B>) -> Self {
        let runtime = match running.request.connection().runtime() {
            Some(_) => None,
            None => Handle::try_current().ok(),
        };
        let mut this = Self::of(Some(work), Some(running), says);
        this.runtime = runtime;
        this
    }

    /// Its time is over, and its grace, if it had one.
    #[inline]
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        match &self.running {
            Some(running) if running.request.is.limited.is_set() => self.was_over(cx),
            _ => false,
        }
    }

    #[cold]
    fn was_over(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(running) = &self.running else { return false };
        let watch = self.watch.get_or_insert_with(|| Box::new(Watch::of(&running.request)));
        watch.is_over(&running.request, cx)
    }

    /// What is answered in its place. It is dropped, or goes on if that is its policy.
    #[cold]
    fn give_up(&mut self) -> Option<Response<TokenBody<B>>> {
        let (work, mut running) = (self.work.take()?, self.running.take()?);
        let request = Arc::clone(&running.request);
        let why = self.watch.as_ref().and_then(|watch| watch.why(&request));
        let answer = over::answer(&request, why, self.says);
        if self.has_begun && request.policy() == Policy::Detach {
            let runtime = self.runtime.take().or_else(|| request.connection().runtime().cloned());
            request.connection().server().rescues.left(work, running, runtime);
            return Some(answer);
        }
        if self.watch.as_ref().is_some_and(|watch| watch.had_grace()) {
            outcome::abandoned("grace_over");
        }
        let in_span = request.span.enter();
        drop(work);
        drop(in_span);
        running.breaks_off();
        Some(answer)
    }
}

impl<F, B, E> Future for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin + Send + 'static,
    B: Body + Send + 'static,
    E: Send + 'static,
{
    type Output = Result<Response<TokenBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(malformed) = this.refused.take() {
            let running = this.running.take();
            return Poll::Ready(Ok(over::refusal(running, &malformed, this.says)));
        }
        // Perhaps before it has begun.
        if !this.has_begun && this.is_over(cx) {
            if let Some(answer) = this.give_up() {
                return Poll::Ready(Ok(answer));
            }
        }
        let Some(work) = &mut this.work else { unreachable!("it is not polled again") };
        (this.in_poll, this.has_begun) = (true, true);
        let in_span = this.running.as_ref().map(|running| running.request.span.enter());
        let polled = Pin::new(work).poll(cx);
        drop(in_span);
        this.in_poll = false;
        let Poll::Ready(answered) = polled else {
            if this.is_over(cx) {
                if let Some(answer) = this.give_up() {
                    return Poll::Ready(Ok(answer));
                }
            }
            return Poll::Pending;
        };
        // Its destructors are a part of the handler, and its token is still there.
        this.work = None;
        let running = this.running.take();
        Poll::Ready(match answered {
            Ok(response) => Ok(with_body(response, running, this.watch.take())),
            Err(error) => {
                if let Some(mut running) = running {
                    running.breaks_off();
                }
                Err(error)
            }
        })
    }
}

fn with_body<B: Body>(
    response: Response<B>,
    running: Option<Running>,
    watch: Option<Box<Watch>>,
) -> Response<TokenBody<B>> {
    let Some(running) = running else { return response.map(TokenBody::passed) };
    let request = &running.request;
    request.is.answered.set();
    let (method, status) = (&request.method, response.status());
    let outcome = Outcome::of(request, &response);
    let upgrades = status == StatusCode::SWITCHING_PROTOCOLS
        || *method == Method::CONNECT && status.is_success();
    if upgrades {
        return match running.until_the_stream_ends() {
            None => response.map(TokenBody::passed),
            Some(running) => {
                response.map(|body| TokenBody::new(body, running, outcome, Some(0), None))
            }
        };
    }
    // Of these nobody reads a body, whatever there is.
    let is_bare = *method == Method::HEAD
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    let is_limited = request.is.limited.is_set();
    let watch = is_limited.then(|| Watch::of_answer(request, watch));
    let length = if is_bare { Some(0) } else { length(&response) };
    response.map(|body| TokenBody::new(body, running, outcome, length, watch))
}

/// What is promised: by the body if it knows, else by the head.
fn length<B: Body>(response: &Response<B>) -> Option<u64> {
    response.body().size_hint().exact().or_else(|| {
        let length = response.headers().get(http::header::CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    })
}

impl<F, B, E> Drop for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin + Send + 'static,
    B: Body + Send + 'static,
    E: Send + 'static,
{
    fn drop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        let Some(work) = self.work.take() else { return };
        let request = &running.request;
        if self.in_poll {
            // It panicked: it is not polled again.
            running.ends(&Outcome::Failed);
            return;
        }
        if self.has_begun {
            let connection = Arc::clone(request.connection());
            let runtime = self.runtime.take().or_else(|| connection.runtime().cloned());
            connection.server().rescues.left(work, running, runtime);
            return;
        }
        // Whatever the policy: there is nothing yet to go on with.
        request.is_dropped();
        drop(work);
        running.breaks_off();
    }
}

impl<F, B, E> fmt::Debug for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin + Send + 'static,
    B: Body + Send + 'static,
    E: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("has_ended", &self.work.is_none())
            .finish_non_exhaustive()
    }
}

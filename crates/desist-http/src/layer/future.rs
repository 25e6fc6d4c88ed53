use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Method, Response, StatusCode};
use http_body::Body;
use tokio::runtime::Handle;

use super::body::TokenBody;
use super::rescue::Rescues;
use crate::connection::Running;
use crate::outcome::{self, Outcome};
use crate::stopped::Stopped;

/// The future of [`RequestService`](crate::RequestService).
///
/// Dropped before its end, its token is cancelled, and the [`Policy`](crate::Policy)
/// decides what becomes of the handler.
#[must_use = "futures do nothing unless polled or awaited"]
pub struct ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    E: Send + 'static,
{
    /// `None`: it has ended. In a box, for it may have to move.
    work: Option<Pin<Box<F>>>,
    /// `None`: another layer has seen to it.
    running: Option<Running>,
    rescues: Option<Rescues>,
    /// Captured where it is called, for a drop may be anywhere.
    runtime: Option<Handle>,
    /// It panicked in there.
    in_poll: bool,
    has_begun: bool,
}

impl<F, B, E> ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    E: Send + 'static,
{
    pub(super) fn passed(work: F) -> Self {
        Self {
            work: Some(Box::pin(work)),
            running: None,
            rescues: None,
            runtime: None,
            in_poll: false,
            has_begun: false,
        }
    }

    pub(super) fn new(work: F, running: Running, rescues: Rescues) -> Self {
        let mut this = Self::passed(work);
        this.running = Some(running);
        this.rescues = Some(rescues);
        this.runtime = Handle::try_current().ok();
        this
    }
}

impl<F, B, E> Future for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    E: Send + 'static,
{
    type Output = Result<Response<TokenBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(work) = &mut this.work else { unreachable!("it is not polled again") };
        (this.in_poll, this.has_begun) = (true, true);
        let polled = work.as_mut().poll(cx);
        this.in_poll = false;
        let answered = ready!(polled);
        // Its destructors are a part of the handler, and its token is still there.
        this.work = None;
        let running = this.running.take();
        Poll::Ready(match answered {
            Ok(response) => Ok(with_body(response, running)),
            Err(error) => {
                if let Some(running) = running {
                    outcome::ended(&running.request, Outcome::of_stop(&running.request));
                }
                Err(error)
            }
        })
    }
}

fn with_body<B: Body>(response: Response<B>, running: Option<Running>) -> Response<TokenBody<B>> {
    let (parts, body) = response.into_parts();
    let Some(running) = running else {
        return Response::from_parts(parts, TokenBody::passed(body));
    };
    let request = &running.request;
    let says_stopped = parts.extensions.get::<Stopped>().is_some();
    let outcome = Outcome::of(request, parts.status, says_stopped);
    let upgrades = parts.status == StatusCode::SWITCHING_PROTOCOLS
        || request.method == Method::CONNECT && parts.status.is_success();
    if upgrades {
        return match running.until_the_stream_ends() {
            None => Response::from_parts(parts, TokenBody::passed(body)),
            Some(running) => {
                Response::from_parts(parts, TokenBody::new(body, running, outcome, Some(0)))
            }
        };
    }
    // Of these nobody reads a body, whatever there is.
    let is_bare = request.method == Method::HEAD
        || parts.status == StatusCode::NO_CONTENT
        || parts.status == StatusCode::NOT_MODIFIED;
    let length = parts.headers.get(http::header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let length = if is_bare { Some(0) } else { length };
    Response::from_parts(parts, TokenBody::new(body, running, outcome, length))
}

impl<F, B, E> Drop for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    E: Send + 'static,
{
    fn drop(&mut self) {
        let (Some(work), Some(running)) = (self.work.take(), self.running.take()) else { return };
        if self.in_poll {
            // It panicked: it is not polled again.
            outcome::ended(&running.request, Outcome::Failed);
            return;
        }
        if let (Some(rescues), true) = (&self.rescues, self.has_begun) {
            rescues.left(work, running, self.runtime.take());
            return;
        }
        running.request.disconnected();
        drop(work);
        outcome::ended(&running.request, Outcome::of_stop(&running.request));
    }
}

impl<F, B, E> fmt::Debug for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    E: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("has_ended", &self.work.is_none())
            .finish_non_exhaustive()
    }
}

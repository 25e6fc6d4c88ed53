use std::pin::Pin;
use std::task::{Context, Poll};

use desist::{Token, WhenCancelled};
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{Calling, Receiving};
use crate::deadlines::{Form, GRPC_TIMEOUT};
use crate::layer::BoxError;
use crate::outgoing::Wanted;
use crate::until::Until;

/// A channel whose calls heed a token: tonic's `Channel`, or whatever a generated client
/// takes in its place.
///
/// A call says how long there is, in `grpc-timeout`: what is left to the token when it
/// begins, or what its request says, if that is less. When that is over it ends with
/// `DEADLINE_EXCEEDED`, and when the token is cancelled, with its status; either way its
/// stream is reset, so that the server behind hears of it. What it answers has the same
/// time to come, message by message. [`find_cancelled`](desist::find_cancelled) finds the
/// stop in the status.
///
/// It is cheap to make, one for each token.
///
/// ```
/// use desist::{Reason, Source, find_cancelled};
/// use desist_http::TokenChannel;
/// use tonic::transport::Endpoint;
/// # use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
/// let source = Source::new();
/// source.cancel_with(Reason::Superseded);
///
/// let mut client = HealthClient::new(TokenChannel::new(channel, &source.token()));
/// let status = client.check(HealthCheckRequest::default()).await.unwrap_err();
/// assert_eq!(status.code(), tonic::Code::Cancelled);
/// assert_eq!(find_cancelled(&status).unwrap().reason(), Reason::Superseded);
/// # }
/// ```
#[derive(Debug)]
pub struct TokenChannel<S> {
    /// `None`: the token is cancelled, and nothing is held of what others wait for.
    inner: Option<S>,
    token: Token,
    /// While it waits until it is ready.
    until: Option<Pin<Box<WhenCancelled<'static>>>>,
}

impl<S> TokenChannel<S> {
    /// For the calls of which that is the token.
    ///
    /// ```
    /// # let channel = ();
    /// let _channel = desist_http::TokenChannel::new(channel, &desist::Token::never());
    /// ```
    #[must_use]
    pub fn new(inner: S, token: &Token) -> Self {
        Self { inner: Some(inner), token: token.clone(), until: None }
    }

    fn stopped(&mut self) -> Poll<Result<(), BoxError>> {
        // It may have a place in a queue, or a permit.
        self.inner = None;
        self.until = None;
        Poll::Ready(Ok(()))
    }
}

impl<S: Clone> Clone for TokenChannel<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), token: self.token.clone(), until: None }
    }
}

impl<S, B> Service<Request<tonic::body::Body>> for TokenChannel<S>
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
{
    type Response = Response<Receiving<B>>;
    type Error = BoxError;
    type Future = Calling<S::Future>;

    /// Ready also when the token is cancelled, to say that.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let Some(inner) = self.inner.as_mut().filter(|_| !self.token.is_cancelled()) else {
            return self.stopped();
        };
        if let Poll::Ready(ready) = inner.poll_ready(cx) {
            self.until = None;
            return Poll::Ready(ready.map_err(Into::into));
        }
        let token = &self.token;
        let until = self.until.get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()));
        if until.as_mut().poll(cx).is_ready() { self.stopped() } else { Poll::Pending }
    }

    fn call(&mut self, mut request: Request<tonic::body::Body>) -> Self::Future {
        if let Some(why) = self.token.cancellation() {
            self.inner = None;
            return Calling::refused(&why);
        }
        let inner = self.inner.as_mut().expect("it is there until the token is cancelled");
        let headers = request.headers_mut();
        let all = headers.get_all(&GRPC_TIMEOUT);
        let own = all.iter().filter_map(|own| Form::Grpc.read(own)).min();
        let left = self.token.remaining();
        if let Some(left) = left {
            Form::Grpc.say(headers, &GRPC_TIMEOUT, left);
        }
        // Whoever says less of itself is held to that here, where it also ends a stream.
        let token = match own {
            Some(own) if left.is_none_or(|left| own < left) => {
                self.token.child_with_timeout(own).token()
            }
            _ => self.token.clone(),
        };
        let (head, body) = request.into_parts();
        let (wanted, body) = Wanted::with_body(body, &token);
        let request = Request::from_parts(head, tonic::body::Body::new(body));
        Calling::new(inner.call(request), Until::new(token), wanted)
    }
}

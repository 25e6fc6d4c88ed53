use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use desist::Token;
use http::{HeaderName, StatusCode};
use reqwest::{RequestBuilder, Response, ResponseBuilderExt};

use super::error::SendError;
use super::reading::Reading;
use crate::deadlines::{Deadlines, Form};
use crate::outgoing::Wanted;
use crate::until::Until;

mod sealed {
    pub trait Sealed {}
    impl Sealed for reqwest::RequestBuilder {}
}

/// Sends a request that heeds a token: `client.get(url).send_with(&token)`.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{Router, routing::get};
/// use desist_http::{Deadlines, RequestToken, SendError, SendWith, Stopped, serve};
/// use std::time::Duration;
///
/// # #[tokio::main]
/// # async fn main() {
/// async fn left(token: RequestToken) -> Result<String, Stopped> {
///     Ok(token.remaining().map_or("any".into(), |left| left.as_secs().to_string()))
/// }
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
/// let url = format!("http://{}/", listener.local_addr().unwrap());
/// let deadlines = Deadlines::new().from_header(Deadlines::HEADER);
/// let app = Router::new().route("/", get(left));
/// tokio::spawn(serve(listener, app).deadlines(deadlines).into_future());
///
/// async fn asks(url: &str, token: &desist::Token) -> Result<String, SendError> {
///     let client = reqwest::Client::builder().no_proxy().build()?;
///     Ok(client.get(url).send_with(token).await?.text().await?)
/// }
/// let source = desist::Source::with_timeout(Duration::from_millis(9_900));
/// assert_eq!(asks(&url, &source.token()).await.unwrap(), "9");
/// source.cancel();
/// assert!(asks(&url, &source.token()).await.unwrap_err().cancelled().is_some());
/// # }
/// # main();
/// # }
/// ```
pub trait SendWith: sealed::Sealed + Sized {
    /// Like `send`, until the token is cancelled: then the request is dropped, and its
    /// connection, or its stream on HTTP/2, so that the server behind hears of it. So is the
    /// body of the answer, when it is read the next time; it fails.
    ///
    /// It says how long there is: what is left to the token when it is sent, or what the
    /// request's own `timeout` gives it, or its header says, if that is less.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_http::SendWith;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let client = reqwest::Client::new();
    /// let token = Token::cancelled_with("the user pressed stop");
    /// let error = client.get("http://localhost/").send_with(&token).await.unwrap_err();
    /// assert_eq!(error.to_string(), "the request was stopped");
    /// # }
    /// ```
    fn send_with(self, token: &Token) -> Sending;
}

impl SendWith for RequestBuilder {
    fn send_with(self, token: &Token) -> Sending {
        let until = Some(Until::new(token.clone()));
        let says = Some(Deadlines::HEADER);
        Sending { until, now: Now::Begins(Box::new(self)), says }
    }
}

type Answering = Pin<Box<dyn Future<Output = reqwest::Result<Response>> + Send>>;

/// The future of [`SendWith::send_with`]: the answer, or why there is none.
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Sending {
    /// `None`: it has ended, and an answer may have it.
    until: Option<Until>,
    now: Now,
    says: Option<HeaderName>,
}

enum Now {
    Begins(Box<RequestBuilder>),
    /// Dropped in this order.
    Sent(Answering, Wanted),
    Ended,
}

impl Sending {
    /// It says how long there is in that header, in milliseconds, and not in
    /// [`Deadlines::HEADER`].
    ///
    /// ```
    /// use desist::Token;
    /// use desist_http::SendWith;
    ///
    /// let name = http::HeaderName::from_static("x-yours");
    /// let request = reqwest::Client::new().get("http://localhost/");
    /// let _sending = request.send_with(&Token::never()).says_in(name);
    /// ```
    pub fn says_in(mut self, name: HeaderName) -> Self {
        self.says = Some(name);
        self
    }

    /// It does not say how long there is, as to services that it is no concern of.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_http::SendWith;
    ///
    /// let request = reqwest::Client::new().get("http://localhost/");
    /// let _sending = request.send_with(&Token::never()).says_nothing();
    /// ```
    pub fn says_nothing(mut self) -> Self {
        self.says = None;
        self
    }

    fn begin(&self, request: RequestBuilder, token: &Token) -> Result<Now, SendError> {
        let (client, request) = request.build_split();
        let mut request = request?;
        let left = least(token.remaining(), request.timeout().copied());
        if let (Some(name), Some(left)) = (&self.says, left) {
            Form::Milliseconds.say(request.headers_mut(), name, left);
        }
        let mut wanted = Wanted::without_body();
        // One that is there in whole may be sent again, by a redirect or a retry.
        if let Some(body) = request.body_mut().take_if(|body| body.as_bytes().is_none()) {
            let (wants, body) = Wanted::with_body(body, token);
            *request.body_mut() = Some(reqwest::Body::wrap(body));
            wanted = wants;
        }
        Ok(Now::Sent(Box::pin(async move { client.execute(request).await }), wanted))
    }

    fn poll_answer(
        &mut self,
        until: &mut Until,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Response, Wanted), SendError>> {
        if let Poll::Ready(why) = until.poll(cx) {
            return Poll::Ready(Err(why.into()));
        }
        if let Now::Begins(_) = self.now {
            let Now::Begins(request) = std::mem::replace(&mut self.now, Now::Ended) else {
                unreachable!("it was just looked at")
            };
            if let Some(why) = until.over(cx) {
                return Poll::Ready(Err(why.into()));
            }
            self.now = self.begin(*request, until.token())?;
        }
        let Now::Sent(answering, _) = &mut self.now else { unreachable!("it has begun") };
        let answered = ready!(answering.as_mut().poll(cx));
        let Now::Sent(_, wanted) = std::mem::replace(&mut self.now, Now::Ended) else {
            unreachable!("it was just looked at")
        };
        let is_consequence = match &answered {
            Ok(response) => response.status() == StatusCode::GATEWAY_TIMEOUT,
            Err(_) => true,
        };
        if let Some(why) = until.over(cx).filter(|_| is_consequence) {
            return Poll::Ready(Err(why.into()));
        }
        Poll::Ready(answered.map(|response| (response, wanted)).map_err(Into::into))
    }
}

fn least(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    a.into_iter().chain(b).min()
}

impl Future for Sending {
    type Output = Result<Response, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut until = this.until.take().expect("polled after its end");
        let Poll::Ready(answered) = this.poll_answer(&mut until, cx) else {
            this.until = Some(until);
            return Poll::Pending;
        };
        // What is left of the request goes with whatever has ended it.
        this.now = Now::Ended;
        Poll::Ready(answered.map(|(answer, wanted)| with_token(answer, until, wanted)))
    }
}

/// The same answer, with a body that heeds the token.
fn with_token(response: Response, until: Until, wanted: Wanted) -> Response {
    // Which would get lost on the way.
    let url = http::response::Builder::new().url(response.url().clone()).body(());
    let (mut head, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    if let Ok(url) = url {
        head.extensions.extend(url.into_parts().0.extensions);
    }
    let body = reqwest::Body::wrap(Reading::new(body, until, wanted));
    Response::from(http::Response::from_parts(head, body))
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending")
            .field("has_ended", &self.until.is_none())
            .field("says_in", &self.says)
            .finish_non_exhaustive()
    }
}

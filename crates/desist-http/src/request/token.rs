use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use desist::{Source, Token};

use super::state::Request;

/// The token of a request, which a handler takes as an argument: it is cancelled when
/// the client is gone, when the time is over, and when the server stops.
///
/// It derefs to the [`Token`]. Taking it says that the handler heeds it: then it is not
/// dropped when the client goes, but has the grace of its [`Policy`](crate::Policy) to
/// stop where it is safe.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{Router, routing::get};
/// use desist_http::{RequestToken, Stopped};
/// use std::time::Duration;
///
/// async fn long_running_task(token: RequestToken) -> Result<&'static str, Stopped> {
///     for _ in 1..=20 {
///         desist_tokio::sleep(Duration::from_secs(1), &token).await?;
///     }
///     Ok("long-running task completed")
/// }
///
/// let app = Router::<()>::new().route("/longrunningtask", get(long_running_task));
/// # let _ = app;
/// # }
/// ```
#[derive(Clone)]
pub struct RequestToken {
    request: Arc<Request>,
}

impl RequestToken {
    pub(crate) fn new(request: Arc<Request>) -> Self {
        Self { request }
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// The token of the request that these extensions are of, for services that are no
    /// handlers of axum. It counts as taken.
    ///
    /// # Errors
    ///
    /// There is none: no [`RequestLayer`](crate::RequestLayer) is around.
    ///
    /// ```
    /// use desist_http::RequestToken;
    ///
    /// let request = http::Request::new(());
    /// assert!(RequestToken::of(request.extensions()).is_err());
    /// ```
    pub fn of(extensions: &http::Extensions) -> Result<Self, MissingToken> {
        let token = Self::peek(extensions)?;
        token.request.is.taken.set();
        Ok(token)
    }

    /// The same for middleware that looks at the token, to log or to bound what is inside
    /// of it: it does not count as taken, so that a handler that does not heed it is
    /// dropped when its client goes.
    ///
    /// # Errors
    ///
    /// As of [`of`](Self::of).
    ///
    /// ```
    /// # #[cfg(feature = "axum")] {
    /// use axum::extract::Request;
    /// use axum::middleware::{Next, from_fn};
    /// use axum::response::Response;
    /// use desist_http::RequestToken;
    ///
    /// async fn logs(request: Request, next: Next) -> Response {
    ///     let token = RequestToken::peek(request.extensions());
    ///     let response = next.run(request).await;
    ///     if let Some(why) = token.ok().and_then(|token| token.cancellation()) {
    ///         println!("answered after it was stopped: {why}");
    ///     }
    ///     response
    /// }
    /// let app = axum::Router::<()>::new().layer(from_fn(logs));
    /// # let _ = app;
    /// # }
    /// assert!(desist_http::RequestToken::peek(&http::Extensions::new()).is_err());
    /// ```
    pub fn peek(extensions: &http::Extensions) -> Result<Self, MissingToken> {
        extensions.get::<Self>().cloned().ok_or(MissingToken { _private: () })
    }

    /// Cancelled when the server begins to stop: streams that have no end, of events or
    /// of a WebSocket, end here, so that nobody has to stop them.
    ///
    /// ```
    /// # #[cfg(feature = "axum")] {
    /// use axum::response::sse::{Event, Sse};
    /// use desist_http::RequestToken;
    /// # use std::convert::Infallible;
    ///
    /// # fn ticks() -> impl futures_core::Stream<Item = Result<Event, Infallible>> { tokio_stream::empty() }
    /// async fn events(token: RequestToken) -> Sse<impl futures_core::Stream<Item = Result<Event, Infallible>>> {
    ///     use desist_tokio::StreamExt;
    ///     Sse::new(ticks().until_cancelled(token.draining()))
    /// }
    /// # let _ = events;
    /// # }
    /// ```
    #[must_use]
    pub fn draining(&self) -> &Token {
        self.request.draining()
    }

    /// The right to stop the request, with a cause of one's own.
    ///
    /// ```
    /// # #[cfg(feature = "axum")] {
    /// use desist::Reason;
    /// use desist_http::RequestToken;
    ///
    /// async fn replace(token: RequestToken) {
    ///     token.source().cancel_with(Reason::Superseded);
    ///     assert_eq!(token.reason(), Some(Reason::Superseded));
    /// }
    /// # let _ = replace;
    /// # }
    /// ```
    #[must_use]
    pub fn source(&self) -> &Source {
        self.request.source()
    }
}

impl Deref for RequestToken {
    type Target = Token;

    fn deref(&self) -> &Token {
        self.request.token()
    }
}

impl AsRef<Token> for RequestToken {
    fn as_ref(&self) -> &Token {
        self.request.token()
    }
}

impl fmt::Debug for RequestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestToken").field(self.request.token()).finish()
    }
}

/// A request without a token: nobody has put one there.
///
/// ```
/// let request = http::Request::new(());
/// let missing = desist_http::RequestToken::of(request.extensions()).unwrap_err();
/// assert!(missing.to_string().contains("RequestLayer"));
/// ```
#[derive(Debug, Clone)]
pub struct MissingToken {
    _private: (),
}

impl fmt::Display for MissingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this request has no token; serve the app with desist_http::serve, or put a \
             RequestLayer around it",
        )
    }
}

impl Error for MissingToken {}

#[cfg(feature = "axum")]
mod extract {
    use std::convert::Infallible;

    use axum::extract::{FromRequestParts, MatchedPath, OptionalFromRequestParts};
    use axum::response::{IntoResponse, Response};
    use http::StatusCode;
    use http::request::Parts;

    use super::{MissingToken, RequestToken};

    impl<S: Sync> FromRequestParts<S> for RequestToken {
        type Rejection = MissingToken;

        async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingToken> {
            let token = Self::of(&parts.extensions)?;
            if let Some(route) = parts.extensions.get::<MatchedPath>() {
                token.request().set_route(route);
            }
            Ok(token)
        }
    }

    /// For apps that are served elsewhere, too: `None` where nobody has put one there.
    impl<S: Sync> OptionalFromRequestParts<S> for RequestToken {
        type Rejection = Infallible;

        async fn from_request_parts(
            parts: &mut Parts,
            state: &S,
        ) -> Result<Option<Self>, Infallible> {
            let token = <Self as FromRequestParts<S>>::from_request_parts(parts, state).await;
            Ok(token.ok())
        }
    }

    impl IntoResponse for MissingToken {
        fn into_response(self) -> Response {
            (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
        }
    }
}

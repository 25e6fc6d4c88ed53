//! What a handler answers that was stopped.

use std::error::Error;
use std::fmt;

use desist::{Cancelled, Reason};
use http::{Response, StatusCode};

/// A handler that was stopped: what `?` makes of a [`Cancelled`], and an answer.
///
/// The client that is gone reads none; it is for whoever counts and logs: 499, as
/// nginx has it. A deadline is 504; a server that stops, or has no room, is 503 with
/// `Retry-After`.
///
/// ```
/// use desist::{Reason, Token};
/// use desist_http::Stopped;
///
/// fn handler(token: &Token) -> Result<&'static str, Stopped> {
///     token.check()?;
///     Ok("done")
/// }
///
/// let status = |reason| handler(&Token::cancelled_with(reason)).unwrap_err().status().as_u16();
/// assert_eq!(status(Reason::Disconnected), 499);
/// assert_eq!(status(Reason::Deadline), 504);
/// assert_eq!(status(Reason::Shutdown), 503);
/// ```
#[derive(Clone)]
pub struct Stopped {
    cancelled: Cancelled,
}

impl Stopped {
    /// Why, when and by whom.
    ///
    /// ```
    /// use desist::{Reason, Token};
    /// use desist_http::Stopped;
    ///
    /// let cancelled = Token::cancelled_with(Reason::Overload).check().unwrap_err();
    /// assert_eq!(Stopped::from(cancelled).cancelled().reason(), Reason::Overload);
    /// ```
    #[must_use]
    pub fn cancelled(&self) -> &Cancelled {
        &self.cancelled
    }

    /// The status of the answer.
    ///
    /// ```
    /// use desist::{Reason, Token};
    /// use desist_http::Stopped;
    ///
    /// let cancelled = Token::cancelled_with(Reason::SiblingFailed).check().unwrap_err();
    /// assert_eq!(Stopped::from(cancelled).status(), 500, "something else failed");
    /// ```
    #[must_use]
    pub fn status(&self) -> StatusCode {
        status_of(self.cancelled.reason())
    }

    /// The answer, with a body of one's own kind.
    ///
    /// ```
    /// use desist::{Reason, Token};
    /// use desist_http::Stopped;
    ///
    /// let cancelled = Token::cancelled_with(Reason::Overload).check().unwrap_err();
    /// let response = Stopped::from(cancelled).into_response_with(|said| said);
    /// assert_eq!(response.headers()["retry-after"], "1");
    /// assert_eq!(response.body(), "cancelled: overload\n");
    /// ```
    pub fn into_response_with<B>(self, body: impl FnOnce(String) -> B) -> Response<B> {
        let mut response = Response::new(body(format!("{}\n", self.cancelled)));
        *response.status_mut() = self.status();
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            let soon = http::HeaderValue::from_static("1");
            response.headers_mut().insert(http::header::RETRY_AFTER, soon);
        }
        // Whoever counts outcomes knows that it is this, and no failure.
        response.extensions_mut().insert(self);
        response
    }
}

fn status_of(reason: Reason) -> StatusCode {
    match reason {
        Reason::Deadline => StatusCode::GATEWAY_TIMEOUT,
        Reason::Shutdown | Reason::Overload | Reason::LeaseLost => StatusCode::SERVICE_UNAVAILABLE,
        Reason::SiblingFailed => StatusCode::INTERNAL_SERVER_ERROR,
        _ => client_closed_request(),
    }
}

/// 499, which is no status of the standard.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

impl From<Cancelled> for Stopped {
    fn from(cancelled: Cancelled) -> Self {
        Self { cancelled }
    }
}

impl fmt::Debug for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stopped").field(&self.cancelled).finish()
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request was stopped")
    }
}

impl Error for Stopped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cancelled)
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for Stopped {
    fn into_response(self) -> axum::response::Response {
        self.into_response_with(axum::body::Body::from)
    }
}

use std::error::Error;
use std::fmt;

use desist::{Cancelled, Reason, find_cancelled};

/// A request that got no answer: because of a stop, or a failure.
///
/// Also what `?` makes of the error of a body that was read afterwards, so that a stop is
/// told from a failure wherever it comes.
///
/// ```
/// use desist::{Reason, Token};
/// use desist_http::{SendError, SendWith};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// async fn fetch(token: &Token) -> Result<String, SendError> {
///     let client = reqwest::Client::builder().no_proxy().build()?;
///     Ok(client.get("http://127.0.0.1:1/").send_with(token).await?.text().await?)
/// }
///
/// let failed = fetch(&Token::never()).await.unwrap_err();
/// assert!(failed.cancelled().is_none());
/// assert_eq!(failed.to_string(), "no connection to 127.0.0.1:1; is the service up, and its address right?");
///
/// let late = fetch(&Token::cancelled_with(Reason::Deadline)).await.unwrap_err();
/// assert_eq!(late.cancelled().unwrap().reason(), Reason::Deadline);
/// assert!(late.is_timeout());
/// # }
/// ```
#[derive(Debug)]
pub struct SendError {
    why: Why,
}

#[derive(Debug)]
enum Why {
    Cancelled(Cancelled),
    Failed(reqwest::Error),
}

impl SendError {
    /// The stop, if it was one: the token was cancelled before the answer, or the failure,
    /// had come.
    ///
    /// ```
    /// use desist::{Reason, Token};
    /// use desist_http::SendError;
    ///
    /// let cancelled = Token::cancelled_with(Reason::Shutdown).check().unwrap_err();
    /// assert_eq!(SendError::from(cancelled).cancelled().unwrap().reason(), Reason::Shutdown);
    /// ```
    #[must_use]
    pub fn cancelled(&self) -> Option<&Cancelled> {
        match &self.why {
            Why::Cancelled(why) => Some(why),
            Why::Failed(_) => None,
        }
    }

    /// The same, to keep.
    ///
    /// # Errors
    ///
    /// It was a failure.
    ///
    /// ```
    /// use desist::{Reason, Token};
    /// use desist_http::{SendError, Stopped};
    ///
    /// let cancelled = Token::cancelled_with(Reason::Shutdown).check().unwrap_err();
    /// let stopped = SendError::from(cancelled).into_cancelled().map(Stopped::from).unwrap();
    /// assert_eq!(stopped.status(), 503);
    /// ```
    pub fn into_cancelled(self) -> Result<Cancelled, Self> {
        match self.why {
            Why::Cancelled(why) => Ok(why),
            why => Err(Self { why }),
        }
    }

    /// What `reqwest` says, if it was no stop.
    ///
    /// ```
    /// use desist_http::{SendError, SendWith};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let client = reqwest::Client::builder().no_proxy().build().unwrap();
    /// let request = client.get("http://127.0.0.1:1/").send_with(&desist::Token::never());
    /// assert!(request.await.unwrap_err().failure().unwrap().is_connect());
    /// # }
    /// ```
    #[must_use]
    pub fn failure(&self) -> Option<&reqwest::Error> {
        match &self.why {
            Why::Cancelled(_) => None,
            Why::Failed(error) => Some(error),
        }
    }

    /// Whether it was time that was over: the token's, or the client's or the request's own.
    ///
    /// ```
    /// use desist::{Reason, Token};
    /// use desist_http::SendError;
    ///
    /// let after = |reason| SendError::from(Token::cancelled_with(reason).check().unwrap_err());
    /// assert!(after(Reason::Deadline).is_timeout());
    /// assert!(!after(Reason::Disconnected).is_timeout());
    /// ```
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match &self.why {
            Why::Cancelled(why) => why.reason() == Reason::Deadline,
            Why::Failed(error) => error.is_timeout(),
        }
    }
}

impl From<Cancelled> for SendError {
    fn from(why: Cancelled) -> Self {
        Self { why: Why::Cancelled(why) }
    }
}

/// A stop, if that is in it.
impl From<reqwest::Error> for SendError {
    fn from(error: reqwest::Error) -> Self {
        match find_cancelled(&error) {
            Some(why) => why.clone().into(),
            None => Self { why: Why::Failed(error) },
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match &self.why {
            Why::Cancelled(_) => return f.write_str("the request was stopped"),
            Why::Failed(error) => error,
        };
        let to = error.url().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
        let whom = match to {
            Some((host, port)) => format!("{host}:{port}"),
            None => "the service".into(),
        };
        if error.is_builder() {
            f.write_str("this is no request that could be sent; see its source for what is wrong")
        } else if let Some(status) = error.status() {
            write!(f, "the answer of {whom} was {status}")
        } else if error.is_timeout() {
            write!(f, "no answer of {whom} in the time that this client gives it")
        } else if error.is_connect() {
            write!(f, "no connection to {whom}; is the service up, and its address right?")
        } else if error.is_body() || error.is_decode() {
            write!(f, "the answer of {whom} was broken off, or is not what was expected")
        } else {
            write!(f, "the request to {whom} failed")
        }
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.why {
            Why::Cancelled(why) => Some(why),
            Why::Failed(error) => Some(error),
        }
    }
}

/// For a handler that asked somebody else: a stop is answered as [`Stopped`](crate::Stopped)
/// is, time that was over with 504, and any other failure with 502.
#[cfg(feature = "axum")]
impl axum::response::IntoResponse for SendError {
    fn into_response(self) -> axum::response::Response {
        match self.into_cancelled() {
            Ok(why) => crate::Stopped::from(why).into_response(),
            Err(failed) => {
                let status = if failed.is_timeout() {
                    http::StatusCode::GATEWAY_TIMEOUT
                } else {
                    http::StatusCode::BAD_GATEWAY
                };
                (status, format!("{failed}\n")).into_response()
            }
        }
    }
}

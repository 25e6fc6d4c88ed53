use std::error::Error;
use std::fmt;

use desist::Cancelled;

use super::running::Running;
use crate::connection::Left;

/// What came of a server's stop.
///
/// Its `Display` is a list to log.
///
/// ```
/// use axum::Router;
/// use desist_tokio::StopSource;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
/// let stop = StopSource::new();
/// stop.drain();
/// let report = desist_http::serve(listener, Router::<()>::new()).until(stop.stop()).await;
/// assert!(report.is_clean());
/// assert_eq!(report.to_string(), "the server has stopped; nothing was left");
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it tells what did not end"]
pub struct ServeReport {
    pub(super) asked: Option<Cancelled>,
    pub(super) running: Vec<Running>,
    pub(super) idle: usize,
}

impl ServeReport {
    pub(super) fn of(asked: Option<Cancelled>, left: &[Left]) -> Self {
        let idle = left.iter().filter(|left| left.requests.is_empty()).count();
        Self { asked, running: Running::all(left), idle }
    }

    /// Why the requests were asked to stop, if they had to be.
    ///
    /// ```
    /// fn was_drained(report: &desist_http::ServeReport) -> bool {
    ///     report.asked().is_none()
    /// }
    /// # let _ = was_drained;
    /// ```
    #[must_use]
    pub fn asked(&self) -> Option<&Cancelled> {
        self.asked.as_ref()
    }

    /// The requests that still ran, the oldest first.
    ///
    /// ```
    /// fn oldest(report: &desist_http::ServeReport) -> Option<&str> {
    ///     report.running().first().map(|request| request.route())
    /// }
    /// # let _ = oldest;
    /// ```
    #[must_use]
    pub fn running(&self) -> &[Running] {
        &self.running
    }

    /// Nothing was left: no request, and no connection.
    ///
    /// ```
    /// fn exit_code(report: &desist_http::ServeReport) -> u8 {
    ///     u8::from(!report.is_clean())
    /// }
    /// # let _ = exit_code;
    /// ```
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.running.is_empty() && self.idle == 0
    }

    /// For whoever runs the server as one service of several: work that was left is its error.
    ///
    /// Clients that did not read, or did not go, are none: they were cut off, and nobody's work
    /// was. Who wants to know of them as well asks [`is_clean`](Self::is_clean).
    ///
    /// # Errors
    ///
    /// The report itself, if a request was left that did not only wait for
    /// [its client](Running::is_untaken).
    ///
    /// ```
    /// use axum::Router;
    /// use desist_tokio::StopSource;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let stop = StopSource::new();
    /// stop.drain();
    /// let report = desist_http::serve(listener, Router::<()>::new()).until(stop.stop()).await;
    /// assert!(report.into_result().is_ok());
    /// # }
    /// ```
    pub fn into_result(self) -> Result<(), Self> {
        if self.running.iter().all(Running::is_untaken) { Ok(()) } else { Err(self) }
    }
}

impl Error for ServeReport {}

impl fmt::Display for ServeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("the server has stopped; nothing was left");
        }
        write!(
            f,
            "the server has stopped; left were requests: {}, and connections without one: {}",
            self.running.len(),
            self.idle
        )?;
        for request in &self.running {
            write!(f, "\n  {request}")?;
        }
        Ok(())
    }
}

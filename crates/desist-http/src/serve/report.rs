use std::error::Error;
use std::fmt;
use std::time::Duration;

use desist::Cancelled;

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

/// A request that still ran when the server gave up waiting.
///
/// ```
/// use desist_http::ServeReport;
///
/// fn log(report: &ServeReport) {
///     for request in report.running() {
///         eprintln!("{} {} from {:?} for {:?}", request.method(), request.route(), request.peer(), request.age());
///     }
/// }
/// # let _ = log;
/// ```
#[derive(Debug, Clone)]
pub struct Running {
    method: http::Method,
    route: String,
    peer: Option<String>,
    age: Duration,
    rescued: bool,
}

impl ServeReport {
    pub(super) fn of(asked: Option<Cancelled>, left: Vec<Left>) -> Self {
        let (mut running, mut idle) = (Vec::new(), 0);
        for Left { peer, requests } in left {
            idle += usize::from(requests.is_empty());
            running.extend(requests.into_iter().map(|request| Running {
                method: request.method.clone(),
                route: request.name().to_owned(),
                peer: Some(peer.clone()),
                age: request.began.elapsed(),
                rescued: request.is.rescued.is_set(),
            }));
        }
        running.sort_by_key(|request| std::cmp::Reverse(request.age));
        Self { asked, running, idle }
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

    /// For whoever runs the server as one service of several: what was left is its error.
    ///
    /// # Errors
    ///
    /// The report itself, if something [was left](Self::is_clean).
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
        if self.is_clean() { Ok(()) } else { Err(self) }
    }
}

impl Error for ServeReport {}

impl Running {
    /// Its method.
    ///
    /// ```
    /// fn is_upload(request: &desist_http::Running) -> bool {
    ///     *request.method() == "POST"
    /// }
    /// # let _ = is_upload;
    /// ```
    #[must_use]
    pub fn method(&self) -> &http::Method {
        &self.method
    }

    /// Its route, where its handler took the token of an axum app, else its path.
    ///
    /// ```
    /// fn is_export(request: &desist_http::Running) -> bool {
    ///     request.route() == "/export/{id}"
    /// }
    /// # let _ = is_export;
    /// ```
    #[must_use]
    pub fn route(&self) -> &str {
        &self.route
    }

    /// Who asked.
    ///
    /// ```
    /// fn peer(request: &desist_http::Running) -> &str {
    ///     request.peer().unwrap_or("somebody")
    /// }
    /// # let _ = peer;
    /// ```
    #[must_use]
    pub fn peer(&self) -> Option<&str> {
        self.peer.as_deref()
    }

    /// How long ago it began.
    ///
    /// ```
    /// fn is_old(request: &desist_http::Running) -> bool {
    ///     request.age().as_secs() > 60
    /// }
    /// # let _ = is_old;
    /// ```
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Whether its client had gone before.
    ///
    /// ```
    /// fn mattered(request: &desist_http::Running) -> bool {
    ///     !request.is_rescued()
    /// }
    /// # let _ = mattered;
    /// ```
    #[must_use]
    pub fn is_rescued(&self) -> bool {
        self.rescued
    }
}

impl fmt::Display for ServeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("the server has stopped; nothing was left");
        }
        write!(
            f,
            "the server has stopped; {} requests and {} connections without one were left",
            self.running.len(),
            self.idle
        )?;
        for request in &self.running {
            write!(f, "\n  {request}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, route, age, .. } = self;
        write!(f, "{method} {route}, for {age:.1?}")?;
        if let Some(peer) = &self.peer {
            write!(f, ", from {peer}")?;
        }
        if self.rescued {
            f.write_str(", whose client has gone")?;
        }
        Ok(())
    }
}

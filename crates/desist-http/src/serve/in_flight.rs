//! What servers are doing now.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::running::Running;
use crate::connection::Registry;

/// Tells which requests run now: of each server that it is [given to](crate::Serve::in_flight),
/// one or several.
///
/// It is for a page that somebody looks at, and reads what the servers have at hand anyway:
/// a request costs what it costs without. It keeps no server, no connection and no request.
/// Clones tell the same.
///
/// A request runs from its head until the last of its answer is hyper's, or its handler,
/// which outlived its client, has ended; a WebSocket for as long as that. A connection that
/// is idle is none. Before a server has begun nothing of it runs; once it has ended, what
/// its report says was left and nobody could end, as a handler that blocks its thread, until
/// that has ended too.
///
/// ```
/// use axum::{Router, routing::get};
/// use desist_http::{InFlight, RequestToken, serve};
/// # use std::future::IntoFuture;
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let in_flight = InFlight::new();
/// let seen = in_flight.clone();
/// let now = async move |_token: RequestToken| {
///     seen.running().iter().map(|request| format!("{request}\n")).collect::<String>()
/// };
/// let app = Router::new().route("/now", get(now));
/// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
/// # let addr = listener.local_addr().unwrap();
/// tokio::spawn(serve(listener, app).in_flight(&in_flight).into_future());
/// # let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
/// # client.write_all(b"GET /now HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").await.unwrap();
/// # let mut answer = String::new();
/// # client.read_to_string(&mut answer).await.unwrap();
///
/// // What it answers is that itself is what runs.
/// assert!(answer.contains("GET /now, for "));
/// # }
/// ```
#[derive(Clone, Default)]
pub struct InFlight {
    servers: Arc<Mutex<Vec<Weak<Registry>>>>,
}

impl InFlight {
    /// One that tells of no server yet.
    ///
    /// ```
    /// assert!(desist_http::InFlight::new().is_empty());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The requests that run, the oldest first.
    ///
    /// ```
    /// use desist_http::InFlight;
    ///
    /// fn oldest(in_flight: &InFlight) -> Option<String> {
    ///     in_flight.running().first().map(ToString::to_string)
    /// }
    /// assert_eq!(oldest(&InFlight::new()), None);
    /// ```
    #[must_use]
    pub fn running(&self) -> Vec<Running> {
        let busy: Vec<_> = self.open().iter().flat_map(|registry| registry.busy()).collect();
        Running::all(&busy)
    }

    /// How many there are.
    ///
    /// ```
    /// assert_eq!(desist_http::InFlight::new().len(), 0);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.open().iter().map(|registry| registry.count()).sum()
    }

    /// Whether there is none.
    ///
    /// ```
    /// assert!(desist_http::InFlight::new().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of them go on without their clients.
    ///
    /// ```
    /// assert_eq!(desist_http::InFlight::new().rescued(), 0);
    /// ```
    #[must_use]
    pub fn rescued(&self) -> usize {
        self.open().iter().map(|registry| registry.count_rescued()).sum()
    }

    /// A server begins. Those that are no more are forgotten, so that one for which there is
    /// always another server does not grow.
    pub(super) fn tells_of(&self, registry: &Arc<Registry>) {
        let mut servers = self.servers();
        servers.retain(|server| server.strong_count() > 0);
        servers.push(Arc::downgrade(registry));
    }

    fn open(&self) -> Vec<Arc<Registry>> {
        self.servers().iter().filter_map(Weak::upgrade).collect()
    }

    fn servers(&self) -> MutexGuard<'_, Vec<Weak<Registry>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_are_no_more_are_kept_by_nobody_and_forgotten() {
        let in_flight = InFlight::new();
        for _ in 0..3 {
            let registry = Arc::new(Registry::default());
            in_flight.tells_of(&registry);
            assert!(in_flight.running().is_empty());
            assert_eq!(in_flight.servers().len(), 1);
            assert_eq!(Arc::strong_count(&registry), 1);
        }
        assert!(in_flight.open().is_empty());
    }
}

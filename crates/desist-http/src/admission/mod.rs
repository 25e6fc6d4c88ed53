//! How many handlers run at once.
//!
//! What is counted are handlers, and not streams or clients: one whose client is gone and
//! that goes on keeps its place until it ends, for the place is in the future that the
//! [`RequestLayer`](crate::RequestLayer) around it lets go on. So a client that opens
//! requests and resets them in a loop has no more of them running than one that waits for
//! its answers (CVE-2023-44487). Who finds no place is told so at once, or waits in a queue
//! of bounded length, which it leaves when it is stopped.

mod places;
mod service;

use std::sync::Arc;

use tower_layer::Layer;

use self::places::Places;
pub use self::service::{AdmissionFuture, AdmissionService};

/// At most so many handlers run at once; who comes when there is no place is answered 503
/// with `Retry-After` and the reason [`Overload`](desist::Reason::Overload), a call of gRPC
/// `UNAVAILABLE`.
///
/// It belongs around an app or a route, inside of the layer that gives tokens: all that it
/// and its clones are around has its places, and its queue, in common. A place is free again
/// when the handler has answered: bodies that are on their way are not counted.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{Router, routing::get};
/// use desist_http::AdmissionLayer;
///
/// let limit = AdmissionLayer::at_most(1000).per_connection(100).queue(200);
/// let app = Router::<()>::new().route("/", get(|| async { "hello" })).layer(limit);
/// # let _ = app;
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AdmissionLayer {
    per_connection: Option<usize>,
    places: Arc<Places>,
}

impl AdmissionLayer {
    /// At most so many run at once, in all that this layer is around.
    ///
    /// # Panics
    ///
    /// If it is none: then nobody is served.
    ///
    /// ```
    /// let _limit = desist_http::AdmissionLayer::at_most(1000);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn at_most(most: usize) -> Self {
        assert!(most > 0, "where no handler may run nobody is served; let at least 1");
        Self { per_connection: None, places: Arc::new(Places::new(most)) }
    }

    /// At most so many of one connection, which find no place in the queue either. It is
    /// known which connection a request is of where [`serve`](crate::serve()) serves.
    ///
    /// # Panics
    ///
    /// If it is none.
    ///
    /// ```
    /// let _limit = desist_http::AdmissionLayer::at_most(1000).per_connection(100);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn per_connection(self, most: usize) -> Self {
        assert!(most > 0, "a connection of which no handler may run is no use; let at least 1");
        Self { per_connection: Some(most), ..self }
    }

    /// So many may wait for a place, in the order in which they came; until they are
    /// stopped, because the client is gone or the time is over. Default: none.
    ///
    /// ```
    /// let _limit = desist_http::AdmissionLayer::at_most(1000).queue(200);
    /// ```
    #[must_use]
    pub fn queue(self, length: usize) -> Self {
        self.places.set_queue(length);
        self
    }

    /// How many run now.
    ///
    /// ```
    /// assert_eq!(desist_http::AdmissionLayer::at_most(1000).running(), 0);
    /// ```
    #[must_use]
    pub fn running(&self) -> usize {
        self.places.running()
    }

    /// How many wait now.
    ///
    /// ```
    /// assert_eq!(desist_http::AdmissionLayer::at_most(1000).queue(200).waiting(), 0);
    /// ```
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.places.waiting()
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = AdmissionService<S>;

    fn layer(&self, inner: S) -> AdmissionService<S> {
        AdmissionService::new(inner, self.per_connection, Arc::clone(&self.places))
    }
}

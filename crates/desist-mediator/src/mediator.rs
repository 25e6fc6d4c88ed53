//! Between those who ask and those who answer.

use std::any::TypeId;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};

use desist::Token;

use crate::envelope::Envelope;
use crate::publish::Audience;
use crate::table::Table;
use crate::{Call, Error, MediatorBuilder, Notification, Publishing, Request, Sending};

/// Gives each request to its handler, through the behaviours around it. A cheap handle, for
/// any number of threads; nothing in it is locked.
///
/// ```
/// use desist::{Reason, Source, Token};
/// use desist_mediator::{Mediator, Request, Timeout};
/// use std::time::Duration;
///
/// struct Report;
/// impl Request for Report {
///     type Response = String;
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mediator = Mediator::builder()
///     .behaviour(Timeout::new(Duration::from_secs(30)))
///     .handler(|stop: Token, Report| async move {
///         // Whatever takes time has the token.
///         Err(stop.cancelled().await)
///     })
///     .build()
///     .unwrap();
/// let client = Source::new();
/// let report = mediator.send(&client.token(), Report);
/// let leaves = async { client.cancel_with(Reason::Disconnected) };
/// let (report, _) = tokio::join!(report, leaves);
/// assert_eq!(report.unwrap_err().cancelled().unwrap().reason(), Reason::Disconnected);
/// # }
/// ```
#[derive(Clone)]
pub struct Mediator {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    /// A `Route` for every kind of request.
    pub(crate) routes: Table,
    /// An `Audience` for every kind of notification that somebody wants to know of.
    pub(crate) audiences: Table,
}

/// The way of one kind of request.
pub(crate) struct Route<R> {
    pub(crate) open: Box<dyn Fn(R) -> Pin<Box<dyn Envelope>> + Send + Sync>,
}

impl Inner {
    fn call<R: Request>(&self, token: &Token, request: R) -> Option<Call> {
        let route = self.routes.get(&TypeId::of::<R>())?.downcast_ref::<Route<R>>()?;
        Some(Call {
            envelope: (route.open)(request),
            token: token.clone(),
            name: R::name(),
            done: 0,
            #[cfg(feature = "tower")]
            layer: None,
        })
    }

    fn send<R: Request>(&self, token: &Token, request: R) -> Sending<R> {
        match self.call(token, request) {
            Some(call) => Sending::new(call),
            None => Sending::refused(Error::unhandled(R::name())),
        }
    }

    fn publish<N: Notification>(&self, token: &Token, notification: N) -> Publishing {
        let audience = self.audiences.get(&TypeId::of::<N>());
        match audience.and_then(|audience| audience.downcast_ref::<Audience<N>>()) {
            Some(audience) => audience.tell(token, notification),
            None => Publishing::to_nobody(),
        }
    }
}

impl Mediator {
    /// Makes one.
    pub fn builder() -> MediatorBuilder {
        MediatorBuilder::new()
    }

    /// Sends a request through the behaviours to its handler, which have this token, or
    /// narrower ones.
    ///
    /// Nothing happens until it is polled, and nobody begins when the token is cancelled by
    /// then. After that it is cooperative: a handler that does not look at its token is
    /// waited for, unless a behaviour ([`Timeout`](crate::Timeout)) bounds that.
    ///
    /// # Errors
    ///
    /// With what the handler, or a behaviour, failed; a cancellation is
    /// [told apart](Error::cancelled). That there is no handler, where none was
    /// [required](MediatorBuilder::requires).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it drops the handler where it stands.
    ///
    /// # Panics
    ///
    /// The future panics when the handler or a behaviour does, as if it were called.
    pub fn send<R: Request>(&self, token: &Token, request: R) -> Sending<R> {
        self.inner.send(token, request)
    }

    /// Tells all who want to know of it. That nobody does is no error.
    ///
    /// Nothing happens until it is polled.
    ///
    /// # Errors
    ///
    /// If one of them failed, or was not told because the token was cancelled before.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it drops the handlers that run, and tells no others.
    ///
    /// # Panics
    ///
    /// The future panics when a handler does, after it has told all the others, or asked them
    /// to stop where its [`Delivery`](crate::Delivery) is until an error. What others failed
    /// with is lost then.
    pub fn publish<N: Notification>(&self, token: &Token, notification: N) -> Publishing {
        self.inner.publish(token, notification)
    }

    /// Whether requests of this kind have a handler; to be sure of it at the start, there is
    /// [`requires`](MediatorBuilder::requires).
    ///
    /// ```
    /// use desist::Token;
    /// use desist_mediator::{Mediator, Request};
    ///
    /// struct Export;
    /// impl Request for Export {
    ///     type Response = ();
    /// }
    ///
    /// async fn export(stop: Token, _: Export) -> Result<(), desist::Cancelled> {
    ///     stop.check()
    /// }
    ///
    /// assert!(Mediator::builder().handler(export).build().unwrap().handles::<Export>());
    /// assert!(!Mediator::builder().build().unwrap().handles::<Export>());
    /// ```
    #[must_use]
    pub fn handles<R: Request>(&self) -> bool {
        self.inner.routes.contains_key(&TypeId::of::<R>())
    }

    /// A handle that does not keep it.
    ///
    /// ```
    /// let mediator = desist_mediator::Mediator::builder().build().unwrap();
    /// let weak = mediator.downgrade();
    /// assert!(weak.upgrade().is_some());
    /// drop(mediator);
    /// assert!(weak.upgrade().is_none());
    /// ```
    #[must_use]
    pub fn downgrade(&self) -> WeakMediator {
        let weak = WeakMediator::default();
        let _ = weak.inner.set(Arc::downgrade(&self.inner));
        weak
    }
}

impl fmt::Debug for Mediator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mediator")
            .field("requests", &self.inner.routes.len())
            .field("notifications", &self.inner.audiences.len())
            .finish_non_exhaustive()
    }
}

/// A mediator that may not be built yet, or be gone: what a handler keeps to send requests
/// in its turn, from [`MediatorBuilder::weak`].
///
/// ```
/// use desist::Token;
/// use desist_mediator::{Mediator, Request};
///
/// struct Ping;
/// impl Request for Ping {
///     type Response = ();
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let builder = Mediator::builder();
/// let weak = builder.weak();
/// assert!(weak.upgrade().is_none());
/// let error = weak.send(&Token::never(), Ping).await.unwrap_err();
/// assert!(error.to_string().contains("was sent to a mediator that is not built yet"));
/// # }
/// ```
#[derive(Clone, Default)]
pub struct WeakMediator {
    inner: Arc<OnceLock<Weak<Inner>>>,
}

impl WeakMediator {
    pub(crate) fn fill(&self, inner: Inner) -> Mediator {
        let inner = Arc::new(inner);
        let _ = self.inner.set(Arc::downgrade(&inner));
        Mediator { inner }
    }

    /// The mediator, if it is there.
    #[must_use]
    pub fn upgrade(&self) -> Option<Mediator> {
        Some(Mediator { inner: self.inner.get()?.upgrade()? })
    }

    /// [`Mediator::send`].
    ///
    /// # Errors
    ///
    /// Those of it, and if it is not built yet, or gone.
    pub fn send<R: Request>(&self, token: &Token, request: R) -> Sending<R> {
        match self.upgrade() {
            Some(mediator) => mediator.send(token, request),
            None => Sending::refused(Error::gone(R::name())),
        }
    }

    /// [`Mediator::publish`].
    ///
    /// # Errors
    ///
    /// Those of it, and if it is not built yet, or gone.
    pub fn publish<N: Notification>(&self, token: &Token, notification: N) -> Publishing {
        match self.upgrade() {
            Some(mediator) => mediator.publish(token, notification),
            None => Publishing::gone::<N>(),
        }
    }
}

impl fmt::Debug for WeakMediator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakMediator").field("mediator", &self.upgrade()).finish()
    }
}

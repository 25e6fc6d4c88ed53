//! Who handles what, and what is done around it.

use std::any::{Any, TypeId};
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;

use desist::Token;

use crate::behaviour::{Behaves, Step};
use crate::build_error::Problem;
use crate::envelope::{Entry, Envelope, Sealed};
use crate::mediator::{Inner, Route};
use crate::publish::{Audience, Listener, Listens};
use crate::table::{ByType, Table};
use crate::{
    Behaviour, BuildError, Delivery, Handler, Mediator, Notification, NotificationHandler, Request,
    WeakMediator,
};

type Place = &'static Location<'static>;

/// Makes a [`Mediator`]: handlers, behaviours and who is told of what, each added once.
/// Behaviours run in the order they were added, the first outermost, wherever handlers were
/// added between them.
///
/// ```
/// use desist::Token;
/// use desist_mediator::{Error, Mediator, Request};
///
/// struct Greet(&'static str);
/// impl Request for Greet {
///     type Response = String;
/// }
///
/// async fn greet(_stop: Token, Greet(name): Greet) -> Result<String, Error> {
///     Ok(format!("hello, {name}"))
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mediator = Mediator::builder().requires::<Greet>().handler(greet).build().unwrap();
/// assert_eq!(mediator.send(&Token::never(), Greet("world")).await.unwrap(), "hello, world");
/// # }
/// ```
#[must_use = "nothing handles anything until it is built"]
pub struct MediatorBuilder {
    handlers: ByType<Added>,
    /// In the order they were added.
    order: Vec<TypeId>,
    behaviours: Vec<Around>,
    required: Vec<(TypeId, &'static str, Place)>,
    audiences: ByType<(OfSomeType, Seat)>,
    delivery: Delivery,
    deliveries: ByType<Delivery>,
    problems: Vec<Problem>,
    weak: WeakMediator,
}

/// A handler that has been added.
struct Added {
    name: &'static str,
    place: Place,
    route: Box<dyn FnOnce(Steps) -> OfSomeType + Send + Sync>,
}

type OfSomeType = Box<dyn Any + Send + Sync>;

/// All that is around a handler, the outermost first.
type Steps = Vec<Arc<dyn Step>>;

fn route<R: Request, H: Handler<R>>(handler: H, steps: Steps) -> Route<R> {
    let entry = Arc::new(Entry { handler, steps });
    let open = move |request: R| -> Pin<Box<dyn Envelope>> {
        Box::pin(Sealed::new(
            request,
            Arc::clone(&entry),
            |entry, stop: Token, request: R| async move {
                entry.handler.handle(stop, request).await.map_err(Into::into)
            },
        ))
    };
    Route { open: Box::new(open) }
}

/// A behaviour that has been added, around all or one kind.
struct Around {
    kind: Option<(TypeId, &'static str)>,
    place: Place,
    step: Arc<dyn Step>,
}

/// Turns the listeners of a type into its audience.
type Seat = fn(OfSomeType, Delivery) -> Option<OfSomeType>;

fn seat<N: Notification>(listeners: OfSomeType, delivery: Delivery) -> Option<OfSomeType> {
    let listeners = listeners.downcast::<Vec<Arc<dyn Listener<N>>>>().ok()?;
    Some(Box::new(Audience { listeners: Arc::from(*listeners), delivery }))
}

impl MediatorBuilder {
    pub(crate) fn new() -> Self {
        Self {
            handlers: ByType::default(),
            order: Vec::new(),
            behaviours: Vec::new(),
            required: Vec::new(),
            audiences: ByType::default(),
            delivery: Delivery::default(),
            deliveries: ByType::default(),
            problems: Vec::new(),
            weak: WeakMediator::default(),
        }
    }

    /// The one handler of a kind of request.
    #[track_caller]
    pub fn handler<R: Request>(mut self, handler: impl Handler<R>) -> Self {
        let place = Location::caller();
        let key = TypeId::of::<R>();
        if let Some(first) = self.handlers.get(&key) {
            self.problems.push(Problem::two(first.name, first.place, place));
            return self;
        }
        let route = Box::new(|steps| Box::new(route::<R, _>(handler, steps)) as OfSomeType);
        self.handlers.insert(key, Added { name: R::name(), place, route });
        self.order.push(key);
        self
    }

    /// That requests of this kind will be sent: without a handler the mediator is not built.
    /// Said by whoever sends them, so that a missing handler is seen at the start.
    ///
    /// ```
    /// use desist_mediator::{Mediator, Request};
    ///
    /// struct Export;
    /// impl Request for Export {
    ///     type Response = ();
    ///     fn name() -> &'static str {
    ///         "export"
    ///     }
    /// }
    ///
    /// let error = Mediator::builder().requires::<Export>().build().unwrap_err();
    /// assert!(error.to_string().starts_with("`export` has no handler, and is required at "));
    /// ```
    #[track_caller]
    pub fn requires<R: Request>(mut self) -> Self {
        self.required.push((TypeId::of::<R>(), R::name(), Location::caller()));
        self
    }

    /// Around all requests.
    #[track_caller]
    pub fn behaviour(self, behaviour: impl Behaviour) -> Self {
        self.around(None, Location::caller(), Arc::new(Behaves(behaviour)))
    }

    /// Around requests of one kind.
    #[track_caller]
    pub fn behaviour_for<R: Request>(self, behaviour: impl Behaviour) -> Self {
        let kind = (TypeId::of::<R>(), R::name());
        self.around(Some(kind), Location::caller(), Arc::new(Behaves(behaviour)))
    }

    /// Around all requests, a layer of tower. Its one service has them all; what it keeps in
    /// common among its clones, a limit for instance, is common to all kinds. Whoever is
    /// cancelled before the layer has let the request through waits no longer.
    ///
    /// The service must be `Clone` and `Sync`. One that is no `Clone` needs tower's `Buffer`
    /// around it, as tower's own limit of a rate does:
    ///
    /// ```
    /// use desist_mediator::Mediator;
    /// use std::time::Duration;
    /// use tower::ServiceBuilder;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let ten_a_second = ServiceBuilder::new().buffer(100).rate_limit(10, Duration::from_secs(1));
    /// assert!(Mediator::builder().layer(ten_a_second).build().is_ok());
    /// # }
    /// ```
    ///
    /// A limit counts a request that a handler sends in its turn as well: a handler that holds
    /// the last place, and waits for another, waits for itself. Give such a limit to the kinds
    /// that send nothing, [`layer_for`](Self::layer_for), or a [`Timeout`](crate::Timeout)
    /// around it.
    #[cfg(feature = "tower")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
    #[track_caller]
    pub fn layer(
        self,
        layer: impl tower_layer::Layer<
            crate::Rest,
            Service: tower_service::Service<
                crate::Call,
                Response = crate::Answer,
                Error: Into<crate::BoxError>,
                Future: Send,
            > + Clone
                         + Send
                         + Sync
                         + 'static,
        >,
    ) -> Self {
        let service = layer.layer(crate::Rest::new());
        self.around(None, Location::caller(), Arc::new(crate::layer::Layered(service)))
    }

    /// Around requests of one kind, a layer of tower.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_mediator::{Mediator, Request};
    /// use std::time::Duration;
    /// use tower::timeout::TimeoutLayer;
    ///
    /// struct Slow;
    /// impl Request for Slow {
    ///     type Response = ();
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let mediator = Mediator::builder()
    ///     .layer_for::<Slow>(TimeoutLayer::new(Duration::from_millis(1)))
    ///     .handler(|stop: Token, Slow| async move { Err::<(), _>(stop.cancelled().await) })
    ///     .build()
    ///     .unwrap();
    /// let error = mediator.send(&Token::never(), Slow).await.unwrap_err();
    /// assert!(error.failure().unwrap().is::<tower::timeout::error::Elapsed>());
    /// # }
    /// ```
    #[cfg(feature = "tower")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
    #[track_caller]
    pub fn layer_for<R: Request>(
        self,
        layer: impl tower_layer::Layer<
            crate::Rest,
            Service: tower_service::Service<
                crate::Call,
                Response = crate::Answer,
                Error: Into<crate::BoxError>,
                Future: Send,
            > + Clone
                         + Send
                         + Sync
                         + 'static,
        >,
    ) -> Self {
        let kind = (TypeId::of::<R>(), R::name());
        let service = layer.layer(crate::Rest::new());
        self.around(Some(kind), Location::caller(), Arc::new(crate::layer::Layered(service)))
    }

    fn around(
        mut self,
        kind: Option<(TypeId, &'static str)>,
        place: Place,
        step: Arc<dyn Step>,
    ) -> Self {
        self.behaviours.push(Around { kind, place, step });
        self
    }

    /// One of those who are told when this has happened; they are told in the order they
    /// were added.
    #[track_caller]
    pub fn notification_handler<N: Notification>(
        mut self,
        handler: impl NotificationHandler<N>,
    ) -> Self {
        let listener: Arc<dyn Listener<N>> = Arc::new(Listens::new(handler, Location::caller()));
        let (listeners, _) = self
            .audiences
            .entry(TypeId::of::<N>())
            .or_insert_with(|| (Box::new(Vec::<Arc<dyn Listener<N>>>::new()), seat::<N>));
        if let Some(listeners) = listeners.downcast_mut::<Vec<Arc<dyn Listener<N>>>>() {
            listeners.push(listener);
        }
        self
    }

    /// How notifications are told to their handlers: one after another, and to all though
    /// some fail, unless said otherwise.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// How those of this kind are told.
    pub fn delivery_of<N: Notification>(mut self, delivery: Delivery) -> Self {
        self.deliveries.insert(TypeId::of::<N>(), delivery);
        self
    }

    /// The mediator that this will be, for handlers that send requests or publish in their
    /// turn. It does not keep the mediator, which keeps them.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_mediator::{Error, Mediator, Request};
    ///
    /// struct Double(u32);
    /// impl Request for Double {
    ///     type Response = u32;
    /// }
    /// struct Quadruple(u32);
    /// impl Request for Quadruple {
    ///     type Response = u32;
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let builder = Mediator::builder();
    /// let mediator = builder.weak();
    /// let twice = move |stop: Token, Quadruple(number): Quadruple| {
    ///     let mediator = mediator.clone();
    ///     async move {
    ///         let double = mediator.send(&stop, Double(number)).await?;
    ///         mediator.send(&stop, Double(double)).await
    ///     }
    /// };
    /// let mediator = builder
    ///     .handler(|_stop: Token, Double(number)| async move { Ok::<_, Error>(2 * number) })
    ///     .handler(twice)
    ///     .requires::<Double>()
    ///     .build()
    ///     .unwrap();
    /// assert_eq!(mediator.send(&Token::never(), Quadruple(5)).await.unwrap(), 20);
    /// # }
    /// ```
    #[must_use]
    pub fn weak(&self) -> WeakMediator {
        self.weak.clone()
    }

    /// The mediator.
    ///
    /// # Errors
    ///
    /// If a kind of request has two handlers, or is required and has none, or has a
    /// behaviour and no handler: all of these, with the places where they were added.
    pub fn build(mut self) -> Result<Mediator, BuildError> {
        for (key, name, place) in self.required {
            if !self.handlers.contains_key(&key) {
                self.problems.push(Problem::required(name, place));
            }
        }
        for Around { kind, place, .. } in &self.behaviours {
            match kind {
                Some((key, name)) if !self.handlers.contains_key(key) => {
                    self.problems.push(Problem::around_nobody(name, place));
                }
                _ => {}
            }
        }
        if !self.problems.is_empty() {
            return Err(BuildError::new(self.problems));
        }
        let mut routes = Table::default();
        for key in self.order {
            let steps = self.behaviours.iter();
            let steps = steps.filter(|around| around.kind.is_none_or(|(kind, _)| kind == key));
            let steps = steps.map(|around| Arc::clone(&around.step)).collect();
            if let Some(added) = self.handlers.remove(&key) {
                routes.insert(key, (added.route)(steps));
            }
        }
        let mut audiences = Table::default();
        for (key, (listeners, seat)) in self.audiences {
            let delivery = self.deliveries.get(&key).copied().unwrap_or(self.delivery);
            if let Some(audience) = seat(listeners, delivery) {
                audiences.insert(key, audience);
            }
        }
        Ok(self.weak.fill(Inner { routes, audiences }))
    }
}

impl fmt::Debug for MediatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.order.iter().filter_map(|key| Some(self.handlers.get(key)?.name));
        f.debug_struct("MediatorBuilder")
            .field("handlers", &names.collect::<Vec<_>>())
            .field("behaviours", &self.behaviours.len())
            .finish_non_exhaustive()
    }
}

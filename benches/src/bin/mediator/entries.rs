//! What is measured, and beside what.

use std::future::Future;
use std::hint::{black_box, spin_loop};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use desist::{Cancelled, Source, Token};
use desist_mediator::{
    BoxError, Call, Delivery, Mediator, MediatorBuilder, Notification, Request, Timeout, Validation,
};
use futures_util::future::join_all;
use tower::layer::util::Identity;
use tower::limit::ConcurrencyLimitLayer;
use tower::util::{BoxCloneSyncService, ServiceFn};
use tower::{Layer, Service, ServiceBuilder, ServiceExt as _, service_fn};

const LIMIT: usize = 1000;
const AN_HOUR: Duration = Duration::from_secs(3600);

struct Add(u64);

impl Request for Add {
    type Response = u64;
}

/// As little as can be: what is measured is the way here and back.
async fn add(stop: Token, Add(number): Add) -> Result<u64, Cancelled> {
    stop.check()?;
    Ok(black_box(number) + 1)
}

struct Added(u64);

impl Notification for Added {}

async fn note(stop: Token, added: Arc<Added>) -> Result<(), Cancelled> {
    stop.check()?;
    black_box(added.0);
    Ok(())
}

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

fn boxed() -> Box<dyn Fn(Token, Add) -> Boxed<u64> + Send + Sync> {
    Box::new(|stop, request| Box::pin(async { Ok(add(stop, request).await?) }))
}

fn spin() {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_micros(20) {
        spin_loop();
    }
}

fn mediator(builder: MediatorBuilder, handicap: Option<&str>) -> Mediator {
    let is_slow = handicap == Some("dispatch");
    let handler = move |stop: Token, request: Add| {
        if is_slow {
            spin();
        }
        add(stop, request)
    };
    builder.handler(handler).requires::<Add>().build().expect("there is a handler")
}

/// With so many that do nothing.
fn behaving(count: usize, handicap: Option<&str>) -> MediatorBuilder {
    let is_slow = handicap == Some("behaviour");
    (0..count).fold(Mediator::builder(), |builder, _| {
        builder.behaviour(move |call: Call| {
            if is_slow {
                spin();
            }
            call.proceed()
        })
    })
}

fn telling(delivery: Delivery) -> Mediator {
    let builder = Mediator::builder().delivery(delivery);
    let builder = (0..10).fold(builder, |builder, _| builder.notification_handler(note));
    builder.build().expect("nobody is asked for anything")
}

// What it is done with.

pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// The name of what it is compared with.
    pub(crate) beside: &'static str,
    /// So many times, on the thread that calls.
    pub(crate) run: Box<dyn Fn(u64) + Sync>,
    pub(crate) also_on_two: bool,
    /// On one thread, and on two.
    pub(crate) figures: [Vec<f64>; 2],
}

fn entry<Fut: Future>(
    name: &'static str,
    beside: &'static str,
    once: impl Fn(&Token, u64) -> Fut + Sync + 'static,
) -> Entry {
    let run = move |times| {
        // Each request has its own; what threads have in common here is who handles it.
        let source = Source::new();
        let token = source.token();
        for number in 0..times {
            let mut future = pin!(once(&token, black_box(number)));
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(answer) => drop(black_box(answer)),
                Poll::Pending => panic!("{name}: nothing here waits"),
            }
        }
    };
    Entry { name, beside, run: Box::new(run), also_on_two: false, figures: Default::default() }
}

impl Entry {
    fn also_on_two(mut self) -> Self {
        self.also_on_two = true;
        self
    }
}

fn sends(name: &'static str, beside: &'static str, mediator: Mediator) -> Entry {
    entry(name, beside, move |token, number| mediator.send(token, Add(number)))
}

fn stacked<L>(name: &'static str, stack: ServiceBuilder<L>) -> Entry
where
    L: Layer<Function>,
    L::Service:
        Service<(Token, Add), Response = u64, Error = Cancelled> + Clone + Send + Sync + 'static,
    <L::Service as Service<(Token, Add)>>::Future: Send,
{
    let add: Function = service_fn(|(stop, request)| Box::pin(add(stop, request)));
    let service = BoxCloneSyncService::new(stack.service(add));
    entry(name, BOXED, move |token, number| service.clone().oneshot((token.clone(), Add(number))))
}

type Adding = Pin<Box<dyn Future<Output = Result<u64, Cancelled>> + Send>>;
type Function = ServiceFn<fn((Token, Add)) -> Adding>;

const DIRECT: &str = "a call of the async fn";
pub(crate) const BOXED: &str = "a boxed call";
pub(crate) const NONE: &str = "mediator, no behaviour";
pub(crate) const TEN: &str = "mediator, 10 behaviours";
const BY_HAND: &str = "a child with a timeout, by hand";
const STACK: &str = "tower, no layer";
const LIMITED: &str = "tower, ConcurrencyLimit";
const IN_TURN: &str = "10 calls in turn";
const TOGETHER: &str = "10 calls together";

pub(crate) fn entries(handicap: Option<&str>) -> Vec<Entry> {
    let boxed = boxed();
    let of = |builder| mediator(builder, handicap);
    let one = of(behaving(1, handicap));
    let limit = ConcurrencyLimitLayer::new(LIMIT);
    let (in_turn, together) = (telling(Delivery::in_turn()), telling(Delivery::together()));
    vec![
        entry(DIRECT, BOXED, |token, number| add(token.clone(), Add(number))).also_on_two(),
        entry(BOXED, BOXED, move |token, number| boxed(token.clone(), Add(number))).also_on_two(),
        sends(NONE, BOXED, of(Mediator::builder())).also_on_two(),
        sends("mediator, 1 behaviour", BOXED, one),
        sends("mediator, 3 behaviours", BOXED, of(behaving(3, handicap))).also_on_two(),
        sends(TEN, BOXED, of(behaving(10, handicap))),
        sends("mediator, Validation", BOXED, of(Mediator::builder().behaviour(Validation))),
        entry(BY_HAND, BOXED, |token, number| {
            let source = token.child_with_timeout(AN_HOUR);
            async move { source.token().run(add(source.token(), Add(number))).await }
        }),
        sends(
            "mediator, Timeout",
            BY_HAND,
            of(Mediator::builder().behaviour(Timeout::new(AN_HOUR))),
        ),
        stacked(STACK, ServiceBuilder::new()),
        sends(
            "mediator, a layer of nothing",
            STACK,
            of(Mediator::builder().layer(Identity::new())),
        ),
        stacked(LIMITED, ServiceBuilder::new().layer(limit.clone())).also_on_two(),
        sends("mediator, ConcurrencyLimit", LIMITED, of(Mediator::builder().layer(limit)))
            .also_on_two(),
        entry(IN_TURN, IN_TURN, |token, number| {
            let (token, added) = (token.clone(), Arc::new(Added(number)));
            async move {
                for _ in 0..10 {
                    drop(black_box(note(token.clone(), Arc::clone(&added)).await));
                }
            }
        }),
        entry("publish to 10 in turn", IN_TURN, move |token, number| {
            in_turn.publish(token, Added(number))
        }),
        entry(TOGETHER, TOGETHER, |token, number| {
            let added = Arc::new(Added(number));
            join_all((0..10).map(|_| note(token.clone(), Arc::clone(&added))))
        }),
        entry("publish to 10 together", TOGETHER, move |token, number| {
            together.publish(token, Added(number))
        }),
    ]
}

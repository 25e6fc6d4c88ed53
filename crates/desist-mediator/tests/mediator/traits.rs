//! The auto traits of every public type.

use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};

use desist_mediator::{
    Answer, BuildError, Call, Delivery, Error, Failure, Invalid, Mediator, MediatorBuilder,
    Notification, Proceed, PublishError, Publishing, Request, Sending, Timeout, Validation,
    WeakMediator,
};

struct Nap;
impl Request for Nap {
    // As little as a response must be: it may be `!Sync`.
    type Response = std::cell::Cell<u8>;
}
impl Notification for Nap {}

fn send<T: Send>() {}
fn sync<T: Sync>() {}
fn unpin<T: Unpin>() {}
fn is_static<T: 'static>() {}
fn unwinds<T: UnwindSafe + RefUnwindSafe>() {}

/// It compiles, or a promise is broken.
#[test]
fn what_is_kept_may_go_to_any_thread() {
    macro_rules! each {
        ($($type:ty),* $(,)?) => {
            $( send::<$type>(); sync::<$type>(); unpin::<$type>(); is_static::<$type>(); )*
        };
    }
    each!(
        Mediator,
        WeakMediator,
        MediatorBuilder,
        BuildError,
        Error,
        PublishError,
        Failure,
        Invalid,
        Delivery,
        Timeout,
        Validation,
    );
    #[cfg(feature = "tower")]
    each!(desist_mediator::Rest);
    #[cfg(feature = "tracing")]
    each!(desist_mediator::Tracing);
    // What is on its way has one place at a time.
    macro_rules! each {
        ($($type:ty),* $(,)?) => { $( send::<$type>(); unpin::<$type>(); is_static::<$type>(); )* };
    }
    each!(Call, Answer, Proceed, Sending<Nap>, Publishing);
    unwinds::<BuildError>();
    unwinds::<Invalid>();
    unwinds::<Delivery>();
    unwinds::<Timeout>();
}

#[test]
fn what_sends_and_publishes_may_be_spawned() {
    fn spawnable<F: Future + Send + 'static>(_: F) {}
    let mediator = Mediator::builder().build().unwrap();
    let token = desist::Token::never();
    spawnable(mediator.send(&token, Nap));
    spawnable(mediator.publish(&token, Nap));
    spawnable(mediator.downgrade().send(&token, Nap));
    spawnable(mediator.downgrade().publish(&token, Nap));
}

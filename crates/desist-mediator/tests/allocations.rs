//! How often a request asks for memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Ready;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use desist::{Cancelled, Source, Token};
use desist_mediator::{Call, Delivery, Mediator, MediatorBuilder, Notification, Request};

thread_local! {
    /// How often this thread has asked for memory.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// The allocator of the system, with a counter.
struct Counting;

fn count() {
    // A thread that is ending has no counter any more, and nobody asks it.
    let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
}

// SAFETY: every call is handed on to the allocator of the system as it is; counting neither
// allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

/// How often this thread asks for memory until the future is ready, which is at once.
fn allocations<F: Future>(future: impl FnOnce() -> F) -> (usize, F::Output) {
    let before = ASKED.get();
    let mut future = pin!(future());
    let output = match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it is not ready at once"),
    };
    (ASKED.get() - before, output)
}

struct Add(u64);
impl Request for Add {
    type Response = u64;
}

fn add(_stop: Token, Add(number): Add) -> Ready<Result<u64, Cancelled>> {
    ready(Ok(number + 1))
}

fn with(behaviours: usize, add_one: fn(MediatorBuilder) -> MediatorBuilder) -> Mediator {
    let builder = (0..behaviours).fold(Mediator::builder(), |builder, _| add_one(builder));
    builder.handler(add).build().unwrap()
}

#[test]
fn a_request_takes_one_and_one_for_each_behaviour() {
    let source = Source::new();
    let token = source.token();
    let passes: fn(MediatorBuilder) -> _ = |builder| builder.behaviour(|call: Call| call.proceed());
    for behaviours in [0, 1, 2, 5] {
        let mediator = with(behaviours, passes);
        // The first is as good as any other.
        for _ in 0..3 {
            let (taken, sum) = allocations(|| mediator.send(&token, Add(1)));
            assert_eq!((taken, sum.unwrap()), (1 + behaviours, 2), "{behaviours} behaviours");
        }
        let weak = mediator.downgrade();
        let (taken, _) = allocations(|| weak.send(&token, Add(1)));
        assert_eq!(taken, 1 + behaviours, "{behaviours} behaviours, from a weak one");
    }
}

#[test]
fn an_async_handler_lies_in_the_same_one() {
    async fn add(stop: Token, Add(number): Add) -> Result<u64, Cancelled> {
        let large = [number; 1000];
        stop.check()?;
        ready(()).await;
        Ok(large[999] + 1)
    }
    let mediator = Mediator::builder().handler(add).build().unwrap();
    let (taken, sum) = allocations(|| mediator.send(&Token::never(), Add(1)));
    assert_eq!((taken, sum.unwrap()), (1, 2));
}

#[test]
fn a_child_is_one_more() {
    let source = Source::new();
    let token = source.token();
    let narrows: fn(MediatorBuilder) -> _ = |builder| {
        builder.behaviour(|mut call: Call| {
            call.narrow();
            call.proceed()
        })
    };
    for behaviours in [1, 2, 5] {
        let mediator = with(behaviours, narrows);
        let (taken, _) = allocations(|| mediator.send(&token, Add(1)));
        assert_eq!(taken, 1 + 2 * behaviours, "{behaviours} behaviours");
    }
}

#[test]
fn what_reaches_nobody_takes_none_but_for_why() {
    struct Unknown;
    impl Request for Unknown {
        type Response = ();
    }
    impl Notification for Unknown {}
    let mediator = Mediator::builder().build().unwrap();
    let (taken, end) = allocations(|| mediator.send(&Token::never(), Unknown));
    assert!(end.unwrap_err().is_unhandled());
    assert_eq!(taken, 0);
    let (taken, end) = allocations(|| mediator.publish(&Token::never(), Unknown));
    assert!(end.is_ok());
    assert_eq!(taken, 0);
}

/// The notification and the future of it, and one for each who is told; together, those and
/// what they are kept in.
#[test]
fn a_notification_takes_two_and_one_for_each_who_is_told() {
    struct Sold;
    impl Notification for Sold {}
    for handlers in [1, 2, 5] {
        for (delivery, extra) in [(Delivery::in_turn(), 0), (Delivery::together(), 2)] {
            let mut builder = Mediator::builder().delivery(delivery);
            for _ in 0..handlers {
                builder = builder
                    .notification_handler(|_: Token, _: Arc<Sold>| ready(Ok::<_, Cancelled>(())));
            }
            let mediator = builder.build().unwrap();
            let (taken, end) = allocations(|| mediator.publish(&Token::never(), Sold));
            assert!(end.is_ok());
            assert_eq!(taken, 2 + handlers + extra, "{handlers} handlers, {delivery:?}");
        }
    }
}

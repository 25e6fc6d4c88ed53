//! Wakers: counting ones, and hostile ones with a hook at clone, wake and drop.

use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Wake, Waker};
use std::thread::{self, Thread};

pub(crate) use super::watching::{Wakes, counting};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker that ends `thread::park` of the thread that asked for it.
pub(crate) fn unpark_this_thread() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// A waker that calls a closure each time it is woken.
pub(crate) fn on_wake(hook: impl Fn() + Send + Sync + 'static) -> Waker {
    hooked(move |event| {
        if event == Event::Wake {
            hook();
        }
    })
}

/// What is done to a waker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Clone,
    Wake,
    Drop,
}

type Hook = Box<dyn Fn(Event) + Send + Sync>;

/// A waker that tells a closure of everything that is done to it. The hook may panic.
pub(crate) fn hooked(hook: impl Fn(Event) + Send + Sync + 'static) -> Waker {
    let hook: Arc<Hook> = Arc::new(Box::new(hook));
    // SAFETY: the table keeps the contract of `RawWaker`: the data is one strong count of an
    // `Arc<Hook>`, the hook is `Send + Sync`, and each function gives or takes exactly one count.
    unsafe { Waker::from_raw(RawWaker::new(Arc::into_raw(hook).cast(), &TABLE)) }
}

static TABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        let hook = data.cast::<Hook>();
        // SAFETY: the caller holds a count, so the hook lives during the call.
        unsafe { (*hook)(Event::Clone) };
        // SAFETY: made by `Arc::into_raw`; this count is the one of the new waker.
        unsafe { Arc::increment_strong_count(hook) };
        RawWaker::new(data, &TABLE)
    },
    |data| {
        // SAFETY: takes over the count of the waker that is consumed.
        let hook = unsafe { Arc::from_raw(data.cast::<Hook>()) };
        hook(Event::Wake);
    },
    |data| {
        // SAFETY: the caller holds a count, so the hook lives during the call.
        unsafe { (*data.cast::<Hook>())(Event::Wake) };
    },
    |data| {
        // SAFETY: takes over the count of the waker that is dropped.
        let hook = unsafe { Arc::from_raw(data.cast::<Hook>()) };
        hook(Event::Drop);
    },
);

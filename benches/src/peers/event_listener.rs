//! A flag and an event, as one would write it by hand: with the listener in
//! the future itself, or boxed.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use ::event_listener::{Event, listener};

use super::{HasWait, Peer};

pub(crate) struct FlagAndEvent {
    flag: AtomicBool,
    event: Event,
}

impl FlagAndEvent {
    fn create() -> (Arc<Self>, Arc<Self>) {
        let source = Arc::new(Self { flag: AtomicBool::new(false), event: Event::new() });
        let token = source.clone();
        (source, token)
    }

    fn is_set(&self) -> bool {
        self.flag.load(Acquire)
    }

    fn set(&self) {
        self.flag.store(true, Release);
        self.event.notify(usize::MAX);
    }

    async fn wait_on_stack(&self) {
        while !self.is_set() {
            listener!(self.event => listener);
            if self.is_set() {
                return;
            }
            listener.await;
        }
    }

    async fn wait_on_heap(&self) {
        while !self.is_set() {
            let listener = self.event.listen();
            if self.is_set() {
                return;
            }
            listener.await;
        }
    }
}

pub(crate) struct EventListenerOnStack;

impl Peer for EventListenerOnStack {
    const NAME: &'static str = "event-listener on stack + flag";
    type Source = Arc<FlagAndEvent>;
    type Token = Arc<FlagAndEvent>;

    #[inline]
    fn create() -> (Self::Source, Self::Token) {
        FlagAndEvent::create()
    }

    #[inline]
    fn is_cancelled(token: &Self::Token) -> bool {
        token.is_set()
    }

    fn cancel(source: Self::Source) {
        source.set();
    }
}

impl HasWait for EventListenerOnStack {
    #[inline]
    fn wait(token: &Self::Token) -> impl Future + Send + '_ {
        token.wait_on_stack()
    }

    fn wait_owned(token: Self::Token) -> impl Future + Send + 'static {
        async move { token.wait_on_stack().await }
    }
}

pub(crate) struct EventListenerOnHeap;

impl Peer for EventListenerOnHeap {
    const NAME: &'static str = "event-listener on heap + flag";
    type Source = Arc<FlagAndEvent>;
    type Token = Arc<FlagAndEvent>;

    #[inline]
    fn create() -> (Self::Source, Self::Token) {
        FlagAndEvent::create()
    }

    #[inline]
    fn is_cancelled(token: &Self::Token) -> bool {
        token.is_set()
    }

    fn cancel(source: Self::Source) {
        source.set();
    }
}

impl HasWait for EventListenerOnHeap {
    #[inline]
    fn wait(token: &Self::Token) -> impl Future + Send + '_ {
        token.wait_on_heap()
    }

    fn wait_owned(token: Self::Token) -> impl Future + Send + 'static {
        async move { token.wait_on_heap().await }
    }
}

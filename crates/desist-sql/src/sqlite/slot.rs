//! One value on its way from a thread to a future.

use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use super::lock;

pub(super) struct Slot<T>(Mutex<Content<T>>);

struct Content<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

impl<T> Slot<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Content { value: None, waker: None }))
    }

    pub(super) fn put(&self, value: T) {
        let waker = {
            let mut content = lock(&self.0);
            content.value = Some(value);
            content.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Has whoever waits look again.
    pub(super) fn wake(&self) {
        let waker = lock(&self.0).waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whoever finds nothing is woken by what comes after.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<T> {
        // Wakers are foreign code: cloned before the lock is taken, dropped after it.
        let waker = cx.waker().clone();
        let (value, _before) = {
            let mut content = lock(&self.0);
            match content.value.take() {
                Some(value) => (Some(value), None),
                None => (None, content.waker.replace(waker)),
            }
        };
        value.map_or(Poll::Pending, Poll::Ready)
    }
}

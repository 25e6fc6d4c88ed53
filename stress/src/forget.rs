//! Futures that are forgotten while they wait. Each costs a number of bytes
//! that is measured once, so that the heap check knows what to expect.

use std::future::Future;
use std::mem;
use std::task::{Context, Waker};

use desist::{Source, Token};

use crate::heap;
use crate::report::ensure;
use crate::tally::{FORGOTTEN, FORGOTTEN_BYTES};

/// What each way to forget costs.
pub(crate) struct Costs([u64; WAYS.len()]);

const WAYS: [fn(); 3] = [on_a_live_signal, before_the_cancel, below_another_signal];

impl Costs {
    /// To be called while no other thread allocates.
    pub(crate) fn measure() -> Self {
        Self(WAYS.map(|way| {
            let before = heap::live();
            way();
            let cost = heap::live() - before;
            ensure!(cost > 0, "a forgotten future costs nothing");
            cost as u64
        }))
    }

    pub(crate) fn forget_one(&self, number: usize) {
        let way = number % WAYS.len();
        FORGOTTEN.add();
        FORGOTTEN_BYTES.add_many(self.0[way]);
        WAYS[way]();
    }
}

fn forget_a_wait(token: Token) {
    let mut wait = Box::pin(token.cancelled_owned());
    let polled = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    ensure!(polled.is_pending(), "a fresh signal is cancelled");
    mem::forget(wait);
}

fn on_a_live_signal() {
    forget_a_wait(Source::new().token());
}

fn before_the_cancel() {
    let source = Source::new();
    forget_a_wait(source.token());
    source.cancel();
}

fn below_another_signal() {
    let parent = Source::new();
    let child = parent.child();
    forget_a_wait(child.token());
    drop(child);
    parent.cancel();
}

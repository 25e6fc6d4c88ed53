//! The threads of a pool, as long as there are some.

use std::future::poll_fn;
use std::sync::{Condvar, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::lock;

#[derive(Default)]
pub(super) struct Crew {
    state: Mutex<State>,
    /// For the writer, who closes its connection last.
    readers_gone: Condvar,
}

#[derive(Default)]
struct State {
    readers: usize,
    all: usize,
    wakers: Vec<Waker>,
}

impl Crew {
    pub(super) fn joins(&self, is_writer: bool) {
        let mut state = lock(&self.state);
        state.all += 1;
        state.readers += usize::from(!is_writer);
    }

    pub(super) fn leaves(&self, is_writer: bool) {
        let wakers = {
            let mut state = lock(&self.state);
            state.all -= 1;
            state.readers -= usize::from(!is_writer);
            if state.readers == 0 {
                self.readers_gone.notify_all();
            }
            if state.all > 0 {
                return;
            }
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn wait_for_readers(&self) {
        let mut state = lock(&self.state);
        while state.readers > 0 {
            state = self.readers_gone.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// When the last has left.
    pub(super) async fn gone(&self) {
        poll_fn(|cx| {
            let waker = cx.waker().clone();
            let mut state = lock(&self.state);
            if state.all == 0 {
                return Poll::Ready(());
            }
            if !state.wakers.iter().any(|known| known.will_wake(&waker)) {
                state.wakers.push(waker);
            }
            Poll::Pending
        })
        .await;
    }
}

//! Those that wait, of whatever kind, and their wakers.

use std::future::pending;
use std::hint::spin_loop;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, Wake};
use std::time::Duration;

use desist::{Token, WhenCancelled};

use super::{Mine, Shared, pick};
use crate::common::{Count, Wakes, counting, lock, poll_once, poll_with};

pub(super) type Wait = Pin<Box<WhenCancelled<'static>>>;

pub(super) struct Waiter {
    pub(super) on: usize,
    /// Of the first waker and of the one that may have taken its place.
    wakes: [Arc<Wakes>; 2],
    replaced: bool,
    gone: bool,
}

impl Waiter {
    pub(super) fn is_over(&self) -> bool {
        self.gone || self.wakes.iter().any(|wakes| wakes.get() > 0)
    }

    pub(super) fn check_end(&self) {
        let [first, second] = self.wakes.each_ref().map(|wakes| wakes.get());
        assert!(first <= 1 && second <= 1, "woken at most once: {first}, {second}");
        let last = if self.replaced { second } else { first };
        assert!(last == 1 || self.gone, "the last waker is woken");
    }
}

/// A waker that works on the signal it is woken for.
struct CallsBack(Token, Count);

impl Wake for CallsBack {
    fn wake(self: Arc<Self>) {
        // Counted, for what a waker says may be heard by nobody.
        if !self.0.is_cancelled() || !self.0.child().is_cancelled() {
            self.1.add();
        }
    }
}

impl Shared {
    pub(super) fn wait(&self, mine: &mut Mine, number: u8) {
        let known = mine.known(number);
        let ((first, waker), (second, _)) = (counting(), counting());
        let mut wait = Box::pin(known.node.token.clone().cancelled_owned());
        if poll_with(wait.as_mut(), &waker).is_pending() {
            let wakes = [first, second];
            let waiter = Waiter { on: known.on, wakes, replaced: false, gone: false };
            let mut waiters = lock(&self.waiters);
            waiters.push(waiter);
            mine.waits.push((wait, waiters.len() - 1));
        }
    }

    /// The other waker takes the place of the first.
    pub(super) fn replace(&self, mine: &mut Mine, number: u8) {
        let Some(place) = pick(&mine.waits, number) else { return };
        let (wait, index) = &mut mine.waits[place];
        let mut waiters = lock(&self.waiters);
        let second = Arc::clone(&waiters[*index].wakes[1]);
        // If it is ready it may have gone before it was woken.
        waiters[*index].gone = true;
        drop(waiters);
        if poll_with(wait.as_mut(), &second.into()).is_pending() {
            let waiter = &mut lock(&self.waiters)[*index];
            (waiter.gone, waiter.replaced) = (false, true);
        }
    }

    pub(super) fn drop_wait(&self, mine: &mut Mine, number: u8) {
        let Some(place) = pick(&mine.waits, number) else { return };
        let (wait, index) = mine.waits.swap_remove(place);
        lock(&self.waiters)[index].gone = true;
        drop(wait);
    }

    pub(super) fn wait_calling_back(&self, mine: &mut Mine, number: u8) {
        let token = mine.known(number).node.token.clone();
        let mut wait = Box::pin(token.clone().cancelled_owned());
        let waker = Arc::new(CallsBack(token, self.faults.clone())).into();
        if poll_with(wait.as_mut(), &waker).is_pending() {
            mine.calling.push(wait);
        }
    }

    /// A run that is given up, after a poll and a moment in which it may be woken.
    pub(super) fn run_briefly(&self, mine: &Mine, number: u8, spins: u8) {
        let token = &mine.known(number).node.token;
        let mut run = pin!(token.run(pending::<()>()));
        let waker = Arc::new(Wakes::default()).into();
        let before = token.is_cancelled();
        let first = poll_with(run.as_mut(), &waker);
        assert!(!before || first.is_ready(), "it waits although cancelled");
        if let Poll::Ready(result) = first {
            assert!(result.is_err() && token.is_cancelled(), "nothing else ends it");
            return;
        }
        (0..u32::from(spins)).for_each(|_| spin_loop());
        let cancelled = token.is_cancelled();
        assert!(poll_once(run).is_ready() || !cancelled, "it waits although cancelled");
    }

    /// Nobody may be there to move the clock: it waits for what has come, or for no time at all.
    pub(super) fn block_briefly(&self, mine: &Mine, number: u8, millis: u8) {
        let token = &mine.known(number).node.token;
        if token.is_cancelled() {
            let cause = token.blocking_wait_timeout(Duration::from_millis(millis.into()));
            assert!(cause.is_some(), "it is cancelled, and it is said that time ran out");
            return;
        }
        let cause = token.blocking_wait_timeout(Duration::ZERO);
        assert!(cause.is_none() || token.is_cancelled(), "woken by a signal that is live");
    }
}

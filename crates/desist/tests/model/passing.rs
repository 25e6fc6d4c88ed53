//! What a thread does with signals that are not in the table: they are freed while others work.

use std::future::pending;
use std::hint::spin_loop;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake};

use desist::{Registration, Token};

use super::{Mine, Shared};
use crate::common::{Captured, Count, Wakes, lock, poll_once, poll_with};

/// A waker that works on the signal it is woken for.
struct CallsBack(Token);

impl Wake for CallsBack {
    fn wake(self: Arc<Self>) {
        assert!(self.0.is_cancelled(), "woken by a signal that is live");
        assert!(self.0.child().is_cancelled(), "live below a cancelled signal");
    }
}

impl Shared {
    /// One handle of a child goes to whoever comes next, the other stays for a while: which thread
    /// frees it, nobody knows.
    pub(super) fn hand_on(&self, mine: &mut Mine, number: u8) {
        let (parent, _) = self.token(number);
        let token = parent.child().token();
        let (called, captured) = (Count::new(), Captured::new());
        let (calls, handle) = (called.clone(), captured.handle());
        let registration = token.on_cancel(move |_| {
            let _handle = handle;
            calls.add();
        });
        registration.detach();
        lock(&self.forgotten).push((called, captured));
        let received = lock(&self.handed).replace(token.clone());
        drop(received);
        let kept = mine.kept.replace(token);
        drop(kept);
    }

    /// A run that is given up, after a poll and a moment in which it may be woken.
    pub(super) fn run_briefly(&self, number: u8, spins: u8) {
        let (token, _) = self.token(number);
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

    pub(super) fn wait_calling_back(&self, mine: &mut Mine, number: u8) {
        let (token, _) = self.token(number);
        let mut wait = Box::pin(token.clone().cancelled_owned());
        let waker = Arc::new(CallsBack(token)).into();
        if poll_with(wait.as_mut(), &waker).is_pending() {
            mine.calling.push(wait);
        }
    }
}

/// As a future: driven to its end, or given up if it has to wait. True if it was prevented.
pub(super) fn take_back_awaited(registration: Registration, give_up: bool) -> bool {
    let mut unregistered = pin!(registration.unregistered());
    loop {
        match poll_once(unregistered.as_mut()) {
            Poll::Ready(prevented) => return prevented,
            // It waits only for a callback that runs: that one was not prevented.
            Poll::Pending if give_up => return false,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

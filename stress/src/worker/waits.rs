//! Futures that wait and threads that block, with good wakers and bad ones.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use desist::testing::{HostileWaker, every_checkpoint};
use desist::{FutureExt, Token};

use super::Worker;
use crate::action::Once;
use crate::books::{ClockKind, Counted, Hold, Inner, Wait};
use crate::panics::{guarded, inject};
use crate::report::ensure;
use crate::tally::{FORGOTTEN, THREADS, WAKES};

/// Above this, waits are dropped before new ones come.
const HELD: usize = 300;
/// How many threads of its own a worker may have that block.
const BLOCKED: usize = 3;

impl Worker {
    /// A waker: counting, or hostile as well. It is for this signal, which may
    /// be 0: for something else.
    pub(super) fn counted(&mut self, certain: bool, signal: u64) -> Counted {
        if !self.random.one_in(3) {
            return Counted::Plain(Arc::default());
        }
        let mut hostile = HostileWaker::new();
        if self.random.one_in(2) {
            let action = Once::new(self.action(certain, None));
            let below = if certain { self.below(signal) } else { Vec::new() };
            hostile = hostile.on_wake(move || {
                WAKES.add();
                ensure!(below.iter().all(Token::is_cancelled), "live below when a waker runs");
                action.run();
            });
        }
        if self.random.one_in(4) {
            let action = Once::new(self.action(certain, None));
            hostile = hostile.on_clone(move || action.run());
        }
        if self.random.one_in(4) {
            let action = Once::new(self.action(certain, None));
            hostile = hostile.on_drop(move || action.run());
        }
        Counted::Hostile(hostile)
    }

    pub(super) fn keep_wait(&mut self, wait: Wait) {
        if self.held.waits.len() >= HELD {
            self.drop_wait();
        }
        self.held.waits.push(wait);
    }

    pub(super) fn wait(&mut self) -> bool {
        let at = self.any_signal();
        let (token, signal, certain) = {
            let signal = &self.held.signals[at];
            (signal.token.clone(), signal.id, signal.certain)
        };
        let on = self.random.one_in(2).then(|| token.clone());
        let hold = Hold::Cancelled(Box::pin(token.cancelled_owned()));
        self.first_poll(Wait::new(hold, on, signal), certain);
        true
    }

    pub(super) fn run_future(&mut self) -> bool {
        let at = self.any_signal();
        let signal = &self.held.signals[at];
        let (token, id, certain) = (signal.token.clone(), signal.id, signal.certain);
        let ready = Arc::new(AtomicBool::new(self.random.one_in(4)));
        let value = self.random.next();
        let inner = Inner { ready: Arc::clone(&ready), value };
        let run = Box::pin(token.clone().run_owned(inner));
        self.first_poll(Wait::new(Hold::Run(run, ready, value), Some(token), id), certain);
        true
    }

    fn first_poll(&mut self, mut wait: Wait, certain: bool) {
        let counted = self.counted(certain, wait.signal);
        wait.poll(counted);
        if wait.is_ready() {
            wait.give_up();
        } else {
            self.keep_wait(wait);
        }
    }

    /// Polls one that waits, mostly with another waker.
    pub(super) fn poll_again(&mut self) -> bool {
        if self.held.waits.is_empty() {
            return false;
        }
        let at = self.random.below(self.held.waits.len());
        let counted = self.counted(false, 0);
        let wait = &mut self.held.waits[at];
        if self.random.one_in(3) {
            wait.tell();
        }
        let pending = wait.is_pending();
        wait.poll(counted);
        if wait.is_ready() {
            self.held.waits.swap_remove(at).give_up();
        }
        pending
    }

    pub(super) fn drop_wait(&mut self) -> bool {
        if self.held.waits.is_empty() {
            return false;
        }
        let at = self.random.below(self.held.waits.len());
        let wait = self.held.waits.swap_remove(at);
        let pending = wait.is_pending();
        wait.give_up();
        pending
    }

    /// A wait on the stack, that borrows its token.
    pub(super) fn borrowed_wait(&mut self) -> bool {
        let at = self.any_signal();
        let token = self.held.signals[at].token.clone();
        let mut cx = Context::from_waker(Waker::noop());
        let mut wait = pin!(token.cancelled());
        let first = wait.as_mut().poll(&mut cx).is_ready();
        let second = wait.as_mut().poll(&mut cx).is_ready();
        ensure!(!first || second, "ready, then pending");
        let mut run = pin!(std::future::ready(1).or_cancelled(&token));
        let said = run.as_mut().poll(&mut cx);
        ensure!(said.is_ready(), "a future that is ready is pending under run");
        true
    }

    pub(super) fn wait_with_timeout(&mut self) -> bool {
        let at = self.any_signal();
        let signal = &self.held.signals[at];
        // Time that the threads move would wait for this very thread.
        if signal.clock != ClockKind::System {
            return false;
        }
        let token = signal.token.clone();
        let timeout = Duration::from_micros(self.random.below(1_500) as u64);
        let since = Instant::now();
        let waited = if self.random.one_in(2) {
            token.blocking_wait_timeout(timeout)
        } else {
            token.blocking_sleep(timeout).err()
        };
        match waited {
            Some(_) => ensure!(token.is_cancelled(), "woken although live"),
            None => ensure!(since.elapsed() >= timeout, "a sleep ended early"),
        }
        true
    }

    /// A thread that blocks until the stop, and may be the last to hold it.
    pub(super) fn wait_on_a_thread(&mut self) -> bool {
        for thread in self.held.threads.extract_if(.., |thread| thread.is_finished()) {
            ensure!(thread.join().is_ok(), "a thread that waited panicked");
        }
        if self.held.threads.len() >= BLOCKED {
            return false;
        }
        let at = self.certain_signal();
        let signal = &self.held.signals[at];
        if !signal.certain {
            return false;
        }
        let (token, clock) = (signal.token.clone(), signal.clock);
        let bounded = clock == ClockKind::System && self.random.one_in(3);
        let work = move || {
            if bounded {
                let _ = token.blocking_wait_timeout(Duration::from_millis(3));
                let _ = guarded(|| drop(token));
            } else {
                let cancelled = token.blocking_wait();
                ensure!(token.reason() == Some(cancelled.reason()), "woken with another reason");
                let _ = guarded(|| drop((token, cancelled)));
            }
        };
        let Ok(thread) = thread::Builder::new().name("blocked".into()).spawn(work) else {
            return false;
        };
        THREADS.add();
        self.held.threads.push(thread);
        true
    }

    /// A future that is forgotten: the first that is drawn, then a few.
    pub(super) fn forget(&mut self) -> bool {
        let Some(costs) = &self.world.costs else { return false };
        if FORGOTTEN.get() > 0 && !self.random.one_in(10) {
            return false;
        }
        costs.forget_one(self.random.below(3));
        true
    }

    pub(super) fn checkpoints(&mut self) -> bool {
        let checkpoints = every_checkpoint(|token: Token| {
            let child = token.child();
            (0..3).try_for_each(|_| child.token().check())
        });
        ensure!(checkpoints == 3, "three checks are {checkpoints} checkpoints");
        true
    }

    /// A scope that ends in a panic cancels by its guard.
    pub(super) fn guard_in_a_panic(&mut self) -> bool {
        let at = self.any_signal();
        let child = self.held.signals[at].token.child();
        let token = child.token();
        let was_live = !token.is_cancelled();
        let ended = guarded(move || {
            let _guard = child.into_guard();
            inject();
        });
        ensure!(ended.is_some() || token.is_cancelled(), "a guard did not cancel in a panic");
        ended.is_none() && was_live
    }
}

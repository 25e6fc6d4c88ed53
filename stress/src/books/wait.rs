//! One future that waits: woken if its signal is cancelled, and ready then.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::task::{Context, Poll, Wake, Waker};

use desist::testing::HostileWaker;
use desist::{Cancelled, Run, Token, Unregistered, WhenCancelled};

use super::CallbackBook;
use crate::panics::guarded;
use crate::report::ensure;
use crate::tally::WAKES;

/// A waker that counts, and does nothing else.
#[derive(Default)]
pub(crate) struct WakeCount(AtomicU32);

impl Wake for WakeCount {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        WAKES.add();
        self.0.fetch_add(1, Relaxed);
    }
}

/// Whose wakes count.
#[derive(Clone)]
pub(crate) enum Counted {
    Plain(Arc<WakeCount>),
    Hostile(HostileWaker),
}

impl Counted {
    fn waker(&self) -> Waker {
        match self {
            Self::Plain(count) => Waker::from(Arc::clone(count)),
            Self::Hostile(hostile) => hostile.waker(),
        }
    }

    fn wakes(&self) -> usize {
        match self {
            Self::Plain(count) => count.0.load(Relaxed) as usize,
            Self::Hostile(hostile) => hostile.wakes(),
        }
    }
}

/// The inner future of a `run`: pending until it is told otherwise.
pub(crate) struct Inner {
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) value: u64,
}

impl Future for Inner {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<u64> {
        if self.ready.load(Relaxed) { Poll::Ready(self.value) } else { Poll::Pending }
    }
}

/// The futures that can be held.
pub(crate) enum Hold {
    Cancelled(Pin<Box<WhenCancelled<'static>>>),
    Run(Pin<Box<Run<'static, Inner>>>, Arc<AtomicBool>, u64),
    Unregistered(Pin<Box<Unregistered>>, Arc<CallbackBook>),
}

/// What a poll said.
enum Said {
    Pending,
    Cancelled(Cancelled),
    Value(u64),
    TakenBack(bool),
}

impl Hold {
    fn poll(&mut self, cx: &mut Context<'_>) -> Said {
        match self {
            Self::Cancelled(future) => match future.as_mut().poll(cx) {
                Poll::Pending => Said::Pending,
                Poll::Ready(cancelled) => Said::Cancelled(cancelled),
            },
            Self::Run(future, ..) => match future.as_mut().poll(cx) {
                Poll::Pending => Said::Pending,
                Poll::Ready(Ok(value)) => Said::Value(value),
                Poll::Ready(Err(cancelled)) => Said::Cancelled(cancelled),
            },
            Self::Unregistered(future, _) => match future.as_mut().poll(cx) {
                Poll::Pending => Said::Pending,
                Poll::Ready(prevented) => Said::TakenBack(prevented),
            },
        }
    }
}

/// How far a future is known to be.
enum State {
    Fresh,
    /// Pending since a poll with this waker, which was woken so often before.
    Pending(Counted, usize),
    /// A waker panicked in a poll.
    Unsure,
    Ready,
}

/// A future that waits, as one thread holds it.
pub(crate) struct Wait {
    hold: Hold,
    /// The signal it waits for, and its number; `None` if nothing is kept.
    pub(crate) on: Option<Token>,
    pub(crate) signal: u64,
    state: State,
}

impl Wait {
    pub(crate) fn new(hold: Hold, on: Option<Token>, signal: u64) -> Self {
        Self { hold, on, signal, state: State::Fresh }
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// Polls with a waker.
    pub(crate) fn poll(&mut self, counted: Counted) {
        if self.is_ready() {
            return;
        }
        // What is known before counts: a poll that begins then must see it.
        let cancelled = self.on.as_ref().is_some_and(Token::is_cancelled);
        let told = match &self.hold {
            Hold::Run(_, ready, _) => ready.load(Relaxed) && self.is_pending(),
            _ => false,
        };
        let before = counted.wakes();
        let waker = counted.waker();
        let hold = &mut self.hold;
        let said = guarded(|| hold.poll(&mut Context::from_waker(&waker)));
        let _ = guarded(|| drop(waker));
        self.state = match said {
            None => match &self.hold {
                // A waker, or what the callback captured: the latter used it up.
                Hold::Unregistered(_, book) => {
                    book.dropped();
                    State::Ready
                }
                _ => State::Unsure,
            },
            Some(Said::Pending) => {
                let must = cancelled && !matches!(self.hold, Hold::Unregistered(..));
                ensure!(!must && !told, "pending although it has what it waits for");
                State::Pending(counted, before)
            }
            Some(said) => {
                self.check(&said, told);
                State::Ready
            }
        };
    }

    /// It was polled, and was not ready.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state, State::Pending(..))
    }

    fn check(&self, said: &Said, told: bool) {
        match (said, &self.hold) {
            (Said::Cancelled(cancelled), _) => {
                let reason = self.on.as_ref().map(Token::reason);
                let same = reason.is_none_or(|reason| reason == Some(cancelled.reason()));
                ensure!(same, "ready with a reason that is not the signal's: {reason:?}");
                ensure!(!told, "a stop has thrown a value away");
            }
            (Said::Value(value), Hold::Run(_, _, wanted)) => {
                ensure!(value == wanted, "the value is another");
            }
            (Said::TakenBack(prevented), Hold::Unregistered(_, book)) => {
                book.taken_back(*prevented, true);
            }
            _ => {}
        }
    }

    /// The inner future of a `run` is ready from now on.
    pub(crate) fn tell(&self) {
        if let Hold::Run(_, ready, _) = &self.hold {
            ready.store(true, Relaxed);
        }
    }

    /// Its signal was cancelled, or its callback is over: it was woken.
    pub(crate) fn settled(&self) -> bool {
        let due = match &self.hold {
            Hold::Unregistered(_, book) => book.is_over(),
            _ => self.on.as_ref().is_some_and(Token::is_cancelled),
        };
        match &self.state {
            State::Pending(counted, before) => !due || counted.wakes() > *before,
            _ => true,
        }
    }

    /// Everything is cancelled and was woken: it must be ready.
    pub(crate) fn finish(&mut self) {
        let due = self.on.as_ref().is_some_and(Token::is_cancelled);
        self.poll(Counted::Plain(Arc::default()));
        let ready = self.is_ready() || matches!(self.hold, Hold::Unregistered(..));
        ensure!(ready || !due, "still pending although its signal is cancelled");
    }

    /// Its holder drops it.
    pub(crate) fn give_up(self) {
        if let (Hold::Unregistered(_, book), false) = (&self.hold, self.is_ready()) {
            book.dropped();
        }
        let _ = guarded(|| drop(self));
    }
}

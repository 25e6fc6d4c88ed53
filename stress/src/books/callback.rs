//! One callback: at most one call, exactly one if it was due, none after it was
//! taken back.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::time::Instant;

use desist::{Cancelled, Reason, Registration, Token};

use super::captured::Mark;
use super::{Captured, ClockKind};
use crate::report::ensure;
use crate::sync::{Mutex, MutexGuard};
use crate::tally::{CALLED, PREVENTED};

/// What its holder did with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Fate {
    /// Held, or detached, or on its way.
    Open,
    /// Taken back: the call was prevented.
    Prevented,
    /// Taken back: the call was not prevented.
    Refused,
    /// Dropped: nobody was told.
    Dropped,
}

/// What all who have to do with a callback know of it.
pub(crate) struct CallbackBook {
    begun: AtomicU32,
    over: AtomicU32,
    fate: AtomicU8,
    mark: Arc<Mark>,
    /// It was registered on a token that is never cancelled.
    never: bool,
}

/// Runs on from the begin of a call to its end, however that comes.
struct Call<'a>(&'a CallbackBook);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.over.fetch_add(1, Relaxed);
    }
}

impl CallbackBook {
    /// A book, and the value that the callback captures.
    pub(crate) fn new(bomb: bool, never: bool) -> (Arc<Self>, Captured) {
        let (captured, mark) = Captured::new(bomb);
        let book = Self {
            begun: AtomicU32::new(0),
            over: AtomicU32::new(0),
            fate: AtomicU8::new(Fate::Open as u8),
            mark,
            never,
        };
        (Arc::new(book), captured)
    }

    /// The callback's body.
    pub(crate) fn call(&self, cancelled: &Cancelled, clock: ClockKind, act: impl FnOnce()) {
        let before = self.begun.fetch_add(1, Relaxed);
        ensure!(before == 0, "a callback is called {} times", before + 1);
        ensure!(self.fate() != Fate::Prevented, "called although unregister said prevented");
        CALLED.add();
        let _call = Call(self);
        if cancelled.reason() == Reason::Deadline && clock == ClockKind::System {
            let early = cancelled.at().saturating_duration_since(Instant::now());
            ensure!(early.is_zero(), "called {early:?} before the deadline");
        }
        act();
    }

    fn fate(&self) -> Fate {
        let fate = self.fate.load(Relaxed);
        let all = [Fate::Open, Fate::Prevented, Fate::Refused, Fate::Dropped];
        all.into_iter().find(|known| *known as u8 == fate).unwrap_or(Fate::Open)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.fate() == Fate::Open
    }

    pub(crate) fn begun(&self) -> u32 {
        self.begun.load(Relaxed)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed) == 1
    }

    pub(crate) fn dropped(&self) {
        self.fate.store(Fate::Dropped as u8, Relaxed);
    }

    /// What taking it back said. With `waited` it is not running any more.
    pub(crate) fn taken_back(&self, prevented: bool, waited: bool) {
        let fate = if prevented { Fate::Prevented } else { Fate::Refused };
        self.fate.store(fate as u8, Relaxed);
        let (begun, over, dropped) = (self.begun(), self.is_over(), self.mark.dropped());
        if prevented {
            PREVENTED.add();
            ensure!(begun == 0, "unregister said prevented, but it was called");
            ensure!(dropped == 1, "prevented, but its captured value is still there");
        } else if self.never {
            ensure!(begun == 0 && dropped == 1, "kept by a token that is never cancelled");
        } else if waited {
            ensure!(over, "waited for a callback that is not over (begun {begun} times)");
            ensure!(dropped == 1, "its captured value outlives the callback");
        }
    }

    /// Everything is over: true if what must come true has. `due`: its signal is
    /// cancelled; `None`: nothing is known of that.
    pub(crate) fn settled(&self, due: Option<bool>) -> bool {
        let (begun, over) = (self.begun(), self.over.load(Relaxed));
        let calls = match (self.fate(), due) {
            (Fate::Prevented, _) => begun == 0,
            (Fate::Refused, Some(true)) | (Fate::Open, Some(true)) => begun == 1,
            (_, Some(false)) => begun == 0,
            (_, None) | (Fate::Dropped, _) => begun <= 1,
        };
        calls && over == begun && (begun == 0 || self.mark.dropped() == 1)
    }

    pub(crate) fn story(&self) -> String {
        format!(
            "{:?}, begun {}, over {}, captured value dropped {} times",
            self.fate(),
            self.begun(),
            self.over.load(Relaxed),
            self.mark.dropped()
        )
    }
}

/// A place for a registration that several may want to take back.
#[derive(Default)]
pub(crate) struct Slot(Mutex<Option<(Registration, Arc<CallbackBook>)>>);

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<(Registration, Arc<CallbackBook>)>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn put(&self, registration: Registration, book: Arc<CallbackBook>) {
        let displaced = self.lock().replace((registration, book));
        drop(displaced);
    }

    pub(crate) fn take(&self) -> Option<(Registration, Arc<CallbackBook>)> {
        self.lock().take()
    }

    /// Takes it back, and never waits; false if somebody did before.
    pub(crate) fn unregister(&self) -> bool {
        let Some((registration, book)) = self.take() else { return false };
        take_back(&book, || registration.unregister(), false);
        true
    }
}

/// Takes back, and enters what that said. A captured value may panic when it is
/// dropped, and then nothing was said.
pub(crate) fn take_back(book: &CallbackBook, take: impl FnOnce() -> bool, waited: bool) {
    book.dropped();
    book.taken_back(take(), waited);
}

/// A callback, as the thread sees it that registered it.
pub(crate) struct Callback {
    pub(crate) book: Arc<CallbackBook>,
    /// The signal it is registered on, and its number; `None` if nothing of it
    /// is kept.
    pub(crate) on: Option<Token>,
    pub(crate) signal: u64,
    pub(crate) registration: Option<Registration>,
    /// Others may take it back.
    pub(crate) slot: Option<Arc<Slot>>,
    /// It ends by itself: who waits for it waits for nobody else.
    pub(crate) leaf: bool,
}

impl Callback {
    /// True once what must come true of it has.
    pub(crate) fn settled(&self) -> bool {
        self.book.settled(self.on.as_ref().map(Token::is_cancelled))
    }
}

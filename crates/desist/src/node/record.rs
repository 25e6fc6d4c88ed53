//! The cause as it was recorded by the one cancel that won: who, where, when,
//! and how far the marking has come.
//!
//! Every node that was marked points to the record of the cancel that marked
//! it, and owns one count of it. The record is also where others wait for that
//! cancel's marking: a walk that met nodes of another walk waits for the other
//! one's own part, and for the parts that one met, transitively.
//!
//! | stage      | meaning                                                      |
//! |------------|--------------------------------------------------------------|
//! | `MARKING`  | the walk is under way                                        |
//! | `WATCHED`  | the same, and somebody waits on `bell`                       |
//! | `OWN_DONE` | the walk's own part is marked; `met` says what else it met   |
//! | `SETTLED`  | all it met is marked as well: no descendant is live          |
//!
//! A walk publishes `OWN_DONE` without waiting for anybody, so two walks that
//! meet each other, even twice, both get there.

use std::panic::Location;
use std::ptr::NonNull;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Instant;

use super::sync::{AtomicU8, AtomicUsize, Condvar, Mutex};
use crate::cause::Detail;
use crate::unwind::Panic;
use crate::{Cause, Reason};

const MARKING: u8 = 0;
const WATCHED: u8 = 1;
const OWN_DONE: u8 = 2;
const SETTLED: u8 = 3;

/// Counts that a walk takes in advance, so that marking a node needs no atomic
/// operation on the record.
const ADVANCE: usize = 1 << (usize::BITS - 4);

/// More counts than this can only come from handles that were forgotten. While
/// a walk has its advance, nodes that it marked may already be gone, so that the
/// sum lies below the advance by as many as it has marked.
const MAX_REFS: usize = ADVANCE / 4;

/// True for a sum that nobody comes to who does not forget handles.
fn is_overflowing(refs: usize) -> bool {
    refs.wrapping_add(MAX_REFS) & (ADVANCE - 1) >= 2 * MAX_REFS
}

pub(crate) struct Record {
    refs: AtomicUsize,
    stage: AtomicU8,
    pub(crate) reason: Reason,
    pub(crate) detail: Option<Detail>,
    pub(crate) origin: &'static Location<'static>,
    pub(crate) at: Instant,
    /// The deadline that passed, where it was one.
    pub(crate) due: Option<Instant>,
    met: Mutex<Vec<RecordRef>>,
    bell: Condvar,
}

/// One count of a [`Record`].
pub(crate) struct RecordRef(NonNull<Record>);

// SAFETY: I10: a record is immutable but for its atomics and its mutex, and
// everything in it is Send + Sync.
unsafe impl Send for RecordRef {}
// SAFETY: I10: as above.
unsafe impl Sync for RecordRef {}

impl RecordRef {
    pub(crate) fn new(
        cause: Cause,
        origin: &'static Location<'static>,
        at: Instant,
        due: Option<Instant>,
    ) -> Self {
        #[cfg(all(test, loom))]
        super::grave::born(super::grave::Kind::Record);
        let (reason, detail) = cause.into_parts();
        // Made where it stays; see `Ext::init`.
        let place = Box::leak(Box::<Record>::new_uninit());
        let record = place.write(Record {
            refs: AtomicUsize::new(1),
            stage: AtomicU8::new(MARKING),
            reason,
            detail,
            origin,
            at,
            due,
            met: Mutex::new(Vec::new()),
            bell: Condvar::new(),
        });
        Self(NonNull::from(record))
    }

    /// Takes over the count that `raw` stands for.
    ///
    /// # Safety
    ///
    /// `raw` came from `into_raw`, or from a node that gives up its count.
    pub(crate) unsafe fn from_raw(raw: *mut Record) -> Self {
        // SAFETY: I10: a count is never null.
        Self(unsafe { NonNull::new_unchecked(raw) })
    }

    /// A count of its own from a pointer that somebody else's count keeps.
    ///
    /// # Safety
    ///
    /// Somebody who cannot let go meanwhile owns a count of `raw`.
    pub(crate) unsafe fn clone_raw(raw: *mut Record) -> Self {
        // SAFETY: I10: the record lives; the extra count is forgotten again.
        let kept = std::mem::ManuallyDrop::new(unsafe { Self::from_raw(raw) });
        Self::clone(&kept)
    }

    pub(crate) fn as_raw(&self) -> *mut Record {
        self.0.as_ptr()
    }

    pub(crate) fn into_raw(self) -> *mut Record {
        std::mem::ManuallyDrop::new(self).0.as_ptr()
    }
}

impl std::ops::Deref for RecordRef {
    type Target = Record;

    #[inline]
    fn deref(&self) -> &Record {
        // SAFETY: I10: this count keeps the record.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for RecordRef {
    #[inline]
    fn clone(&self) -> Self {
        // Ordering: Relaxed: the count that we come from keeps the record.
        let before = self.refs.fetch_add(1, Relaxed);
        debug_assert_ne!(before, 0, "a count keeps the record");
        if is_overflowing(before) {
            std::process::abort();
        }
        Self(self.0)
    }
}

impl Drop for RecordRef {
    #[inline]
    fn drop(&mut self) {
        // Ordering: AcqRel: Release pairs with the Acquire of whoever brings
        // the count to zero, so that all uses come before the free.
        let before = self.refs.fetch_sub(1, AcqRel);
        debug_assert_ne!(before, 0, "a count of a record is given back once");
        if before == 1 {
            free(self.0);
        }
    }
}

/// Frees a record; a chain of records that were each other's detail is freed
/// in a loop, not by recursion.
#[cold]
fn free(mut record: NonNull<Record>) {
    loop {
        // SAFETY: I10: the last count is gone, nobody else can reach the record.
        let detail = unsafe {
            let detail = (*record.as_ptr()).detail.take();
            dealloc(record);
            detail
        };
        // Any other detail is foreign code, and goes here.
        let Some(Detail::Cancelled(inner)) = detail else { return };
        let inner = inner.into_record();
        // Ordering: AcqRel, as in `drop`.
        if inner.refs.fetch_sub(1, AcqRel) != 1 {
            std::mem::forget(inner);
            return;
        }
        record = std::mem::ManuallyDrop::new(inner).0;
    }
}

/// # Safety
///
/// I10: the last count of the record is gone, and its detail was taken.
unsafe fn dealloc(record: NonNull<Record>) {
    // SAFETY: I10 by the caller; the memory came from a box.
    unsafe {
        #[cfg(all(test, loom))]
        {
            (*record.as_ptr()).assert_sole();
            super::grave::bury_record(record);
        }
        #[cfg(not(all(test, loom)))]
        drop(Box::from_raw(record.as_ptr()));
    }
}

/// Counts of a record that one walk hands out to the nodes that it marks.
pub(crate) struct Advance<'a> {
    record: &'a RecordRef,
    handed_out: usize,
}

impl<'a> Advance<'a> {
    pub(crate) fn take(record: &'a RecordRef) -> Self {
        // Ordering: Relaxed: the caller's count keeps the record.
        record.refs.fetch_add(ADVANCE, Relaxed);
        Self { record, handed_out: 0 }
    }

    /// True if `record` is the one whose counts these are.
    pub(crate) fn is_of(&self, record: *mut Record) -> bool {
        self.record.as_raw() == record
    }

    /// One count, for a node's `state`.
    #[inline(always)]
    pub(crate) fn hand_out(&mut self) -> *mut Record {
        self.handed_out += 1;
        self.record.as_raw()
    }
}

impl Drop for Advance<'_> {
    fn drop(&mut self) {
        // Ordering: Relaxed: the caller's own count remains, so this is not
        // the last one.
        self.record.refs.fetch_sub(ADVANCE - self.handed_out, Relaxed);
    }
}

impl Record {
    /// Whatever others did with the record comes before its end.
    #[cfg(all(test, loom))]
    fn assert_sole(&mut self) {
        super::grave::gone(super::grave::Kind::Record);
        self.refs.with_mut(|refs| assert_eq!(*refs, 0));
        self.stage.with_mut(|_| ());
    }

    /// True if nothing below the node that this cancel began at is live.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        // Ordering: Acquire pairs with the Release in `settle`: the marks are
        // seen by whoever sees this.
        self.stage.load(Acquire) == SETTLED
    }

    /// For a cancel that has nothing to mark but its own node, and for causes
    /// that no walk stands behind. Called before the record is published.
    pub(crate) fn settle_unpublished(&self) {
        // Ordering: Relaxed: the store that publishes the record is a Release.
        self.stage.store(SETTLED, Relaxed);
    }

    /// The walk's own part is marked, and it met nodes of `met`. Waits until
    /// their parts are marked too, then lets everybody go who waits for this.
    pub(crate) fn settle(this: &RecordRef, met: Vec<RecordRef>) {
        if met.is_empty()
            // Ordering: Release pairs with the Acquire in `is_settled` and in
            // `wait_own`. Relaxed on failure: the mutex orders what follows.
            && this.stage.compare_exchange(MARKING, SETTLED, Release, Relaxed).is_ok()
        {
            return;
        }
        let mut own = this.met.lock().unwrap_or_else(PoisonError::into_inner);
        *own = met;
        // Ordering: Relaxed: it is read under the mutex only.
        this.stage.store(OWN_DONE, Relaxed);
        drop(own);
        this.bell.notify_all();

        let seen = collect_settled(this);

        let mut own = this.met.lock().unwrap_or_else(PoisonError::into_inner);
        // Ordering: Release as above.
        this.stage.store(SETTLED, Release);
        let met = std::mem::take(&mut *own);
        drop(own);
        // Foreign code may run from here on: the drop of a detail.
        drop((seen, met));
    }

    /// Waits until the own part is marked and gives what it met.
    fn wait_own(&self) -> Vec<RecordRef> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // Ordering: Acquire pairs with the Releases in `settle`.
            match self.stage.load(Acquire) {
                SETTLED => return Vec::new(),
                OWN_DONE => return met.clone(),
                MARKING => {
                    // Ordering: Relaxed: `settle` takes the mutex when it
                    // finds the word changed, and the mutex orders the rest.
                    let _ = self.stage.compare_exchange(MARKING, WATCHED, Relaxed, Relaxed);
                }
                _ => met = self.bell.wait(met).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Waits until the walk of `record` has marked its part, and the walks that it
/// met theirs, and so on. Never waits for foreign code. If the last count of a
/// record that was waited for is left here, its detail's drop runs here; a panic
/// of it ends here, the panic hook has heard it.
pub(crate) fn wait_settled(record: &RecordRef) {
    if !record.is_settled() {
        let seen = collect_settled(record);
        let mut panic = Panic::none();
        panic.catch(|| drop(seen));
        panic.swallow();
    }
}

/// The same, and gives all records that were waited for.
fn collect_settled(record: &RecordRef) -> Vec<RecordRef> {
    let mut seen = vec![record.clone()];
    let mut next = 0;
    while let Some(record) = seen.get(next) {
        for met in record.wait_own() {
            if !seen.iter().any(|known| known.0 == met.0) {
                seen.push(met);
            }
        }
        next += 1;
    }
    seen
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{ADVANCE, MAX_REFS, is_overflowing};

    #[test]
    fn a_count_is_too_high_only_when_handles_were_forgotten() {
        for marked_and_gone in [0, 1, 1_000_000] {
            assert!(!is_overflowing(ADVANCE + 2 - marked_and_gone), "during a walk");
        }
        for refs in [1, 2, MAX_REFS - 1, ADVANCE, ADVANCE + MAX_REFS - 1] {
            assert!(!is_overflowing(refs), "{refs}");
        }
        for refs in [MAX_REFS, ADVANCE / 2, ADVANCE + MAX_REFS, ADVANCE + ADVANCE / 2] {
            assert!(is_overflowing(refs), "{refs}");
        }
    }
}

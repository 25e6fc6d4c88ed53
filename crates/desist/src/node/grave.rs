//! What a model checker must know of memory: how many nodes and records there
//! are, and that nobody comes to one that was freed.
//!
//! A freed node is checked and put aside instead: every word of it is written
//! as only its sole owner may write it. So an access by another thread that is
//! not ordered before the freeing is reported as the race it is, whether it
//! came before or comes later; and a lock that was freed is never free again. A
//! record is put aside as well.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use super::Record;
use super::alloc::Remains;

thread_local! {
    // All threads of a model run on one thread of the system.
    static ALIVE: RefCell<[isize; 5]> = const { RefCell::new([0; 5]) };
    static GRAVES: RefCell<Vec<Remains>> = const { RefCell::new(Vec::new()) };
    static RECORDS: RefCell<Vec<NonNull<Record>>> = const { RefCell::new(Vec::new()) };
}

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Node,
    Record,
    Callback,
    Ext,
    Stripes,
}

pub(crate) fn born(kind: Kind) {
    ALIVE.with_borrow_mut(|alive| alive[kind as usize] += 1);
}

pub(crate) fn gone(kind: Kind) {
    ALIVE.with_borrow_mut(|alive| alive[kind as usize] -= 1);
}

pub(crate) fn records() -> isize {
    ALIVE.with_borrow(|alive| alive[Kind::Record as usize])
}

/// Before an execution begins.
pub(crate) fn clear() {
    ALIVE.set([0; 5]);
    for remains in GRAVES.take() {
        // SAFETY: I1: it was given up when it was buried, and the threads that
        // could have come to it are over.
        unsafe { remains.dealloc() };
    }
    for record in RECORDS.take() {
        // SAFETY: I10: as above; it came from a box, and what it owned was taken.
        drop(unsafe { Box::from_raw(record.as_ptr().cast::<MaybeUninit<Record>>()) });
    }
}

/// After an execution: everything was freed.
pub(crate) fn assert_all_freed() {
    assert_eq!(ALIVE.take(), [0; 5], "nodes, records, callbacks, Exts, stripes that nobody freed");
}

/// Takes a node out of use.
///
/// # Safety
///
/// I1: nobody needs the memory any more, and the node is empty.
pub(super) unsafe fn bury(remains: Remains) {
    gone(Kind::Node);
    // SAFETY: I1: the node is the caller's. Through a pointer, because a thread
    // that should not may hold a reference: that is what is looked for.
    unsafe {
        let this = remains.node.as_ptr();
        (*this).state.with_mut(|_| ());
        (*this).ext.with_mut(|_| ());
        (*this).life.with_mut(|_| ());
        (*this).refs.with_mut(|_| ());
        (*this).lock.freed();
        (*this).entry.room.with_mut(|_| ());
        (*this).parent.set((*this).parent.get());
        (*this).walk.set((*this).walk.get());
        (*this).aside.set((*this).aside.get());
        (*this).flags.set((*this).flags.get());
        (*this).meetings.set(0);
        (*this).list.set((*this).list.get());
        if let Some(stripes) = remains.stripes.as_mut() {
            gone(Kind::Stripes);
            stripes.freed();
        }
    }
    GRAVES.with_borrow_mut(|graves| graves.push(remains));
}

/// Takes a record out of use, with its count of zero, from which nobody can count.
///
/// # Safety
///
/// I10: the last count of the record is gone.
pub(super) unsafe fn bury_record(record: NonNull<Record>) {
    RECORDS.with_borrow_mut(|records| records.push(record));
}

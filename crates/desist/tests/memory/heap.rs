//! The counting allocator and the two questions asked of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::lock;

/// The bytes that are live in the whole process.
static LIVE: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    /// How often this thread has asked for memory.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// The allocator of the system, with counters.
pub(crate) struct Counting;

fn count(bytes: usize, sign: isize) {
    let bytes = isize::try_from(bytes).expect("a layout fits");
    LIVE.fetch_add(sign * bytes, Ordering::SeqCst);
    if sign > 0 {
        // A thread that is ending has no counter any more, and nobody asks it.
        let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
    }
}

// SAFETY: every call is handed on to the allocator of the system as it is; counting neither
// allocates nor unwinds (the layout of a live block fits an `isize`).
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// The tests of this binary run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The work leaves not a byte more on the heap than there was.
///
/// It is given a few attempts; a leak shows in every one of them.
#[track_caller]
pub(crate) fn leaves_nothing(mut work: impl FnMut()) {
    let _alone = lock(&ALONE);
    // Whatever is created once is created now.
    work();
    let mut left_over = Vec::with_capacity(ATTEMPTS);
    for _ in 0..ATTEMPTS {
        let before = LIVE.load(Ordering::SeqCst);
        work();
        let after = settled(before);
        if after == before {
            return;
        }
        left_over.push(after - before);
    }
    panic!("bytes left over after each attempt: {left_over:?}");
}

const ATTEMPTS: usize = 6;

/// The live bytes of the whole process. To be asked inside of `leaves_nothing`, alone.
pub(crate) fn live() -> isize {
    LIVE.load(Ordering::SeqCst)
}

/// The live bytes, once threads that were told to let go have had the time.
fn settled(wanted: isize) -> isize {
    let mut live = LIVE.load(Ordering::SeqCst);
    for _ in 0..50 {
        if live == wanted {
            break;
        }
        thread::sleep(Duration::from_millis(2));
        live = LIVE.load(Ordering::SeqCst);
    }
    live
}

/// How often this thread asks for memory during the work.
pub(crate) fn allocations(work: impl FnOnce()) -> usize {
    let before = ASKED.get();
    work();
    ASKED.get() - before
}

/// The work does not allocate: neither the first time nor later.
#[track_caller]
pub(crate) fn allocates_nothing(name: &str, mut work: impl FnMut()) {
    let _alone = lock(&ALONE);
    let asked = [allocations(&mut work), allocations(&mut work)];
    assert_eq!(asked, [0, 0], "{name} allocates");
}

#[test]
fn the_heap_is_counted() {
    let one = allocations(|| drop(std::hint::black_box(Box::new(1_u64))));
    assert_eq!(one, 1);
    let kept = std::cell::RefCell::new(Vec::new());
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        leaves_nothing(|| kept.borrow_mut().push(Box::new([0_u8; 1_000])));
    }));
    assert!(found.is_err(), "a leak is found");
}

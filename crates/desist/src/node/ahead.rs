//! Asking for a child's memory before a walk comes to it.
//!
//! A walk of many children waits for memory most of its time: each child is
//! somewhere else, and where the next one is stands in the one before it. So every
//! child of one parent has noted which one its thread made 32 before it. A thread that
//! makes many children of one signal comes to a list, newest first, on which that one
//! stands so many steps further: the walk asks the processor to fetch it, and goes on.
//!
//! What is noted is an address that nobody follows: what was there may be gone, and
//! something else may be there now, or nothing; or it is a child of another signal, if
//! the thread made those by turns. Then two lines were fetched in vain.

use super::Node;

#[cfg(all(target_arch = "x86_64", not(miri), not(all(test, loom))))]
pub(super) use self::noted::{fetch, note};

#[cfg(all(target_arch = "x86_64", not(miri), not(all(test, loom))))]
mod noted {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    use std::cell::Cell;
    use std::mem::offset_of;
    use std::ptr;

    use super::Node;

    /// How many steps. A walk takes 20 to 30 ns for one, memory 100 and more; and
    /// of what was made some are gone.
    pub(super) const AHEAD: usize = 32;

    struct Made {
        times: Cell<usize>,
        last: [Cell<usize>; AHEAD],
    }

    thread_local! {
        static MADE: Made =
            const { Made { times: Cell::new(0), last: [const { Cell::new(0) }; AHEAD] } };
    }

    /// For the new child's `walk`: the address of the one that this thread made
    /// [`AHEAD`] before it, or null.
    #[inline]
    pub(in super::super) fn note(child: *const Node) -> *const Node {
        MADE.with(|made| {
            let times = made.times.get();
            made.times.set(times.wrapping_add(1));
            ptr::without_provenance(made.last[times % AHEAD].replace(child.addr()))
        })
    }

    /// Fetches what a walk uses of a child. `noted` came from [`note`].
    #[inline(always)]
    pub(in super::super) fn fetch(noted: *const Node) {
        if noted.is_null() {
            return;
        }
        let node = noted.cast::<i8>();
        // SAFETY: I7: the address is not followed: fetching ahead of use reads
        // nothing, and is allowed of any address.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(node.wrapping_add(offset_of!(Node, entry)));
            _mm_prefetch::<_MM_HINT_T0>(node.wrapping_add(offset_of!(Node, list)));
        }
    }
}

/// Elsewhere there is no such instruction, and nothing is noted.
#[cfg(not(all(target_arch = "x86_64", not(miri), not(all(test, loom)))))]
#[inline(always)]
pub(super) fn note(_: *const Node) -> *const Node {
    std::ptr::null()
}

/// As for `note`.
#[cfg(not(all(target_arch = "x86_64", not(miri), not(all(test, loom)))))]
#[inline(always)]
pub(super) fn fetch(_: *const Node) {}

#[cfg(all(test, target_arch = "x86_64", not(miri), not(loom)))]
mod tests {
    use super::noted::AHEAD;
    use crate::node::SourceRef;

    #[test]
    fn a_child_has_noted_the_one_that_was_made_so_many_before_it() {
        let parent = SourceRef::new();
        let children: Vec<_> = (0..AHEAD * 3).map(|_| parent.child()).collect();
        for (earlier, later) in children.iter().zip(&children[AHEAD..]) {
            // SAFETY: I7: no walk has marked the child.
            let noted = unsafe { later.node().walk.get() };
            assert_eq!(noted.addr(), earlier.ptr().addr().get());
        }
    }
}

//! The mechanism beneath [`Source`](crate::Source) and [`Token`](crate::Token),
//! and the only place with `unsafe` code. This page is the protocol; the files
//! below it are its parts, and every `SAFETY` comment cites a number from here.
//!
//! # One node
//!
//! A signal is one [`Node`] on the heap. Its word `state` is all that a check
//! reads: null while live, the [`Record`] of the cancel that won once
//! cancelled. One compare-and-branch tells live from everything else, so a
//! third value, [`PROBED`], costs a live check nothing: it sends the check of a
//! test's token to the counter of `testing::every_checkpoint`.
//!
//! | state    | meaning                        | next       |
//! |----------|--------------------------------|------------|
//! | null     | live                           | a record   |
//! | `PROBED` | live, and every look is counted| a record   |
//! | a record | cancelled, for ever            | –          |
//!
//! ```text
//!             +-- one cache line or more apart --+
//!  Node       |                                  |
//!  [ state | parent  entry  ext  walk  aside ]  [ refs  lock flags life  list ]
//!     |        |       |      |                    |                 |     |
//!     |        |       |      +-> Ext: further     +- handles        |     +-> newest entry:
//!     |        |       |          parents, clock,                    |         child, waiter,
//!     |        |       |          timer, probe                       |         callback, ...
//!     |        |       +- our place on the parent's `list`           +- who keeps the memory
//!     |        +-> parent (we own one `life` of it)
//!     +-> Record: reason, detail, place, instant, how far the marking is
//! ```
//!
//! What those who use the node write all day (counts, lock, list) is at least 64
//! bytes away from `state`, so a check does not wait for them. Nearer is the link
//! to its siblings, which the next one on the list writes when it comes or goes.
//! A signal at which
//! threads meet gets lists by thread ([`stripes`]): they hang on its `Ext`.
//!
//! # Who keeps a node
//!
//! `refs` counts handles (tokens and sources). `life` counts the parties that
//! have a use for the node: one for all handles together, one for every child
//! on its list, one for every held registration, and one for every pin of a
//! walk. `shells` (kept in the spare room of `entry`) counts
//! the children that were taken off the list because they are cancelled, and
//! are not yet freed: they need the memory, to lock it when they go, and
//! nothing else. So a child may always lock its parent without counting a
//! reference of it: that is what makes a child cost two locked instructions.
//!
//! Both change only under the node's lock. Whoever brings `life` to zero sets
//! `DEAD` in the same breath and empties the node: its callbacks, its cause,
//! its timer and its own links upward go at once. The memory goes with them, or
//! with the last shell.
//!
//! A node without handles stays as long as it has children: it passes their
//! ancestors' cancel on. When its last child leaves, that child's thread brings
//! `life` to zero, under the lock, and frees it; then its parent may be next,
//! in a loop, never by recursion.
//!
//! # Invariants
//!
//! * **I1 (memory).** A node's memory is valid while `life` or `shells` is above
//!   zero, and for the one party that set `DEAD` until it has set `BURIED`. Its
//!   content is valid while `life` is above zero, then belongs to that party.
//!   Whoever owns a unit of `life`, or holds the lock of a parent on whose list
//!   the node stands, may reach it; whoever owns a shell may lock it and give
//!   the shell back. Giving the lock back is the last touch. An entry in a
//!   stripe that is open has its unit there, and the handles' unit of `life` is
//!   held as long as it is open. Stripes go with the node's memory.
//! * **I2 (guarded).** `flags`, `list`, `aside`, writes of `life` and `shells`, and the
//!   `Guarded` words of every entry on the node's lists (a child's `entry`
//!   included: it belongs to the *parent's* lock) are accessed only under the
//!   node's lock, or by somebody who has the object to himself. While a stripe is
//!   open, its words and those of the entries on it are under its own lock
//!   instead.
//! * **I3 (state).** `state` goes from live to a record once, under the node's
//!   lock, and the node then owns one count of that record until it is freed.
//!   So the pointer stays good for whoever keeps the node.
//! * **I4 (up).** A link's `parent`, and the `place` of an entry, are written
//!   before anybody else can see the node. The link owns a unit of that parent
//!   once attached (of `life` while on the list, of `shells` after that), and
//!   `parent` is cleared only by the one who set `RELEASED` (under the node's
//!   lock, cancelled, no handles) or `DEAD`. So it is stable for whoever holds a
//!   handle of a node that is not `RELEASED`.
//! * **I5 (order).** Locks are taken parent before child, node before its
//!   stripes (one at a time), node before clock; otherwise never two at a time,
//!   and no foreign code (callback, waker's clone, wake or drop, a detail's or a
//!   captured value's drop, a clock's `now` or `arm`) runs while one is held.
//!   Parents exist before their children, so "parent before child" has no cycle.
//! * **I6 (sole).** Two parties may lock a node without a unit of their own: a
//!   walk that comes from above, under the parent's lock, and a thread that
//!   fires its timer. Once neither can come any more (the parent's lock is
//!   held, or that of the parent's stripe, open, which a walk must close first,
//!   or there is no parent; the timer was found quiet under the clock's
//!   lock and taken off, and after that the node's lock was seen free), and the
//!   holder of a handle then reads, in this order, `refs` = 1, `life` = 1,
//!   `shells` = 0, the lock free, `refs` = 1, and finds no stripes, nobody else
//!   can reach the node, now or later.
//! * **I7 (walk).** `walk` belongs to the one walk that marked the node and keeps
//!   it, by a pin or, of the node it began at, by a handle; and after death to the
//!   one who frees. Before, it has the address that [`ahead`] noted, or null; nobody
//!   follows it, and it is read under the lock of the node and of a parent whose list
//!   it is on.
//! * **I8 (timer).** A node is freed only after its timer was taken off its
//!   clock under the clock's lock. A timer in flight (`firing`) hands the duty
//!   to free to the thread that fires.
//! * **I9 (entries).** An entry on a list is alive and stays in its place:
//!   whoever owns it takes it off under the lock before it goes. A future that
//!   was forgotten never goes, so its pinned memory stays good too.
//! * **I10 (records).** A record lives while a count of it does, and is
//!   immutable but for its atomics and its mutex.
//! * **I11 (callbacks).** A callback's closure is taken by exactly one of: the
//!   walk that finds it on the list, its registration, the freeing of the node;
//!   decided by its `phase`, under the node's lock.
//! * **I12 (test wakers).** The data of a hooked waker is one count of an `Arc`
//!   that the waker owns.
//!
//! # A dying child and a walk
//!
//! Both take the *parent's* lock (or the walk has yet to take that of the child's
//! stripe, to close it). If the child comes first it takes itself off
//! the list and the walk never sees it. If the walk comes first it marks the
//! child, takes it off, and pins it (`life`) if there is more to do with it;
//! the child then finds itself off the list, and if it was pinned it leaves the
//! freeing to the walk. There is nothing to try and nothing to retry.
//!
//! # A cancel
//!
//! A signal that never had a child, nor lists by thread, is marked and its first
//! batch of wakers taken out in one hold of its lock; then it goes on as the others
//! do. Of a tree:
//!
//! 1. **Mark** (`mark`): depth first, without recursion: the nodes on the way
//!    down are chained through `walk`. Each node is marked under its own lock,
//!    children under their parent's as well. A list is walked in chunks, the
//!    lock is let go between them. Leaves without anything to wake are marked
//!    and done, and so are nodes with children once these are found; the others
//!    are pinned and queued, descendants before ancestors. The node that the cancel
//!    began at needs no pin: whoever cancels has a handle.
//! 2. **Settle** (`record`): the walk publishes that its own part is marked,
//!    then waits for the parts of other walks that it met, transitively.
//! 3. **Wake** (`notify`): wakers are taken in batches under the lock and woken
//!    outside.
//! 4. **Call** (`notify`): callbacks one by one, newest first within a node, in
//!    the order of the queue, so a descendant's come before its ancestor's.
//! 5. **Finish**: links to parents that are still live are taken off, pins are
//!    given back. A cancelled node without handles lets go of its parents.
//!
//! Two walks that meet do not wait for each other on the way. Each marks what
//! is live, remembers the record of every other walk whose nodes it found, and
//! publishes that its own part is done. Only then it waits, parked on the
//! other's record, for the other's *own part*, and then for the parts that the
//! other met, and so on, each record once. Nobody waits before it has published,
//! so everybody gets there, also where two walks meet twice.
//!
//! # Who wakes whom
//!
//! | who waits                            | where it sleeps      | who wakes it           |
//! |--------------------------------------|----------------------|------------------------|
//! | for a node's lock, after a spin      | a bed of `lock`      | `Lock::release`, or 1 ms |
//! | a loser, an inline callback, a walk  | `bell` of the record | `Record::settle`       |
//! | a future, `blocking_wait`            | its waker, a thread's own | `notify`, step 3  |
//! | `unregistered`, `blocking_unregister`, a scope | `waiter` of the callback | `call_one`, when it is over |
//! | the keeper, a spare thread           | a bell of `keeper`   | `alarm`, `call_keeper`, its own time |
//!
//! A blocked thread waits through a waker that unparks it, so a blocked waiter
//! and a pending future are the same to a walk.
//!
//! A list is turned around each time entries are moved from `list` to `aside`
//! or back; [`notify`] makes sure that callbacks are moved twice or not at all.
//!
//! # Memory orderings
//!
//! `state` is published with Release and read with Acquire: what was written
//! before `cancel()` is seen by whoever sees the cancellation. Everything else
//! on a node happens under its lock (Acquire, Release), so there is no
//! store-buffering race to win: a waiter is put on the list under the same lock
//! under which `state` is set. If it is put in a stripe, that is under the
//! stripe's lock, which the walk takes after it has set `state`, to close it:
//! either the walk comes later and finds the waiter, or the waiter finds the
//! stripe closed, and `state` set. `refs` is counted like an `Arc`; the sole
//! holder's way out (I6) reads with Acquire what the others released.

mod ahead;
mod alloc;
mod ancestors;
mod callback;
mod cancel;
mod children;
mod clock;
#[cfg(all(test, loom))]
pub(crate) mod grave;
mod handle;
#[cfg(feature = "testing")]
mod hooked_waker;
mod life;
mod list;
mod lock;
mod mark;
mod notify;
#[cfg(all(test, loom))]
pub(crate) mod plain;
mod probe;
mod record;
mod run;
mod scoped;
pub(crate) mod spread;
pub(crate) mod stripes;
pub(crate) mod sync;
mod system;
mod take_back;
mod timer;
mod under;
mod wait;
mod wheel;

use std::sync::atomic::Ordering::Acquire;

use self::alloc::Ext;
pub(crate) use self::children::linked;
pub use self::clock::{Clock, TimeSource, WeakClock};
pub(crate) use self::handle::{SourceRef, TokenRef};
#[cfg(feature = "testing")]
pub(crate) use self::hooked_waker::{WakerHooks, hooked_waker};
use self::list::Entry;
use self::lock::Lock;
#[cfg(feature = "testing")]
pub(crate) use self::probe::{CountLooks, Probe};
use self::record::Record;
pub(crate) use self::record::RecordRef;
pub use self::run::Run;
use self::sync::{AtomicPtr, AtomicU32, AtomicU64, Guarded};
pub(crate) use self::system::SystemClock;
pub(crate) use self::take_back::CallbackHandle;
pub use self::wait::WhenCancelled;

/// The `state` of a live node whose looks are counted.
const PROBED: *mut Record = std::ptr::without_provenance_mut(1);

/// One signal. See the module's page for who may touch what.
#[repr(C)]
pub(crate) struct Node {
    state: AtomicPtr<Record>,
    parent: Guarded<*const Node>,
    entry: Entry,
    ext: AtomicPtr<Ext>,
    walk: Guarded<*const Node>,
    aside: Guarded<*const Entry>,
    // From here on: what others write. At least 64 bytes from `state`.
    refs: AtomicU64,
    lock: Lock,
    flags: Guarded<u8>,
    /// How often the lock was found taken by who came to put something on the list.
    meetings: Guarded<u8>,
    life: AtomicU32,
    list: Guarded<*const Entry>,
}

#[cfg(not(all(test, loom)))]
const _: () = {
    assert!(std::mem::offset_of!(Node, refs) >= 64);
    assert!(size_of::<Node>() == 88);
};

/// A child was ever attached.
const HAD_CHILD: u8 = 1;
/// A waiter was ever put on the list.
const HAD_WAITER: u8 = 2;
/// A callback was ever put on the list.
const HAD_CALLBACK: u8 = 4;
/// The links to the parents were let go, or somebody is about to.
const RELEASED: u8 = 8;
/// `life` is zero; the one who set this frees the node.
const DEAD: u8 = 16;
/// `ext` lies in the same allocation as the node.
const EXT_INSIDE: u8 = 32;
/// The node was attached to more than one parent.
const SEVERAL_PARENTS: u8 = 64;
/// The node is dead and empty; its memory stays for the children that need it.
const BURIED: u8 = 128;

impl Node {
    /// The record of the cancel that won, if there was one.
    #[inline(always)]
    fn record(&self) -> Option<*mut Record> {
        // Ordering: Acquire pairs with the Release in `set_record`.
        let state = self.state.load(Acquire);
        (state != PROBED && !state.is_null()).then_some(state)
    }

    /// # Safety
    ///
    /// The caller holds the node's lock, or has the node to himself.
    unsafe fn has_flag(&self, flag: u8) -> bool {
        // SAFETY: I2 by the caller.
        unsafe { self.flags.get() & flag != 0 }
    }

    /// # Safety
    ///
    /// The caller holds the node's lock, or has the node to himself.
    unsafe fn set_flag(&self, flag: u8) {
        // SAFETY: I2 by the caller.
        unsafe { self.flags.set(self.flags.get() | flag) }
    }
}

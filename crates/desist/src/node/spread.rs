//! Keeping threads apart: each has a place of its own, so that what they do at
//! the same time they do on different cache lines.

use std::cell::Cell;

use super::sync::per_thread;

/// How many places there are. More threads than that share them.
#[cfg(not(all(test, loom)))]
pub(super) const PLACES: usize = 8;
#[cfg(all(test, loom))]
pub(super) const PLACES: usize = 2;

/// Of no size: what comes behind it is on a cache line of its own, and on
/// another than the one that processors fetch along with it.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct OwnLine;

per_thread! {
    static PLACE: Cell<u8> = const { Cell::new(UNSEATED) };
}

/// The place of a thread that never asked for it.
const UNSEATED: u8 = u8::MAX;

/// This thread's place.
#[inline]
pub(super) fn place() -> u8 {
    let place = PLACE.with(Cell::get);
    if place == UNSEATED { take_place() } else { place }
}

/// Threads take places in turn, so that those that begin together, as those of
/// a pool do, do not share them.
#[cold]
#[cfg(not(all(test, loom)))]
fn take_place() -> u8 {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    static SEATED: AtomicUsize = AtomicUsize::new(0);
    // Ordering: Relaxed: a number, whoever gets it.
    let place = (SEATED.fetch_add(1, Relaxed) % PLACES) as u8;
    PLACE.with(|own| own.set(place));
    place
}

/// In a model all are in one place who do not `sit` elsewhere.
#[cfg(all(test, loom))]
fn take_place() -> u8 {
    0
}

#[cfg(all(test, loom))]
pub(crate) fn sit(place: u8) {
    PLACE.with(|own| own.set(place));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[test]
    fn threads_that_begin_together_have_places_of_their_own() {
        let own = place();
        assert_eq!(place(), own, "a thread stays in its place");
        // Others of this process take places meanwhile, so not each of a round is ours.
        let apart = (0..1_000).any(|_| {
            let threads: Vec<_> = (0..PLACES).map(|_| thread::spawn(place)).collect();
            let places: HashSet<u8> =
                threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert!(places.iter().all(|&place| usize::from(place) < PLACES));
            places.len() == PLACES
        });
        assert!(apart, "in no round of a thousand all had different places");
    }
}

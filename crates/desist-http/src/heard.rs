//! What is heard of a client, as far as it goes to heads of requests.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Whoever serves a connection writes it and reads it, from one task.
pub(crate) struct Heard {
    /// How many requests had begun when the client last spoke, or one of those below.
    last: AtomicU64,
    /// Somebody waits for more of it, and will see the end by itself.
    is_awaited: AtomicBool,
    /// So many bodies of requests are not read to their ends.
    bodies: AtomicUsize,
    /// Something was read since it was polled.
    is_fresh: AtomicBool,
    /// It has begun as HTTP/2 does.
    is_preface: AtomicBool,
    /// It has not taken all that was to be written.
    is_blocked: AtomicBool,
}

const NOTHING: u64 = u64::MAX;
/// Whatever was heard was a request, by now.
const REQUESTS: u64 = u64::MAX - 1;
/// Requests on HTTP/2, which says other things as well.
const FRAMES: u64 = u64::MAX - 2;

impl Heard {
    pub(crate) fn nothing() -> Self {
        Self {
            last: AtomicU64::new(NOTHING),
            is_awaited: AtomicBool::new(false),
            bodies: AtomicUsize::new(0),
            is_fresh: AtomicBool::new(false),
            is_preface: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
        }
    }

    fn last(&self) -> u64 {
        // Ordering: one task does all of it.
        self.last.load(Ordering::Relaxed)
    }

    fn set_last(&self, last: u64) {
        // Ordering: as in `last`.
        self.last.store(last, Ordering::Relaxed);
    }

    /// The client has said something, which is the beginning of a request.
    pub(crate) fn hear(&self, begun: u64) {
        if matches!(self.last(), NOTHING | REQUESTS) {
            self.set_last(begun);
        }
    }

    /// Those that begin here are some of many.
    pub(crate) fn hear_frames(&self) {
        self.set_last(FRAMES);
    }

    /// Whether the client has said nothing yet, or something that is no request yet.
    pub(crate) fn is_owed_a_head(&self, begun: u64) -> bool {
        match self.last() {
            NOTHING => true,
            REQUESTS | FRAMES => false,
            before if before == begun => true,
            _ => {
                self.set_last(REQUESTS);
                false
            }
        }
    }

    pub(crate) fn is_of_frames(&self) -> bool {
        // Ordering: as in `last`.
        self.last() == FRAMES || self.is_preface.load(Ordering::Relaxed)
    }

    /// `PRI * HTTP/2.0`, of which no other method has the first letters.
    pub(crate) fn begins_with(&self, bytes: &[u8]) {
        // Ordering: as in `last`.
        self.is_preface.store(bytes.starts_with(b"PRI"), Ordering::Relaxed);
    }

    pub(crate) fn body_begins(&self) {
        // Ordering: it only counts; whoever serves the connection asks again.
        self.bodies.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn body_ends(&self) {
        // Ordering: as in `body_begins`.
        self.bodies.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_in_a_body(&self) -> bool {
        // Ordering: as in `body_begins`.
        self.bodies.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn set_fresh(&self, is_fresh: bool) {
        // Ordering: as in `last`.
        self.is_fresh.store(is_fresh, Ordering::Relaxed);
    }

    pub(crate) fn is_fresh(&self) -> bool {
        // Ordering: as in `last`.
        self.is_fresh.load(Ordering::Relaxed)
    }

    pub(crate) fn set_blocked(&self, is_blocked: bool) {
        // Ordering: as in `last`.
        self.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    pub(crate) fn is_blocked(&self) -> bool {
        // Ordering: as in `last`.
        self.is_blocked.load(Ordering::Relaxed)
    }

    pub(crate) fn set_awaited(&self, is_awaited: bool) {
        // Ordering: as in `last`.
        self.is_awaited.store(is_awaited, Ordering::Relaxed);
    }

    pub(crate) fn is_awaited(&self) -> bool {
        // Ordering: as in `last`.
        self.is_awaited.load(Ordering::Relaxed)
    }
}

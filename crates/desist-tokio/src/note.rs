//! Whether anybody looked, noted for whoever wants to know.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where looks are noted, if anywhere. It makes nobody another one: all are equal.
#[derive(Clone, Default)]
pub(crate) struct Note(Option<Arc<Noted>>);

struct Noted {
    seen: AtomicBool,
    above: Note,
}

impl Note {
    /// One more. What is noted in it is noted in this one as well.
    pub(crate) fn below(&self) -> Self {
        Self(Some(Arc::new(Noted { seen: AtomicBool::new(false), above: self.clone() })))
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn look(&self) {
        let mut next = &self.0;
        while let Some(noted) = next {
            // Ordering: Relaxed, both: the flag is all that is told to `has_look`. It
            // is written once, so that looks in a loop leave it in every cache.
            if !noted.seen.load(Ordering::Relaxed) {
                noted.seen.store(true, Ordering::Relaxed);
            }
            next = &noted.above.0;
        }
    }

    pub(crate) fn has_look(&self) -> bool {
        // Ordering: Relaxed, for nothing is read because of it that was written
        // before the store in `look`.
        self.0.as_ref().is_some_and(|noted| noted.seen.load(Ordering::Relaxed))
    }
}

/// Link by link, and not each inside the one before.
impl Drop for Noted {
    fn drop(&mut self) {
        let mut next = self.above.0.take();
        while let Some(mut noted) = next.and_then(Arc::into_inner) {
            next = noted.above.0.take();
        }
    }
}

impl PartialEq for Note {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Note {}

impl Hash for Note {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

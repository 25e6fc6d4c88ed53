//! The cause of the host's stop, for each of its services anew.

use std::error::Error;
use std::fmt;

use desist::{Cancelled, Cause};

/// The same reason, and a detail that says the same.
pub(super) fn again(cancelled: &Cancelled) -> Cause {
    let cause = Cause::new(cancelled.reason());
    match cancelled.detail() {
        Some(_) => cause.detail(Box::new(Detail(cancelled.clone())) as Box<_>),
        None => cause,
    }
}

/// The detail of that one, which has one.
struct Detail(Cancelled);

impl Detail {
    fn inner(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.0.detail()
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner().map_or(Ok(()), |detail| fmt::Display::fmt(detail, f))
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner().map_or(Ok(()), |detail| fmt::Debug::fmt(detail, f))
    }
}

impl Error for Detail {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner()?.source()
    }
}

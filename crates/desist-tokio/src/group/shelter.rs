//! What a shield leaves with the group whose task it was in: so that the group
//! waits for it, and what went wrong with it is said.

use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::{Outcome, TaskPanic};
use super::shared::{Kind, Shared, Ticket};

/// A group, whatever its tasks give.
pub(crate) trait Keeper: Send + Sync {
    /// Has something to wait for until `until` at most, on the group's clock.
    fn shelter(
        self: Arc<Self>,
        place: &'static Location<'static>,
        bound: Duration,
    ) -> Box<dyn Shelter>;
}

/// Held while the group waits.
pub(crate) trait Shelter: Send {
    fn over(self: Box<Self>, lost: Lost);
}

/// What nobody else will hear of.
pub(crate) enum Lost {
    Nothing,
    /// The bound was over before the work was.
    Overdue,
    Panicked(TaskPanic),
}

impl<T: Send + 'static> Keeper for Shared<T> {
    fn shelter(
        self: Arc<Self>,
        place: &'static Location<'static>,
        bound: Duration,
    ) -> Box<dyn Shelter> {
        let now = self.clock.now();
        // Longer than there is time: as long as there is.
        let until = now.checked_add(bound).unwrap_or_else(|| far_from(now));
        Box::new(self.enter("shield".into(), place, Kind::Shield { until }))
    }
}

fn far_from(now: Instant) -> Instant {
    now + Duration::from_secs(u32::MAX.into())
}

impl<T: Send + 'static> Shelter for Ticket<T> {
    fn over(self: Box<Self>, lost: Lost) {
        match lost {
            Lost::Nothing => self.leave(),
            Lost::Overdue => self.end(Outcome::Aborted),
            Lost::Panicked(panic) => self.end(Outcome::Panicked(panic)),
        }
    }
}

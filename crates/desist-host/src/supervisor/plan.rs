//! What the supervisor is given: who waits for whom, and the times.

use std::time::Duration;

use crate::policy::{OnEnd, OnFailure};

/// The services in the order in which they start: each comes after such only as stand
/// before it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Plan {
    pub(crate) services: Vec<Planned>,
    /// From the request to stop to the end, whatever happens.
    pub(crate) shutdown_timeout: Duration,
    /// How long it serves on when it is no longer ready.
    pub(crate) drain_delay: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Planned {
    /// Who has to have started before.
    pub(crate) after: Vec<usize>,
    /// Who comes after it, directly or through others that may be over already: they have
    /// to be over before it is asked to stop.
    pub(crate) dependents: Vec<usize>,
    pub(crate) start_timeout: Duration,
    pub(crate) drain: Duration,
    pub(crate) grace: Duration,
    pub(crate) on_failure: OnFailure,
    pub(crate) on_end: OnEnd,
}

impl Plan {
    /// When what is left of the order is given up, and everybody is asked: so long before
    /// the end.
    pub(crate) fn last_call(&self) -> Duration {
        (self.shutdown_timeout / 5).min(Duration::from_secs(5))
    }

    /// When whoever still runs is aborted: so long before the end.
    pub(crate) fn last_abort(&self) -> Duration {
        (self.shutdown_timeout / 10).min(Duration::from_secs(2))
    }

    /// When whoever still cleans up is aborted: so long before the end.
    pub(crate) fn last_cleanup(&self) -> Duration {
        (self.shutdown_timeout / 20).min(Duration::from_millis(500))
    }
}

/// From whom each comes after.
pub(crate) fn set_dependents(services: &mut [Planned]) {
    // Whoever comes after another stands behind it.
    for index in (0..services.len()).rev() {
        let mut is_behind = vec![false; services.len()];
        is_behind[index] = true;
        for later in index + 1..services.len() {
            is_behind[later] = services[later].after.iter().any(|before| is_behind[*before]);
        }
        is_behind[index] = false;
        services[index].dependents =
            (index..services.len()).filter(|later| is_behind[*later]).collect();
    }
}

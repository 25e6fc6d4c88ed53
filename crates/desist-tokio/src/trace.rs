//! Events for `tracing`, target `desist`: who was asked to stop, who heard it,
//! who stopped, and who is overdue; each with the reason, where the request was
//! made, and how long ago by the clock on which it was. Without the feature there is
//! nothing here; with it an event that nobody listens to costs one look, and a group
//! one callback, since whoever listens may come later.

use std::task::Poll;

use desist::{Cancelled, Token};

pub(crate) use self::events::{group_requested, hears_stops, overdue, requested, stopped};

/// A wait of this crate ended because a stop was asked for.
pub(crate) fn heard<T>(by: &'static str, token: &Token, polled: &Poll<Result<T, Cancelled>>) {
    if let Poll::Ready(Err(cancelled)) = polled {
        events::heard(by, token, cancelled);
    }
}

#[cfg(feature = "tracing")]
mod events {
    use std::error::Error as _;
    use std::panic::Location;
    use std::time::Duration;

    use desist::{Cancelled, Token};
    use tracing::{Level, debug, event_enabled, info, trace, warn};

    fn age(token: &Token, cancelled: &Cancelled) -> Duration {
        token.clock().now().saturating_duration_since(cancelled.at())
    }

    /// Somebody asked, in this crate's words, and was the first.
    pub(crate) fn requested(stage: &'static str, token: &Token) {
        if !event_enabled!(target: "desist", Level::INFO) {
            return;
        }
        if let Some(cancelled) = token.cancellation() {
            info!(
                target: "desist",
                stage,
                reason = %cancelled.reason(),
                detail = cancelled.source().map(tracing::field::display),
                origin = %cancelled.origin(),
                age = ?age(token, &cancelled),
                "stop requested",
            );
        }
    }

    /// The request has come to a group, from wherever.
    pub(crate) fn group_requested(
        place: &'static Location<'static>,
        tasks: usize,
        token: &Token,
        cancelled: &Cancelled,
    ) {
        debug!(
            target: "desist",
            group = %place,
            tasks,
            reason = %cancelled.reason(),
            detail = cancelled.source().map(tracing::field::display),
            origin = %cancelled.origin(),
            age = ?age(token, cancelled),
            "stop requested of a group",
        );
    }

    pub(crate) fn heard(by: &'static str, token: &Token, cancelled: &Cancelled) {
        trace!(
            target: "desist",
            reason = %cancelled.reason(),
            origin = %cancelled.origin(),
            age = ?age(token, cancelled),
            "stop heard by {by}",
        );
    }

    pub(crate) fn hears_stops() -> bool {
        event_enabled!(target: "desist", Level::DEBUG)
    }

    pub(crate) fn stopped(
        name: &str,
        place: &'static Location<'static>,
        how: &'static str,
        asked: &Cancelled,
        after: Duration,
    ) {
        debug!(
            target: "desist",
            task = name,
            spawned = %place,
            how,
            reason = %asked.reason(),
            origin = %asked.origin(),
            age = ?after,
            "task stopped",
        );
    }

    pub(crate) fn overdue(
        name: &str,
        place: &'static Location<'static>,
        asked: &Cancelled,
        waited: Duration,
    ) {
        warn!(
            target: "desist",
            task = name,
            spawned = %place,
            reason = %asked.reason(),
            origin = %asked.origin(),
            age = ?waited,
            "task overdue",
        );
    }
}

#[cfg(not(feature = "tracing"))]
mod events {
    use std::panic::Location;
    use std::time::Duration;

    use desist::{Cancelled, Token};

    pub(crate) fn requested(_: &'static str, _: &Token) {}

    pub(crate) fn group_requested(
        _: &'static Location<'static>,
        _: usize,
        _: &Token,
        _: &Cancelled,
    ) {
    }

    pub(crate) fn heard(_: &'static str, _: &Token, _: &Cancelled) {}

    pub(crate) fn hears_stops() -> bool {
        false
    }

    pub(crate) fn stopped(
        _: &str,
        _: &'static Location<'static>,
        _: &'static str,
        _: &Cancelled,
        _: Duration,
    ) {
    }

    pub(crate) fn overdue(_: &str, _: &'static Location<'static>, _: &Cancelled, _: Duration) {}
}

//! Events for `tracing`, target `desist`: who was asked to stop, who heard it,
//! who stopped, and who is overdue; each with the reason, where the request was
//! made, and how long ago. Without the feature there is nothing here, and with it
//! an event that nobody listens to costs one look.

use std::task::Poll;

use desist::Cancelled;

pub(crate) use self::events::{hears_stops, overdue, requested, stopped};

/// A wait of this crate ended because a stop was asked for.
pub(crate) fn heard<T>(by: &'static str, polled: &Poll<Result<T, Cancelled>>) {
    if let Poll::Ready(result) = polled {
        heard_result(by, result);
    }
}

pub(crate) fn heard_result<T>(by: &'static str, result: &Result<T, Cancelled>) {
    if let Err(cancelled) = result {
        events::heard(by, cancelled);
    }
}

#[cfg(feature = "tracing")]
mod events {
    use std::panic::Location;
    use std::time::Duration;

    use desist::{Cancelled, Token};
    use tracing::{Level, debug, event_enabled, info, trace, warn};

    /// By the time of the runtime, paused or not.
    fn age(cancelled: &Cancelled) -> Duration {
        tokio::time::Instant::now().into_std().saturating_duration_since(cancelled.at())
    }

    pub(crate) fn requested(what: &'static str, token: &Token) {
        if !event_enabled!(target: "desist", Level::INFO) {
            return;
        }
        let registration = token.on_cancel(move |cancelled| {
            info!(
                target: "desist",
                reason = %cancelled.reason(),
                detail = cancelled.detail().map(tracing::field::display),
                origin = %cancelled.origin(),
                age = ?age(cancelled),
                "{what}: stop requested",
            );
        });
        registration.detach();
    }

    pub(crate) fn heard(by: &'static str, cancelled: &Cancelled) {
        trace!(
            target: "desist",
            reason = %cancelled.reason(),
            origin = %cancelled.origin(),
            age = ?age(cancelled),
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

    pub(crate) fn heard(_: &'static str, _: &Cancelled) {}

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

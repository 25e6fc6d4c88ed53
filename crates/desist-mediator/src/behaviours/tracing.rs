//! What is asked, and how it ends, told to `tracing`.

use std::error::Error as StdError;
use std::fmt;
use std::time::Instant;

use tracing::{Instrument as _, debug, info, info_span, warn};

use crate::{Answer, Behaviour, Call, Error};

/// A span `request` with the name of the request, and in it an event for its end: `answered`
/// (debug), `cancelled` with the reason and how long after the request to stop (info), or
/// `failed` with the whole chain of causes (warn). The target is `desist`.
///
/// ```
/// use desist_mediator::{Mediator, Tracing};
///
/// // The first behaviour is the outermost, and sees what the others do.
/// let mediator = Mediator::builder().behaviour(Tracing).build();
/// assert!(mediator.is_ok());
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Tracing;

impl Behaviour for Tracing {
    async fn handle(&self, call: Call) -> Result<Answer, Error> {
        let span = info_span!(target: "desist", "request", request = call.name());
        let token = call.token().clone();
        async move {
            let begun = Instant::now();
            let answer = call.proceed().await;
            let took = begun.elapsed();
            match &answer {
                Ok(_) => debug!(target: "desist", ?took, "answered"),
                Err(error) => match error.cancelled() {
                    Some(cancelled) => info!(
                        target: "desist",
                        ?took,
                        reason = %cancelled.reason(),
                        origin = %cancelled.origin(),
                        age = ?token.clock().now().saturating_duration_since(cancelled.at()),
                        "cancelled",
                    ),
                    None => warn!(target: "desist", ?took, error = %Chain(error), "failed"),
                },
            }
            answer
        }
        .instrument(span)
        .await
    }
}

/// An error with all that is behind it.
struct Chain<'a>(&'a Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

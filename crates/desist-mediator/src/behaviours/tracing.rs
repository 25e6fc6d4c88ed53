//! What is asked, and how it ends, told to `tracing`.

use std::error::Error as StdError;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use desist::{Cancelled, Token};
use tracing::{Instrument as _, debug, info, info_span, warn};

use crate::{Answer, Behaviour, Call, Error};

/// A span `request` with the name of the request, and in it an event for its end. The target
/// is `desist`.
///
/// | event | level | with |
/// |---|---|---|
/// | `answered` | debug | |
/// | `cancelled` | info | the reason, and how long ago it was asked to stop |
/// | `dropped`: nobody waits for the answer any more | info | the same, if it was asked |
/// | `refused`: it is not valid | info | the error, with all that is behind it |
/// | `failed` | warn | the same |
/// | `panicked` | warn | |
///
/// All have `took`. Of what is cancelled before it is begun nothing is said.
///
/// ```
/// use desist_mediator::{Mediator, Tracing};
///
/// // The first behaviour is the outermost, and sees what the others do.
/// let mediator = Mediator::builder().behaviour(Tracing::new()).build();
/// assert!(mediator.is_ok());
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Tracing {}

impl Tracing {
    /// As described.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Behaviour for Tracing {
    async fn handle(&self, call: Call) -> Result<Answer, Error> {
        let span = info_span!(target: "desist", "request", request = call.name());
        let running =
            Running { token: call.token().clone(), begun: Instant::now(), is_over: false };
        async move {
            let answer = call.proceed().await;
            running.end(&answer);
            answer
        }
        .instrument(span)
        .await
    }
}

/// Says how it ended, also when it is dropped.
struct Running {
    token: Token,
    begun: Instant,
    is_over: bool,
}

impl Running {
    fn age(&self, cancelled: &Cancelled) -> Duration {
        self.token.clock().now().saturating_duration_since(cancelled.at())
    }

    fn end(mut self, answer: &Result<Answer, Error>) {
        self.is_over = true;
        let took = self.begun.elapsed();
        let Err(error) = answer else {
            debug!(target: "desist", ?took, "answered");
            return;
        };
        if let Some(cancelled) = error.cancelled() {
            info!(
                target: "desist",
                ?took,
                reason = %cancelled.reason(),
                origin = %cancelled.origin(),
                age = ?self.age(cancelled),
                "cancelled",
            );
        } else if error.invalid().is_some() {
            info!(target: "desist", ?took, error = %Chain(error), "refused");
        } else {
            warn!(target: "desist", ?took, error = %Chain(error), "failed");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let took = self.begun.elapsed();
        if thread::panicking() {
            warn!(target: "desist", ?took, "panicked");
            return;
        }
        match self.token.cancellation() {
            Some(cancelled) => info!(
                target: "desist",
                ?took,
                reason = %cancelled.reason(),
                origin = %cancelled.origin(),
                age = ?self.age(&cancelled),
                "dropped",
            ),
            None => info!(target: "desist", ?took, "dropped"),
        }
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

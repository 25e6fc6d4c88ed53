use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use desist::{Token, WhenCancelled};
use tonic::{Status, TimeoutExpired};

use super::status::status_of;
use crate::layer::BoxError;

/// Waits for the end of a call's token.
pub(super) struct Until {
    token: Token,
    when: Pin<Box<WhenCancelled<'static>>>,
}

impl Until {
    pub(super) fn new(token: Token) -> Self {
        let when = Box::pin(token.clone().cancelled_owned());
        Self { token, when }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        self.when.as_mut().poll(cx).map(|why| status_of(&why))
    }

    /// Whether its time is over, though nobody has been told yet: that takes a millisecond or
    /// two, in which the server, or a timer of tonic, may be faster. What they say is a
    /// consequence.
    pub(super) fn is_late(&self) -> bool {
        self.token.is_cancelled() || self.token.remaining() == Some(Duration::ZERO)
    }
}

/// What a call failed of that was not stopped.
pub(super) fn failed(error: BoxError) -> BoxError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
    while let Some(cause) = source {
        if cause.is::<TimeoutExpired>() {
            // The channel's own time, which tonic has as `CANCELLED`.
            let mut status = Status::deadline_exceeded("the channel's own time is over");
            status.set_source(error.into());
            return status.into();
        }
        source = cause.source();
    }
    error
}

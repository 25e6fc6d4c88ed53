//! The end of a token, for whoever waits for it beside an answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use desist::{Cancelled, Token, WhenCancelled};

/// Waits for the end of a token.
pub(crate) struct Until {
    token: Token,
    when: Pin<Box<WhenCancelled<'static>>>,
}

impl Until {
    pub(crate) fn new(token: Token) -> Self {
        let when = Box::pin(token.clone().cancelled_owned());
        Self { token, when }
    }

    #[cfg(feature = "reqwest")]
    pub(crate) fn token(&self) -> &Token {
        &self.token
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Cancelled> {
        self.when.as_mut().poll(cx)
    }

    /// Whether it is over, though perhaps nobody has been told yet: of a time that takes a
    /// millisecond or two, in which the server behind, or a timer of the client's, may be
    /// faster. What they say is a consequence, and who waits has the token's word soon.
    pub(crate) fn is_late(&self) -> bool {
        self.token.is_cancelled() || self.token.remaining() == Some(Duration::ZERO)
    }
}

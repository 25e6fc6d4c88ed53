//! The end of a token, for whoever waits for it beside an answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use desist::{Cancelled, Reason, Token, WhenCancelled};

/// Waits for the end of a token.
pub(crate) struct Until {
    token: Token,
    when: Pin<Box<WhenCancelled<'static>>>,
    /// It was found to be over before anybody was told.
    found: Option<Cancelled>,
}

impl Until {
    pub(crate) fn new(token: Token) -> Self {
        let when = Box::pin(token.clone().cancelled_owned());
        Self { token, when, found: None }
    }

    #[cfg(feature = "reqwest")]
    pub(crate) fn token(&self) -> &Token {
        &self.token
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Cancelled> {
        if let Some(found) = &self.found {
            return Poll::Ready(found.clone());
        }
        self.when.as_mut().poll(cx)
    }

    /// Why it is over, though perhaps nobody has been told yet: of a time that takes a
    /// millisecond or two, in which the server behind, or a timer of the client's, may be
    /// faster. What they say is a consequence. Nobody waits for the word of the token, which
    /// may be given more time meanwhile.
    pub(crate) fn over(&mut self, cx: &mut Context<'_>) -> Option<Cancelled> {
        match self.poll(cx) {
            Poll::Ready(why) => Some(why),
            Poll::Pending if self.token.remaining() == Some(Duration::ZERO) => {
                self.found = Token::cancelled_with(Reason::Deadline).cancellation();
                self.found.clone()
            }
            Poll::Pending => None,
        }
    }
}

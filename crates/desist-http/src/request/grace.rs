//! How long a handler goes on without its client: one grace, wherever it spends it, and
//! one place among those that do.

#[cfg(feature = "axum")]
use std::pin::Pin;
use std::time::{Duration, Instant};

use desist::{Source, Token};
#[cfg(feature = "axum")]
use tokio::time::{Sleep, sleep_until};

use crate::layer::Rescued;

/// Until this is dropped.
pub(crate) struct GoesOn {
    pub(super) until: Until,
    pub(super) _place: Rescued,
}

/// Until then, if there is an end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until(Option<Instant>);

impl Until {
    pub(super) fn over(grace: Option<Duration>) -> Self {
        Self(grace.and_then(|grace| Instant::now().checked_add(grace)))
    }

    pub(crate) fn is_over(self) -> bool {
        self.0.is_some_and(|end| end <= Instant::now())
    }

    pub(crate) fn token(self) -> Token {
        self.0.map_or_else(Token::never, |end| Source::with_deadline(end).token())
    }

    /// `None`: there is no end.
    #[cfg(feature = "axum")]
    pub(crate) fn sleep(self) -> Option<Pin<Box<Sleep>>> {
        self.0.map(|end| Box::pin(sleep_until(end.into())))
    }
}

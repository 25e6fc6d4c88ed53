//! Deadlines: asking for them, and setting them for what is below.

use std::panic::Location;
use std::time::{Duration, Instant};

use super::Token;
use crate::node::TokenRef;
use crate::{Clock, Source};

impl Token {
    /// The earliest deadline that this signal is under, its own or an
    /// ancestor's. Once cancelled: the one that did it, or else its own.
    ///
    /// ```
    /// use desist::Source;
    /// use std::time::{Duration, Instant};
    ///
    /// let due = Instant::now() + Duration::from_secs(5);
    /// let request = Source::with_deadline(due);
    /// let query = request.token().child_with_timeout(Duration::from_secs(30));
    /// assert_eq!(query.token().deadline(), Some(due));
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        Some(self.0.as_ref()?.outlook()?.deadline)
    }

    /// How long there is until the [`deadline`](Self::deadline); zero if it has
    /// passed.
    ///
    /// ```
    /// use desist::{Source, Token};
    /// use std::time::Duration;
    ///
    /// let source = Source::with_timeout(Duration::from_secs(5));
    /// assert!(source.token().remaining().unwrap() <= Duration::from_secs(6));
    /// assert_eq!(Token::never().remaining(), None);
    /// ```
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        Some(self.0.as_ref()?.outlook()?.remaining)
    }

    /// A child with a deadline of its own, `timeout` from now.
    ///
    /// ```
    /// use desist::{Reason, Token};
    /// use std::time::Duration;
    ///
    /// let child = Token::never().child_with_timeout(Duration::ZERO);
    /// assert_eq!(child.token().reason(), Some(Reason::Deadline));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn child_with_timeout(&self, timeout: Duration) -> Source {
        match &self.0 {
            Some(token) => Source::from_ref(token.child_with_timeout(timeout, Location::caller())),
            None => Source::with_timeout(timeout),
        }
    }

    /// A child with a deadline of its own.
    ///
    /// ```
    /// use desist::Token;
    /// use std::time::{Duration, Instant};
    ///
    /// let due = Instant::now() + Duration::from_secs(1);
    /// let child = Token::never().child_with_deadline(due);
    /// assert_eq!(child.token().deadline(), Some(due));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn child_with_deadline(&self, deadline: Instant) -> Source {
        match &self.0 {
            Some(token) => {
                Source::from_ref(token.child_with_deadline(deadline, Location::caller()))
            }
            None => Source::with_deadline(deadline),
        }
    }

    /// Where this signal's deadlines get their time from, and the instants that it
    /// tells: a child's is that of its first parent.
    ///
    /// ```
    /// use desist::{Clock, Source, TimeSource};
    /// use std::time::Instant;
    ///
    /// struct Still(Instant);
    /// impl TimeSource for Still {
    ///     fn now(&self) -> Instant { self.0 }
    ///     fn arm(&self, _next: Option<Instant>) {}
    /// }
    /// let noon = Instant::now();
    /// let source = Source::with_clock(Clock::new(Still(noon)));
    /// assert_eq!(source.token().child().token().clock().now(), noon);
    /// ```
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.0.as_ref().map_or_else(Clock::system, TokenRef::clock)
    }

    /// For work that must not be stopped: [`never`](Self::never), said out loud
    /// and easy to search for. Prefer a bound: [`shielded_for`](Self::shielded_for).
    ///
    /// ```
    /// use desist::Source;
    ///
    /// let source = Source::new();
    /// let audit = source.token().shielded();
    /// source.cancel();
    /// assert!(!audit.is_cancelled());
    /// ```
    #[must_use]
    pub fn shielded(&self) -> Self {
        Self::never()
    }

    /// For cleanup: a signal that this one does not reach, with a bound of its
    /// own from now on, on the same clock.
    ///
    /// ```
    /// use desist::Source;
    /// use std::time::Duration;
    ///
    /// let source = Source::new();
    /// source.cancel();
    /// let rollback = source.token().shielded_for(Duration::from_secs(5));
    /// assert!(!rollback.is_cancelled());
    /// assert!(rollback.token().remaining().is_some());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn shielded_for(&self, bound: Duration) -> Source {
        let source = match &self.0 {
            Some(token) => Source::with_clock(token.clock()),
            None => Source::new(),
        };
        source.cancel_after(bound);
        source
    }
}

//! Waiting with the thread.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::Token;
use crate::Cancelled;
use crate::node::TokenRef;
use crate::park::Parker;

impl Token {
    /// Blocks the thread until the stop is asked for. For ever, if it never is.
    ///
    /// ```
    /// use desist::Source;
    /// use std::thread;
    ///
    /// let source = Source::new();
    /// let token = source.token();
    /// let worker = thread::spawn(move || token.blocking_wait().reason());
    /// source.cancel();
    /// assert_eq!(worker.join().unwrap(), desist::Reason::Requested);
    /// ```
    pub fn blocking_wait(&self) -> Cancelled {
        let Some(cancelled) = self.block(None) else { unreachable!("without a limit it waits") };
        cancelled
    }

    /// Blocks until the stop is asked for, or for `timeout`.
    ///
    /// ```
    /// use desist::Token;
    /// use std::time::Duration;
    ///
    /// assert!(Token::never().blocking_wait_timeout(Duration::from_millis(1)).is_none());
    /// ```
    pub fn blocking_wait_timeout(&self, timeout: Duration) -> Option<Cancelled> {
        let clock = self.0.as_ref().map(TokenRef::clock);
        if clock.is_some_and(|clock| !clock.is_system()) {
            // Time that is moved from elsewhere: a deadline on that clock.
            self.child_with_timeout(timeout).token().blocking_wait();
            return self.0.as_ref()?.recorded();
        }
        self.block(Instant::now().checked_add(timeout)).or_else(|| self.0.as_ref()?.recorded())
    }

    /// Sleeps, unless the stop is asked for first.
    ///
    /// ```
    /// use desist::{Reason, Token};
    /// use std::time::Duration;
    ///
    /// let token = Token::cancelled_with(Reason::Shutdown);
    /// assert!(token.blocking_sleep(Duration::from_secs(3600)).is_err());
    /// assert!(Token::never().blocking_sleep(Duration::from_millis(1)).is_ok());
    /// ```
    pub fn blocking_sleep(&self, duration: Duration) -> Result<(), Cancelled> {
        match self.blocking_wait_timeout(duration) {
            None => Ok(()),
            Some(cancelled) => Err(cancelled),
        }
    }

    /// Blocks until it is cancelled, or `until`.
    fn block(&self, until: Option<Instant>) -> Option<Cancelled> {
        let parker = Arc::new(Parker::new());
        let waker = Waker::from(Arc::clone(&parker));
        let mut cx = Context::from_waker(&waker);
        let mut cancelled = pin!(self.cancelled());
        loop {
            if let Poll::Ready(cancelled) = cancelled.as_mut().poll(&mut cx) {
                return Some(cancelled);
            }
            match until {
                Some(until) if !parker.park_until(until) => return None,
                Some(_) => {}
                None => self.park_unless_alone(&parker),
            }
        }
    }

    /// Parks; a test's token that nobody else can cancel is cancelled instead.
    fn park_unless_alone(&self, parker: &Parker) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let Some((token, probe)) = self.0.as_ref().and_then(|t| Some((t, t.probe()?))) else {
            return parker.park();
        };
        if token.is_root() || !parker.park_until(Instant::now() + PATIENCE) {
            probe.waits_alone();
        }
    }
}

//! What becomes of a message, decided in one place.
//!
//! | the work | asked to stop before? | deliveries | the message |
//! |---|---|---|---|
//! | succeeded | – | – | is done |
//! | failed with [`Aside`] | – | – | is set aside |
//! | failed with [`RetryAfter`] | – | – | is given back, for after that time |
//! | failed in any other way, or panicked | yes | – | is given back at once |
//! | failed in any other way, or panicked | no | less than the most | is given back, for after a pause |
//! | failed in any other way, or panicked | no | the most, or more | is set aside |
//! | did not stop in its time, and was dropped | by the consumer's stop | – | is given back at once |
//! | the same | by its time being over | as for a failure | as for a failure |
//! | was not tried | – | more than twice the most | is set aside |
//!
//! The last is for what takes the process with it whenever it is tried: nobody lives to say
//! that it failed. Twice, because a message that is given back again and again by consumers
//! that stop is counted by the broker, too.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use desist::find_cancelled;

use crate::error::{DEPTH, chain};
use crate::{Backoff, BoxError};

/// What work returns when its message can never be worked on: it is set aside, with this as
/// the reason. It is found behind any number of errors.
///
/// ```
/// use desist_queue::Aside;
///
/// # fn work(customer: Option<&str>) -> Result<(), Aside> {
/// customer.ok_or_else(|| Aside::new("the customer is not there any more"))?;
/// # Ok(()) }
/// assert_eq!(work(None).unwrap_err().to_string(), "the customer is not there any more");
/// ```
#[derive(Debug)]
pub struct Aside {
    why: String,
    source: Option<BoxError>,
}

impl Aside {
    /// For this reason.
    #[must_use]
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), source: None }
    }

    /// For this reason, with what is behind it.
    ///
    /// ```
    /// use desist_queue::Aside;
    /// use std::error::Error;
    ///
    /// let wrong = "two".parse::<u32>().unwrap_err();
    /// let aside = Aside::with_source("the payload is no number", wrong);
    /// assert_eq!(aside.source().unwrap().to_string(), "invalid digit found in string");
    /// ```
    #[must_use]
    pub fn with_source(why: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { why: why.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl StdError for Aside {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// What work returns when its message can be worked on later, and it knows when: it is given
/// back for after this time, also at the last of its
/// [deliveries](crate::Consumer::max_deliveries). Who never stops to ask for that is not tried
/// any more after twice as many. It is found behind any number of errors.
///
/// ```
/// use desist_queue::RetryAfter;
/// use std::time::Duration;
///
/// let error = RetryAfter::new(Duration::from_secs(30), "the shop is closed");
/// assert_eq!(error.to_string(), "the shop is closed");
/// assert_eq!(error.after(), Duration::from_secs(30));
/// ```
#[derive(Debug)]
pub struct RetryAfter {
    after: Duration,
    why: String,
}

impl RetryAfter {
    /// After this time, for this reason.
    #[must_use]
    pub fn new(after: Duration, why: impl Into<String>) -> Self {
        Self { after, why: why.into() }
    }

    /// After which time.
    #[must_use]
    pub fn after(&self) -> Duration {
        self.after
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl StdError for RetryAfter {}

/// How the work on a message ended.
#[derive(Debug)]
pub(crate) enum End {
    Succeeded,
    /// It was known to be finished, and nobody worked on it again.
    Known,
    Failed(Failure),
    Panicked(String),
    /// It did not stop when it was asked.
    Dropped,
}

/// What work failed with. It is read where the work ran: an error is foreign code, and may
/// panic.
#[derive(Debug)]
pub(crate) struct Failure {
    wish: Option<Wish>,
    is_cancelled: bool,
    why: String,
}

#[derive(Debug, Clone, Copy)]
enum Wish {
    Aside,
    RetryAfter(Duration),
}

impl From<BoxError> for Failure {
    fn from(error: BoxError) -> Self {
        let error: &(dyn StdError + 'static) = &*error;
        let after = || find::<RetryAfter>(error).map(|retry| Wish::RetryAfter(retry.after));
        let wish = find::<Aside>(error).map(|_| Wish::Aside).or_else(after);
        Self { wish, is_cancelled: find_cancelled(error).is_some(), why: chain(error) }
    }
}

impl End {
    /// Whether the work says of itself that it ended because it was asked to.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.is_cancelled)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    /// Done, without work.
    Known,
    GiveBack {
        after: Duration,
        why: Why,
    },
    Aside {
        why: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// The consumer stops.
    Stops,
    Failed(String),
}

/// Of a delivery that has come, unless it is to be tried.
pub(crate) fn untried(deliveries: u64, most: u64) -> Option<Fate> {
    (deliveries > most.saturating_mul(2)).then(|| Fate::Aside {
        why: format!("delivered {deliveries} times, and never with success"),
    })
}

/// Of a message whose work has ended like this. `stops`: its consumer has asked it to stop, or
/// it has ended with a `Cancelled` while the consumer drains.
pub(crate) fn of(end: &End, stops: bool, deliveries: u64, most: u64, backoff: &Backoff) -> Fate {
    let why = match end {
        End::Succeeded => return Fate::Done,
        End::Known => return Fate::Known,
        End::Failed(Failure { wish, why, .. }) => match *wish {
            Some(Wish::Aside) => return Fate::Aside { why: why.clone() },
            Some(Wish::RetryAfter(after)) => {
                return Fate::GiveBack { after, why: Why::Failed(why.clone()) };
            }
            None => why.clone(),
        },
        End::Panicked(message) => format!("panicked: {message}"),
        End::Dropped => "did not stop in its time, and was dropped".to_owned(),
    };
    if stops {
        return Fate::GiveBack { after: Duration::ZERO, why: Why::Stops };
    }
    if deliveries >= most {
        return Fate::Aside { why };
    }
    Fate::GiveBack { after: backoff.after(deliveries), why: Why::Failed(why) }
}

fn find<'a, E: StdError + 'static>(mut error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    for _ in 0..DEPTH {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // It says what it wraps, and its source is only that of what it wraps.
        error = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => wrapped,
            None => error.source()?,
        };
    }
    None
}

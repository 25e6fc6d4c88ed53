//! Why there is no mediator.

use std::error::Error;
use std::fmt;
use std::panic::Location;

/// Why a mediator cannot be built: every kind of request that has two handlers, or none,
/// with the places where that was said.
///
/// ```
/// use desist::Token;
/// use desist_mediator::{Error, Mediator, Request};
///
/// struct Ping;
/// impl Request for Ping {
///     type Response = ();
///     fn name() -> &'static str {
///         "ping"
///     }
/// }
///
/// let error = Mediator::builder()
///     .handler(|_stop: Token, Ping| async { Ok::<_, Error>(()) })
///     .handler(|_stop: Token, Ping| async { Ok::<_, Error>(()) })
///     .build()
///     .unwrap_err();
/// assert_eq!(error.requests().collect::<Vec<_>>(), ["ping"]);
/// assert!(error.to_string().starts_with("`ping` has two handlers, from "));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    problems: Vec<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    request: &'static str,
    what: What,
    place: &'static Location<'static>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Two { first: &'static Location<'static> },
    Required,
    AroundNobody,
}

impl Problem {
    pub(crate) fn two(
        request: &'static str,
        first: &'static Location<'static>,
        place: &'static Location<'static>,
    ) -> Self {
        Self { request, what: What::Two { first }, place }
    }

    pub(crate) fn required(request: &'static str, place: &'static Location<'static>) -> Self {
        Self { request, what: What::Required, place }
    }

    pub(crate) fn around_nobody(request: &'static str, place: &'static Location<'static>) -> Self {
        Self { request, what: What::AroundNobody, place }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, what, place } = self;
        match what {
            What::Two { first } => write!(
                f,
                "`{request}` has two handlers, from {first} and {place}; take one of them out"
            ),
            What::Required => write!(
                f,
                "`{request}` has no handler, and is required at {place}; add one with `handler`"
            ),
            What::AroundNobody => write!(
                f,
                "`{request}` has no handler, and a behaviour at {place}; add one with `handler`, \
                 or take the behaviour out"
            ),
        }
    }
}

impl BuildError {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The names of the requests that it is about.
    pub fn requests(&self) -> impl Iterator<Item = &'static str> {
        self.problems.iter().map(|problem| problem.request)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.problems.iter().enumerate() {
            let before = if place == 0 { "" } else { "\n" };
            write!(f, "{before}{problem}")?;
        }
        Ok(())
    }
}

impl Error for BuildError {}

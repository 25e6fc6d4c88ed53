//! From a call to its answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::behaviour::Running;
use crate::{Answer, Call, Error};

/// The future of [`Call::proceed`]: all that comes after a behaviour.
///
/// # Cancel safety
///
/// Dropped, it drops the behaviours and the handler that run within it. It does not cancel
/// their token, which others may have: who narrowed it may.
#[must_use = "futures do nothing unless polled"]
pub struct Proceed {
    name: &'static str,
    state: State,
}

enum State {
    Begins(Call),
    Behaves(Running),
    Handles(Call),
    Over,
}

impl Proceed {
    pub(crate) fn new(call: Call) -> Self {
        Self { name: call.name, state: State::Begins(call) }
    }
}

impl Future for Proceed {
    type Output = Result<Answer, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let name = self.name;
        loop {
            // What panics is not polled again.
            match std::mem::replace(&mut self.state, State::Over) {
                State::Begins(mut call) => {
                    if let Err(cancelled) = call.token.check() {
                        return Poll::Ready(Err(Error::new(cancelled).about(name)));
                    }
                    self.state = match call.envelope.step(call.done) {
                        Some(step) => {
                            call.done += 1;
                            State::Behaves(step.run(call))
                        }
                        None => State::Handles(call),
                    };
                }
                State::Behaves(mut running) => {
                    let Poll::Ready(answer) = running.as_mut().poll(cx) else {
                        self.state = State::Behaves(running);
                        return Poll::Pending;
                    };
                    return Poll::Ready(answer.map_err(|error| error.about(name)));
                }
                State::Handles(mut call) => {
                    let Call { envelope, token, .. } = &mut call;
                    let Poll::Ready(result) = envelope.as_mut().poll_handler(token, cx) else {
                        self.state = State::Handles(call);
                        return Poll::Pending;
                    };
                    let answer = Answer { envelope: call.envelope };
                    return Poll::Ready(match result {
                        Ok(()) => Ok(answer),
                        Err(error) => Err(Error::of_handler(name, error)),
                    });
                }
                State::Over => panic!("`Proceed` polled after it was ready, or had panicked"),
            }
        }
    }
}

impl fmt::Debug for Proceed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proceed").field("name", &self.name).finish_non_exhaustive()
    }
}

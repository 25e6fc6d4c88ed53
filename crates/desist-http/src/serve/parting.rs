//! A client that is gone, where hyper does not find out.
//!
//! It has read nothing since, so it drops nobody. Then the connection ends from here, as
//! hyper would have ended it, at once if nobody on it has anything more to do; but a
//! handler that heeds its token has its grace first where it is, for it may still read
//! what its client has sent. It counts among those that go on without their clients. On
//! HTTP/2, where each of many has a grace of its own, they go on without the connection.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use tokio::time::Sleep;

use crate::connection::Connection;
use crate::policy::Policy;

#[derive(Default)]
pub(super) struct Parting {
    /// It was seen to after so many requests; what was waiting behind them may begin.
    seen: Option<u64>,
    limit: Option<Pin<Box<Sleep>>>,
}

impl Parting {
    /// The connection of a client that is gone has nothing more to wait for.
    pub(super) fn is_over(&mut self, connection: &Connection, cx: &mut Context<'_>) -> bool {
        if connection.speaks_http2() {
            return true;
        }
        let begun = connection.begun();
        if self.seen != begun {
            *self = Self { seen: begun, limit: None };
            if self.begin(connection) {
                return true;
            }
        }
        // What it has answered since has no reader.
        let has_answered = || connection.running().iter().all(|one| one.is.answered.is_set());
        self.limit.as_mut().is_some_and(|limit| limit.as_mut().poll(cx).is_ready())
            || !connection.running().is_empty() && has_answered()
    }

    /// Whether nobody goes on.
    fn begin(&mut self, connection: &Connection) -> bool {
        let Some(request) = connection.running().pop() else {
            // hyper is about to find out.
            return false;
        };
        // Most have been told by whoever saw the client go.
        request.disconnected();
        let grace = match request.policy() {
            _ if request.is.answered.is_set() => return true,
            Policy::Cooperate { grace } if request.is.taken.is_set() => Some(grace),
            Policy::Detach => None,
            _ => return true,
        };
        // Where there is no place for it, it is dropped, and counted then.
        let Some(until) = connection.server().rescues.go_on(&request, grace) else { return true };
        self.limit = until.sleep();
        false
    }
}

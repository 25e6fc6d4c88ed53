//! A client that is gone, where hyper does not find out.
//!
//! It has read nothing since, so it drops nobody. Then the connection ends from here, as
//! hyper would have ended it, at once if nobody on it has anything more to do; but a
//! handler that heeds its token has its grace first where it is, for it may still read
//! what its client has sent. It counts among those that go on without their clients.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;

use tokio::time::{Sleep, sleep};

use crate::connection::Connection;
use crate::layer::Rescued;
use crate::outcome;
use crate::policy::Policy;
use crate::request::Request;

#[derive(Default)]
pub(super) struct Parting {
    /// It was seen to after so many requests; what was waiting behind them may begin.
    seen: Option<u64>,
    limit: Option<Pin<Box<Sleep>>>,
    places: Vec<Rescued>,
}

impl Parting {
    /// The connection of a client that is gone has nothing more to wait for.
    pub(super) fn is_over(&mut self, connection: &Connection, cx: &mut Context<'_>) -> bool {
        let begun = connection.begun();
        if self.seen != begun {
            *self = Self { seen: begun, ..Self::default() };
            if self.begin(connection) {
                return true;
            }
        }
        let Some(limit) = &mut self.limit else { return false };
        if limit.as_mut().poll(cx).is_pending() {
            return false;
        }
        connection.running().iter().for_each(|request| request.is.overdue.set());
        true
    }

    /// Whether nobody goes on.
    fn begin(&mut self, connection: &Connection) -> bool {
        let running = connection.running();
        if running.is_empty() {
            // hyper is about to find out.
            return false;
        }
        let mut longest = None;
        for request in running {
            // Most have been told by whoever saw the client go.
            request.disconnected();
            let grace = match request.policy() {
                _ if request.is.answered.is_set() => continue,
                Policy::Cooperate { grace } if request.is.taken.is_set() => Some(grace),
                Policy::Detach => None,
                _ => continue,
            };
            if !self.goes_on(connection, &request) {
                continue;
            }
            longest = Some(match longest {
                None => grace,
                Some(longest) => grace.zip(longest).map(|(one, other)| one.max(other)),
            });
        }
        self.limit = longest.flatten().map(|grace| Box::pin(sleep(grace)));
        longest.is_none()
    }

    fn goes_on(&mut self, connection: &Connection, request: &Arc<Request>) -> bool {
        // Where there is none it is dropped, and counted then.
        let Some(place) = connection.server().rescues.one_more() else { return false };
        self.places.push(place);
        request.is.rescued.set();
        outcome::rescued();
        true
    }
}

//! Requests that a service sends in its turn, so that a stop of its own goes on to those
//! behind it.
//!
//! A request is sent with a token. It says how long that has left, as a duration, so that
//! the server behind stops by itself; and it is dropped when the token is cancelled, and
//! with it its connection, or its stream on HTTP/2, which is how that server hears of any
//! other stop. The answer's body has the same token: `reqwest` gives it out as it would
//! any other, and it fails, with [`Cancelled`](desist::Cancelled) as the source of its
//! error, from the moment of the stop on; what it has of the connection is dropped with
//! the first look at it after that.

mod error;
mod reading;
mod sending;

pub use self::error::SendError;
pub use self::sending::{SendWith, Sending};

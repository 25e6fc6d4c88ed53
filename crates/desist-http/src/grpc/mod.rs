//! Calls of gRPC with tonic.
//!
//! A server needs nothing of this: [`Deadlines::from_grpc`](crate::Deadlines::from_grpc)
//! reads what its clients say, for unary calls and streams, and a handler finds its token
//! with [`RequestToken::of`](crate::RequestToken::of) in its request's extensions.
//!
//! A client's calls go through a [`TokenChannel`]: it says how long there is, drops a call
//! whose token is cancelled, and gives the status that belongs to that. Where a channel
//! cannot be wrapped, [`TokenInterceptor`] says how long there is, and no more.
//!
//! Why a channel, and no interceptor alone: tonic's own client reads the header, too, and
//! ends a call when its time is over, but with `CANCELLED`, and not its streams. Who waits
//! for the token first, and takes what comes after it for its consequence, has the status
//! as it was.

mod calling;
mod channel;
mod interceptor;
mod receiving;
mod status;

pub use self::calling::Calling;
pub use self::channel::TokenChannel;
pub use self::interceptor::TokenInterceptor;
pub use self::receiving::Receiving;

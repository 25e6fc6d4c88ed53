//! A request, and the token that its handler takes.

mod grace;
mod state;
mod token;

pub(crate) use self::grace::Until;
pub(crate) use self::state::Request;
pub use self::token::{MissingToken, RequestToken};

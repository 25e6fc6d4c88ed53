//! TLS in front of a server of desist-http. The listener is made to be copied.

mod config;
mod listener;

pub(crate) use self::config::self_signed;
pub(crate) use self::listener::{TlsListener, tcp_of};

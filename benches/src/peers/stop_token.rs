use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

use ::stop_token::{StopSource, StopToken as Token};

use super::{HasWait, Peer};

pub(crate) struct StopToken;

impl Peer for StopToken {
    const NAME: &'static str = "stop-token";
    type Source = StopSource;
    type Token = Token;

    #[inline]
    fn create() -> (Self::Source, Self::Token) {
        let source = StopSource::new();
        let token = source.token();
        (source, token)
    }

    /// It has no check: a clone polled is the only way to ask.
    #[inline]
    fn is_cancelled(token: &Self::Token) -> bool {
        let mut clone = token.clone();
        Pin::new(&mut clone).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn cancel(source: Self::Source) {
        drop(source);
    }
}

impl HasWait for StopToken {
    #[inline]
    fn wait(token: &Self::Token) -> impl Future + Send + '_ {
        token.clone()
    }

    fn wait_owned(token: Self::Token) -> impl Future + Send + 'static {
        token
    }
}

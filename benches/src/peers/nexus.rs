use std::future::Future;

use ::nexus_async_rt::CancellationToken;

use super::{HasChild, HasWait, Peer};

pub(crate) struct Nexus;

impl Peer for Nexus {
    const NAME: &'static str = "nexus-async-rt";
    type Source = CancellationToken;
    type Token = CancellationToken;

    #[inline]
    fn create() -> (Self::Source, Self::Token) {
        let source = CancellationToken::new();
        let token = source.clone();
        (source, token)
    }

    #[inline]
    fn is_cancelled(token: &Self::Token) -> bool {
        token.is_cancelled()
    }

    fn cancel(source: Self::Source) {
        source.cancel();
    }
}

impl HasChild for Nexus {
    type Child = CancellationToken;

    #[inline]
    fn child(parent: &Self::Token) -> Self::Child {
        parent.child()
    }

    fn child_token(child: &Self::Child) -> Self::Token {
        child.clone()
    }

    #[inline]
    fn child_is_cancelled(child: &Self::Child) -> bool {
        child.is_cancelled()
    }
}

impl HasWait for Nexus {
    #[inline]
    fn wait(token: &Self::Token) -> impl Future + Send + '_ {
        token.cancelled()
    }

    fn wait_owned(token: Self::Token) -> impl Future + Send + 'static {
        token.cancelled()
    }
}

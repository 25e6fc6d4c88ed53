use std::future::Future;

use super::{HasChild, HasWait, Peer};

pub(crate) struct Desist;

impl Peer for Desist {
    const NAME: &'static str = "desist";
    type Source = ::desist::Source;
    type Token = ::desist::Token;

    #[inline]
    fn create() -> (Self::Source, Self::Token) {
        let source = ::desist::Source::new();
        let token = source.token();
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

impl HasChild for Desist {
    type Child = ::desist::Source;

    #[inline]
    fn child(parent: &Self::Token) -> Self::Child {
        parent.child()
    }

    fn child_token(child: &Self::Child) -> Self::Token {
        child.token()
    }

    #[inline]
    fn child_is_cancelled(child: &Self::Child) -> bool {
        child.is_cancelled()
    }
}

impl HasWait for Desist {
    #[inline]
    fn wait(token: &Self::Token) -> impl Future + Send + '_ {
        token.cancelled()
    }

    fn wait_owned(token: Self::Token) -> impl Future + Send + 'static {
        token.cancelled_owned()
    }
}

use std::future::Future;

use ::tokio_util::sync::CancellationToken;

use super::{HasChild, HasWait, Peer};

pub(crate) struct TokioUtil;

impl Peer for TokioUtil {
    const NAME: &'static str = "tokio-util";
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

impl HasChild for TokioUtil {
    type Child = CancellationToken;

    #[inline]
    fn child(parent: &Self::Token) -> Self::Child {
        parent.child_token()
    }

    fn child_token(child: &Self::Child) -> Self::Token {
        child.clone()
    }

    #[inline]
    fn child_is_cancelled(child: &Self::Child) -> bool {
        child.is_cancelled()
    }
}

impl HasWait for TokioUtil {
    #[inline]
    fn wait(token: &Self::Token) -> impl Future + Send + '_ {
        token.cancelled()
    }

    fn wait_owned(token: Self::Token) -> impl Future + Send + 'static {
        token.cancelled_owned()
    }
}

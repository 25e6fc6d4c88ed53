//! Callbacks only, and only for the length of a call.

use std::sync::Arc;

use ::cancellation::{CancellationToken, CancellationTokenSource};

use super::Peer;

pub(crate) struct Cancellation;

impl Peer for Cancellation {
    const NAME: &'static str = "cancellation";
    type Source = CancellationTokenSource;
    type Token = Arc<CancellationToken>;

    #[inline]
    fn create() -> (Self::Source, Self::Token) {
        let source = CancellationTokenSource::new();
        let token = source.token().clone();
        (source, token)
    }

    #[inline]
    fn is_cancelled(token: &Self::Token) -> bool {
        token.is_canceled()
    }

    fn cancel(source: Self::Source) {
        source.cancel();
    }
}

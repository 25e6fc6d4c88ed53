use std::future::Future;

use ::tokio_tasks::RunToken;

use super::{HasWait, Peer};

pub(crate) struct TokioTasks;

impl Peer for TokioTasks {
    const NAME: &'static str = "tokio-tasks";
    type Source = RunToken;
    type Token = RunToken;

    #[inline]
    fn create() -> (Self::Source, Self::Token) {
        let source = RunToken::new();
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

impl HasWait for TokioTasks {
    #[inline]
    fn wait(token: &Self::Token) -> impl Future + Send + '_ {
        token.cancelled()
    }

    fn wait_owned(token: Self::Token) -> impl Future + Send + 'static {
        async move { token.cancelled().await }
    }
}

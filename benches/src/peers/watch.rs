use std::future::Future;

use tokio::sync::watch::{Receiver, Sender, channel};

use super::{HasWait, Peer};

pub(crate) struct Watch;

impl Peer for Watch {
    const NAME: &'static str = "tokio watch<bool>";
    type Source = Sender<bool>;
    type Token = Receiver<bool>;

    #[inline]
    fn create() -> (Self::Source, Self::Token) {
        channel(false)
    }

    #[inline]
    fn is_cancelled(token: &Self::Token) -> bool {
        *token.borrow()
    }

    fn cancel(source: Self::Source) {
        source.send_replace(true);
    }
}

async fn wait_until_true(mut receiver: Receiver<bool>) {
    let _ = receiver.wait_for(|cancelled| *cancelled).await;
}

impl HasWait for Watch {
    #[inline]
    fn wait(token: &Self::Token) -> impl Future + Send + '_ {
        wait_until_true(token.clone())
    }

    fn wait_owned(token: Self::Token) -> impl Future + Send + 'static {
        wait_until_true(token)
    }
}

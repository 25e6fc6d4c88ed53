use std::future::Future;

use ::triggered::{Listener, Trigger, trigger};

use super::{HasWait, Peer};

pub(crate) struct Triggered;

impl Peer for Triggered {
    const NAME: &'static str = "triggered";
    type Source = Trigger;
    type Token = Listener;

    #[inline]
    fn create() -> (Self::Source, Self::Token) {
        trigger()
    }

    #[inline]
    fn is_cancelled(token: &Self::Token) -> bool {
        token.is_triggered()
    }

    fn cancel(source: Self::Source) {
        source.trigger();
    }
}

impl HasWait for Triggered {
    #[inline]
    fn wait(token: &Self::Token) -> impl Future + Send + '_ {
        token.clone()
    }

    fn wait_owned(token: Self::Token) -> impl Future + Send + 'static {
        token
    }
}

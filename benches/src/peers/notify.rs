//! A flag and tokio's `Notify`, as one would write it by hand.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use super::{HasWait, Peer};

pub(crate) struct FlagAndNotify {
    flag: AtomicBool,
    notify: tokio::sync::Notify,
}

impl FlagAndNotify {
    async fn wait(&self) {
        let notified = self.notify.notified();
        if !self.flag.load(SeqCst) {
            notified.await;
        }
    }
}

pub(crate) struct Notify;

impl Peer for Notify {
    const NAME: &'static str = "tokio Notify + flag";
    type Source = Arc<FlagAndNotify>;
    type Token = Arc<FlagAndNotify>;

    #[inline]
    fn create() -> (Self::Source, Self::Token) {
        let source = Arc::new(FlagAndNotify {
            flag: AtomicBool::new(false),
            notify: tokio::sync::Notify::new(),
        });
        let token = source.clone();
        (source, token)
    }

    #[inline]
    fn is_cancelled(token: &Self::Token) -> bool {
        token.flag.load(SeqCst)
    }

    fn cancel(source: Self::Source) {
        source.flag.store(true, SeqCst);
        source.notify.notify_waiters();
    }
}

impl HasWait for Notify {
    #[inline]
    fn wait(token: &Self::Token) -> impl Future + Send + '_ {
        token.wait()
    }

    fn wait_owned(token: Self::Token) -> impl Future + Send + 'static {
        async move { token.wait().await }
    }
}

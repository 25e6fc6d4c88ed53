//! The flag that everybody starts with: it can be asked and nothing else.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::Peer;

pub(crate) struct Flag;

impl Peer for Flag {
    const NAME: &'static str = "Arc<AtomicBool>";
    type Source = Arc<AtomicBool>;
    type Token = Arc<AtomicBool>;

    #[inline]
    fn create() -> (Self::Source, Self::Token) {
        let source = Arc::new(AtomicBool::new(false));
        let token = source.clone();
        (source, token)
    }

    #[inline]
    fn is_cancelled(token: &Self::Token) -> bool {
        token.load(Acquire)
    }

    fn cancel(source: Self::Source) {
        source.store(true, Release);
    }
}

//! A stream that goes on for a while after a stop.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use desist::Token;
use tokio_stream::Stream;

/// How long a log is read on when its server has asked all work to stop: one that is deaf
/// would hold it for ever.
const LAST_WORDS: Duration = Duration::from_secs(4);

pub(super) struct UntilLastWords<S> {
    lines: Pin<Box<S>>,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<S> UntilLastWords<S> {
    pub(super) fn new(lines: S, stop: Token) -> Self {
        let over = async move {
            stop.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        Self { lines: Box::pin(lines), over: Box::pin(over) }
    }
}

impl<S: Stream> Stream for UntilLastWords<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        self.lines.as_mut().poll_next(cx)
    }
}

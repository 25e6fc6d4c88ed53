//! Gives up a wait at each of its polls in turn.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;

use desist::Token;

/// Gives up one wait of a body, after so many polls that were pending: the wait is
/// dropped there, and what it should have left behind is looked at afterwards.
#[derive(Clone)]
pub(super) struct Cut {
    left: Arc<AtomicUsize>,
    when: When,
}

#[derive(Clone, Copy)]
enum When {
    /// Nothing has happened since.
    Pending,
    /// It was woken, and not polled: what woke it may be on its way to it.
    Woken,
}

impl Cut {
    fn after(polls: usize, when: When) -> Self {
        Self { left: Arc::new(AtomicUsize::new(polls)), when }
    }

    pub(super) fn never() -> Self {
        Self::after(usize::MAX, When::Pending)
    }

    pub(super) fn was_made(&self) -> bool {
        self.left.load(SeqCst) == 0
    }

    /// What the wait gives, or `None`: it was given up.
    pub(super) async fn wait<F: Future>(&self, wait: F) -> Option<F::Output> {
        if self.was_made() {
            return Some(wait.await);
        }
        let mut wait = Box::pin(wait);
        poll_fn(|cx| {
            if self.was_made() {
                return Poll::Ready(None);
            }
            let Poll::Ready(given) = wait.as_mut().poll(cx) else {
                let is_last = self.left.fetch_sub(1, SeqCst) == 1;
                let at_once = matches!(self.when, When::Pending);
                return if is_last && at_once { Poll::Ready(None) } else { Poll::Pending };
            };
            Poll::Ready(Some(given))
        })
        .await
    }
}

/// Whether there was anything to give up.
pub(super) async fn given_up_at_every_poll<W: Future<Output = ()>>(
    body: &impl Fn(Token, Cut) -> W,
) -> bool {
    let mut all_waited = true;
    for when in [When::Pending, When::Woken] {
        let mut cuts = 0;
        loop {
            let cut = Cut::after(cuts + 1, when);
            body(Token::never(), cut.clone()).await;
            if !cut.was_made() {
                break;
            }
            cuts += 1;
            assert!(cuts < 10_000, "it never ends");
        }
        all_waited &= cuts > 0;
    }
    all_waited
}

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use desist::{Cancelled, Run, Token};
use pin_project_lite::pin_project;

/// Waits for `duration`, or until the stop is asked for, whichever comes first.
///
/// It follows tokio's time, paused or not. Cancelled before, it fails without
/// waiting.
///
/// # Cancel safety
///
/// Dropping it loses nothing.
///
/// # Panics
///
/// Outside a tokio runtime, or in one without the timer.
///
/// ```
/// use desist::{Reason, Source};
/// use desist_tokio::sleep;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let source = Source::new();
/// let token = source.token();
/// assert!(sleep(Duration::from_millis(1), &token).await.is_ok());
///
/// source.cancel_with(Reason::Shutdown);
/// let cut_short = sleep(Duration::from_secs(3600), &token).await;
/// assert_eq!(cut_short.unwrap_err().reason(), Reason::Shutdown);
/// # }
/// ```
#[track_caller]
pub fn sleep(duration: Duration, token: &Token) -> Sleep<'_> {
    Sleep { run: token.run(tokio::time::sleep(duration)), token }
}

pin_project! {
    /// The future of [`sleep`].
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct Sleep<'a> {
        #[pin]
        run: Run<'a, tokio::time::Sleep>,
        token: &'a Token,
    }
}

impl Future for Sleep<'_> {
    type Output = Result<(), Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = this.run.poll(cx);
        crate::trace::heard("sleep", this.token, &polled);
        polled
    }
}

impl fmt::Debug for Sleep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}

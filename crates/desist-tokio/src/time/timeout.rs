use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use desist::{Cancelled, Clock, Run, Source, Token};
use pin_project_lite::pin_project;

use crate::clock;

/// Runs what `work` makes for at most `duration`, or until the stop is asked
/// for. The time begins now, not at the first poll.
///
/// `work` is given a token that ends with the time as well, so everything below
/// sees the deadline and can stop by itself; that token's cause is the answer,
/// and its reason tells the two apart: [`Deadline`](desist::Reason::Deadline)
/// or whatever the caller was stopped for. A deadline of the caller that comes
/// earlier counts.
///
/// When the end comes, work that has begun is polled once more, with its token
/// cancelled, and what it then says is the answer; if it has nothing to say it is
/// dropped. With no time at all, or a token that is cancelled already, `work` is not
/// called. Work that must not be dropped in the middle belongs into a
/// [`shield`](crate::shield()). Under a paused runtime the time is tokio's, for the
/// work and all below it.
///
/// # Errors
///
/// The time is over, or the stop was asked for.
///
/// # Cancel safety
///
/// Dropping it drops the work.
///
/// ```
/// use desist::{Cancelled, Reason, Token};
/// use desist_tokio::{sleep, timeout};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let second = Duration::from_secs(1);
/// let quick = timeout(second, &Token::never(), |_| async { 7 }).await;
/// assert_eq!(quick.unwrap(), 7);
///
/// let slow = timeout(second, &Token::never(), |token| async move {
///     assert!(token.remaining().unwrap() <= second);
///     std::future::pending::<()>().await
/// });
/// assert_eq!(slow.await.unwrap_err().reason(), Reason::Deadline);
/// # }
/// ```
#[track_caller]
pub fn timeout<F, W>(duration: Duration, token: &Token, work: F) -> Timeout<W::IntoFuture>
where
    F: FnOnce(Token) -> W,
    W: IntoFuture,
{
    if !clock::is_paused() {
        return limited_by(token.child_with_timeout(duration), None, work);
    }
    let clock = clock::root_clock();
    let limit = Source::with_clock(clock.clone());
    limit.cancel_after(duration);
    limited_by(both(token, &limit), Some(clock), work)
}

/// The same until an instant of the system's clock, or of tokio's paused one.
///
/// ```
/// use desist::{Reason, Token};
/// use std::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let past = Instant::now();
/// let late = desist_tokio::timeout_at(past, &Token::never(), |_| async { 7 });
/// assert_eq!(late.await.unwrap_err().reason(), Reason::Deadline, "the work is not begun");
/// # }
/// ```
#[track_caller]
pub fn timeout_at<F, W>(deadline: Instant, token: &Token, work: F) -> Timeout<W::IntoFuture>
where
    F: FnOnce(Token) -> W,
    W: IntoFuture,
{
    if !clock::is_paused() {
        return limited_by(token.child_with_deadline(deadline), None, work);
    }
    let clock = clock::root_clock();
    let limit = Source::with_clock(clock.clone());
    limit.cancel_at(deadline);
    limited_by(both(token, &limit), Some(clock), work)
}

/// Below both, and on the clock of the limit.
fn both(token: &Token, limit: &Source) -> Source {
    // A caller who was stopped before is told why.
    if token.is_cancelled() { token.child() } else { Source::linked([&limit.token(), token]) }
}

fn limited_by<F, W>(limited: Source, clock: Option<Clock>, work: F) -> Timeout<W::IntoFuture>
where
    F: FnOnce(Token) -> W,
    W: IntoFuture,
{
    let token = limited.token();
    // In no time nothing is begun.
    let run = (!token.is_cancelled()).then(|| token.clone().run_owned(work(token.clone())));
    Timeout { run, token, clock }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct Timeout<F> {
        #[pin]
        run: Option<Run<'static, F>>,
        token: Token,
        // Of a paused runtime, whose time may have come and nobody has looked.
        clock: Option<Clock>,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(clock) = this.clock {
            clock.fire_due();
        }
        let polled = match this.run.as_pin_mut() {
            Some(run) => run.poll(cx),
            None => Poll::Ready(this.token.check().map(|()| unreachable!("it is cancelled"))),
        };
        crate::trace::heard("timeout", this.token, &polled);
        polled
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout").finish_non_exhaustive()
    }
}

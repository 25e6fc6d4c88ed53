//! From the start of a child to its end, with its pipes beside.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use desist::{Cancelled, Source, Token};

use super::exit::Ending;
use super::exited::exited;
use super::family::Family;
use super::pipes::Pipes;

/// How long the pipes have to come to their end when everybody is gone.
const SETTLE: Duration = Duration::from_secs(1);

type Failed = (&'static str, io::Error);

impl Family {
    /// Until all is over but the reaping: what ended it, and whether the pipes have
    /// come to their ends.
    pub(super) async fn run(
        &self,
        pipes: &mut Pipes,
        token: &Token,
        grace: Duration,
    ) -> Result<(Ending, bool), Failed> {
        let mut pipes = Beside { io: Some(Box::pin(pipes.run())) };
        let ending = match pipes.run(token.run(self.until_gone())).await? {
            Ok(gone) => {
                gone?;
                Ending::Finished
            }
            Err(cancelled) => {
                self.ask();
                let all_gone = async {
                    self.until_gone().await?;
                    self.until_empty().await;
                    Ok(())
                };
                let limit = Source::with_timeout(grace).token();
                let in_time = pipes.run(limit.run(all_gone)).await?;
                self.ended_within(in_time, cancelled)?
            }
        };
        // Whoever is left, and the leader, if he is.
        self.kill();
        if matches!(ending, Ending::Killed(_)) {
            pipes.run(self.until_gone()).await??;
        }
        let limit = Source::with_timeout(SETTLE).token();
        let complete = match limit.run(pipes.end()).await {
            Ok(Err(error)) => return Err(("has ended, but its output is lost in part", error)),
            complete => complete.is_ok(),
        };
        Ok((ending, complete))
    }

    /// Until the leader has ended; it is not reaped.
    async fn until_gone(&self) -> Result<(), Failed> {
        let gone = exited(self.pid).await;
        gone.map_err(|error| ("was killed, for its end cannot be waited for", error))
    }

    fn ended_within(
        &self,
        in_time: Result<Result<(), Failed>, Cancelled>,
        asked: Cancelled,
    ) -> Result<Ending, Failed> {
        match in_time {
            Ok(gone) => gone.map(|()| Ending::Stopped(asked)),
            Err(_) => Ok(Ending::Killed(asked)),
        }
    }
}

/// The pipes, which are read and written whatever else is waited for.
struct Beside<'a> {
    /// `None`: they have come to their ends.
    io: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>>,
}

impl Beside<'_> {
    async fn run<F: Future>(&mut self, what: F) -> Result<F::Output, Failed> {
        let mut what = pin!(what);
        poll_fn(|cx| {
            if let Some(io) = &mut self.io {
                if let Poll::Ready(ended) = io.as_mut().poll(cx) {
                    self.io = None;
                    ended.map_err(|error| {
                        ("was killed, for what it wrote could not be passed on", error)
                    })?;
                }
            }
            what.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    async fn end(&mut self) -> io::Result<()> {
        match self.io.take() {
            Some(io) => io.await,
            None => Ok(()),
        }
    }
}

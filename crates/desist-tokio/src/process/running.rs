//! From the start of a child to its end, with its pipes beside.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use desist::{Cancelled, Source, Token};

use super::exit::Ending;
use super::family::Family;
use super::pipes::{Flow, Pipes};

/// How long pipes are read when everybody is gone, and somebody holds them all the same.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) type Failed = (&'static str, io::Error);

impl Family {
    /// Until all is over but the reaping: what ended it, and what has become of what
    /// was written.
    pub(super) async fn run(
        &mut self,
        pipes: &mut Pipes,
        token: &Token,
        grace: Duration,
    ) -> Result<(Ending, Delivery), Failed> {
        let flow = pipes.flow();
        let mut pipes = Beside { io: Some(Box::pin(pipes.run())), flow, token };
        let ending = match pipes.run(token.run(self.until_gone())).await? {
            Ok(gone) => {
                gone?;
                Ending::Finished
            }
            // It had ended when it was to be asked.
            Err(_) if self.has_gone().map_err(not_waited_for)? => Ending::Finished,
            Err(cancelled) => self.asked(&mut pipes, cancelled, grace).await?,
        };
        // Whoever is left, and the leader, if he is.
        self.kill();
        if matches!(ending, Ending::Killed(_)) {
            pipes.run(self.until_gone()).await??;
        }
        let delivery = pipes
            .settle()
            .await
            .map_err(|error| ("has ended, but its output is lost in part", error))?;
        self.until_adopted_are_reaped().await;
        Ok((ending, delivery))
    }

    async fn asked(
        &mut self,
        pipes: &mut Beside<'_>,
        cancelled: Cancelled,
        grace: Duration,
    ) -> Result<Ending, Failed> {
        self.ask();
        let limit = Source::with_timeout(grace).token();
        let all_gone = async {
            self.until_gone().await?;
            self.until_empty().await;
            Ok(())
        };
        if let Ok(gone) = pipes.run(limit.run(all_gone)).await? {
            return gone.map(|()| Ending::Stopped(cancelled));
        }
        // It is only looked at now and then, and so once more.
        let in_time = self.has_gone().map_err(not_waited_for)? && !self.has_members();
        Ok(if in_time { Ending::Stopped(cancelled) } else { Ending::Killed(cancelled) })
    }

    /// Until the leader has ended; it is not reaped.
    async fn until_gone(&mut self) -> Result<(), Failed> {
        self.exited().await.map_err(not_waited_for)
    }
}

fn not_waited_for(error: io::Error) -> Failed {
    if error.raw_os_error() == Some(rustix::io::Errno::CHILD.raw_os_error()) {
        return ("was waited for by somebody else, so its group is left alone", error);
    }
    ("was killed, for its end cannot be waited for", error)
}

/// The pipes, which are read and written whatever else is waited for.
struct Beside<'a> {
    /// `None`: they have come to their ends.
    io: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>>,
    flow: Arc<Flow>,
    token: &'a Token,
}

impl Beside<'_> {
    async fn run<F: Future>(&mut self, what: F) -> Result<F::Output, Failed> {
        let lost = |error| ("was killed, for what it wrote could not be passed on", error);
        let mut what = pin!(what);
        poll_fn(|cx| {
            if let Some(io) = &mut self.io {
                if let Poll::Ready(ended) = io.as_mut().poll(cx) {
                    self.io = None;
                    ended.map_err(lost)?;
                }
            }
            // Whoever reads it may go with the stop; the command has its grace all the same.
            if let Some(error) = self.flow.take_failure().filter(|_| !self.token.is_cancelled()) {
                return Poll::Ready(Err(lost(error)));
            }
            what.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Everybody is gone, and what was written is in the pipes: until that is read, and
    /// passed on by writers as slow as they are, unless there is a stop.
    async fn settle(&mut self) -> io::Result<Delivery> {
        let (Some(io), flow) = (&mut self.io, &self.flow) else { return self.ended(true) };
        flow.end();
        loop {
            let before = flow.written();
            let limit = Source::with_timeout(SETTLE).token();
            if let Ok(ended) = limit.run(io.as_mut()).await {
                ended?;
                return self.ended(true);
            }
            // Whoever is not writing waits for somebody who holds the pipe.
            if !flow.is_writing() {
                return self.ended(false);
            }
            if self.token.is_cancelled() && flow.written() == before {
                flow.lose();
                return self.ended(false);
            }
        }
    }

    fn ended(&self, is_whole: bool) -> io::Result<Delivery> {
        match self.flow.take_failure() {
            Some(error) if !self.token.is_cancelled() => Err(error),
            _ if self.flow.is_lost() => Ok(Delivery::Lost),
            _ if is_whole => Ok(Delivery::Whole),
            _ => Ok(Delivery::Held),
        }
    }
}

/// What has become of what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    /// Somebody outside may write more.
    Held,
    /// Some of it did not come to where it was to go.
    Lost,
}

//! What handlers say: printed for a reader, listened to by a proof.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use desist::{Cancelled, Reason};
use tokio::sync::mpsc;

use super::within;

/// A client's going is heard sooner, however busy the machine is.
const SOON: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) enum Said {
    Begun,
    Progress(u64),
    Stopped { cancelled: Cancelled, at: Instant },
    Finished,
    Failed(String),
}

#[derive(Clone)]
pub(crate) struct Log(mpsc::UnboundedSender<Said>);

pub(crate) struct Heard(mpsc::UnboundedReceiver<Said>);

pub(crate) fn log() -> (Log, Heard) {
    let (log, heard) = mpsc::unbounded_channel();
    (Log(log), Heard(heard))
}

impl Log {
    pub(crate) fn says(&self, said: Said) {
        // Nobody listens any more at the very end.
        let _ = self.0.send(said);
    }

    /// The stop is heard now.
    pub(crate) fn stopped(&self, cancelled: &Cancelled) {
        self.says(Said::Stopped { cancelled: cancelled.clone(), at: Instant::now() });
    }
}

impl Heard {
    /// Until the server has gone, and its handlers with it.
    pub(crate) async fn print(mut self) {
        let mut next = Instant::now();
        while let Some(said) = self.0.recv().await {
            let now = Instant::now();
            // Of fast progress only as much as can be read.
            if now >= next || !matches!(said, Said::Progress(_)) {
                println!("{said}");
                next = now + Duration::from_millis(200);
            }
        }
    }

    pub(crate) async fn begun(&mut self) -> io::Result<()> {
        match self.next("the begin of the handler").await? {
            Said::Begun => Ok(()),
            other => unexpected(&other),
        }
    }

    /// As far as it has come.
    pub(crate) async fn progress(&mut self) -> io::Result<u64> {
        match self.next_of_all("a sign of progress").await? {
            Said::Progress(done) => Ok(done),
            other => unexpected(&other),
        }
    }

    pub(crate) async fn finished(&mut self) -> io::Result<()> {
        match self.next("the end of the handler").await? {
            Said::Finished => Ok(()),
            other => unexpected(&other),
        }
    }

    pub(crate) async fn failed(&mut self) -> io::Result<String> {
        match self.next("a failure").await? {
            Said::Failed(why) => Ok(why),
            other => unexpected(&other),
        }
    }

    /// Why it was stopped, and when it heard of it.
    pub(crate) async fn stopped(&mut self) -> io::Result<(Reason, Instant)> {
        match self.next("the stop of the handler").await? {
            Said::Stopped { cancelled, at } => Ok((cancelled.reason(), at)),
            other => unexpected(&other),
        }
    }

    /// How long after the interrupt of its client it heard that the client is gone.
    pub(crate) async fn disconnected(&mut self, interrupted: Instant) -> io::Result<Duration> {
        let (reason, at) = self.stopped().await?;
        assert_eq!(reason, Reason::Disconnected);
        let late = at.saturating_duration_since(interrupted);
        assert!(late < SOON, "it was heard only {late:?} later");
        Ok(late)
    }

    /// The server has gone, and said nothing before.
    pub(crate) async fn nothing_more(&mut self) -> io::Result<()> {
        match within("the end of the server", self.0.recv()).await? {
            None => Ok(()),
            Some(said) => unexpected(&said),
        }
    }

    /// But for signs of progress.
    async fn next(&mut self, what: &str) -> io::Result<Said> {
        loop {
            match self.next_of_all(what).await? {
                Said::Progress(_) => {}
                said => return Ok(said),
            }
        }
    }

    async fn next_of_all(&mut self, what: &str) -> io::Result<Said> {
        let said = within(what, self.0.recv()).await?;
        said.ok_or_else(|| io::Error::other(format!("the server ended before {what}")))
    }
}

fn unexpected<T>(said: &Said) -> io::Result<T> {
    Err(io::Error::other(format!("what a handler said was not expected: {said}")))
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun => f.write_str("begun"),
            Self::Progress(done) => write!(f, "{done} done"),
            Self::Stopped { cancelled, at } => {
                let late = at.saturating_duration_since(cancelled.at());
                write!(f, "{cancelled}; heard {late:.1?} after the server knew")
            }
            Self::Finished => f.write_str("finished"),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

//! The end of a transaction whose closure said ok.

use std::error::Error as StdError;
use std::fmt;

use ::sqlx::Error;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::depth;
use super::lease::Owned;
use super::probe::probe;
use super::refused::{code_of, is_fatal};
use super::settle::{Left, discard, finish};

/// The SQLSTATE of whatever is asked of a transaction in which something has failed.
const FAILED: &str = "25P02";

/// Why there was no commit, or may have been none.
#[derive(Debug)]
pub(super) enum Uncommitted {
    Certainly(Why),
    Perhaps(Why),
}

#[derive(Debug)]
pub(super) enum Why {
    /// What the server or the driver says.
    Said(Error),
    Aborted(Error),
    /// Before it was asked to commit.
    Lost(Error),
    EndedBefore,
    Smuggled,
    TimeOver,
    RuntimeEnded,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Said(_) => "the commit failed",
            Self::Aborted(_) => {
                "a statement in it had failed, and its closure said ok all the same; it was rolled \
                 back: return that error, or take a savepoint"
            }
            Self::Lost(_) => {
                "its connection was of no use any more before it was asked to commit; nothing of \
                 it is there, and it may be tried again"
            }
            Self::EndedBefore => {
                "its closure had ended it by a statement of its own, maybe with a commit; leave \
                 that to its result"
            }
            Self::Smuggled => {
                "its closure kept the connection, and may have committed with it; drop it before \
                 the end"
            }
            Self::TimeOver => "the answer did not come in time",
            Self::RuntimeEnded => "the runtime ended",
        })
    }
}

impl StdError for Why {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Said(error) | Self::Aborted(error) | Self::Lost(error) => Some(error),
            _ => None,
        }
    }
}

/// Commits, and gives the connection back, or throws it away. The answer goes to `heard`.
pub(super) async fn commit(mut owned: Box<Owned>, heard: oneshot::Sender<Result<(), Uncommitted>>) {
    let within = owned.shared.settings.commit_within;
    let mut asked = false;
    let committed = match timeout(within, try_commit(&mut owned, &mut asked)).await {
        Ok(committed) => committed,
        Err(_) => Err(Why::TimeOver),
    };
    let Err(why) = committed else {
        let _ = heard.send(Ok(()));
        return owned.release().await;
    };
    let perhaps = match &why {
        // Its closure ended it, and does not say how.
        Why::EndedBefore => true,
        Why::Said(error) => asked && is_fatal(error),
        _ => asked,
    };
    if perhaps && asked {
        discard(owned).await;
        let _ = heard.send(Err(Uncommitted::Perhaps(why)));
    } else {
        // With nothing left open, whatever it was.
        let how = if perhaps { Uncommitted::Perhaps } else { Uncommitted::Certainly };
        let tell = || drop(heard.send(Err(how(why))));
        finish(owned, Left::Midway, tell).await;
    }
}

async fn try_commit(owned: &mut Owned, asked: &mut bool) -> Result<(), Why> {
    let found = match probe(owned.conn_mut()).await {
        Ok(found) => found,
        Err(error) if code_of(&error).as_deref() == Some(FAILED) => {
            return Err(Why::Aborted(error));
        }
        Err(error) if is_fatal(&error) => return Err(Why::Lost(error)),
        Err(error) => return Err(Why::Said(error)),
    };
    let open = depth::of(owned.conn());
    let same = owned.backend == Some(found.backend(true));
    if !same || open == 0 {
        return Err(Why::EndedBefore);
    }
    for _ in 1..open {
        // Savepoints that were forgotten go with it.
        depth::commit(owned.conn_mut()).await.map_err(Why::Said)?;
    }
    *asked = true;
    depth::commit(owned.conn_mut()).await.map_err(Why::Said)
}

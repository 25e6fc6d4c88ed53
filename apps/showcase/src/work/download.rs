//! A megabyte every half second, until the reader has enough.

use std::convert::Infallible;
use std::time::Duration;

use desist::{Cancelled, Token};
use desist_mediator::{Handler, Invalid};
use desist_tokio::{Spawner, sleep};
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::{Asked, Work, at_most};
use crate::log::Entry;

pub(crate) struct Download {
    pub(crate) megabytes: u64,
}

/// It comes while the answer is on its way.
pub(crate) struct Pieces {
    pub(crate) length: u64,
    pub(crate) bytes: ReceiverStream<Piece>,
}

/// After the last there is a `Cancelled`, if that is why it is the last.
pub(crate) type Piece = Result<Vec<u8>, Cancelled>;

impl Work for Download {
    type Response = Pieces;

    const NAME: &'static str = "download";

    fn validate(&self) -> Result<(), Invalid> {
        at_most(10_000, "megabytes", self.megabytes)
    }
}

/// Makes them.
pub(crate) struct Downloads {
    tasks: Spawner,
}

impl Downloads {
    pub(crate) fn new(tasks: Spawner) -> Self {
        Self { tasks }
    }
}

impl Handler<Asked<Download>> for Downloads {
    type Error = Infallible;

    async fn handle(&self, stop: Token, asked: Asked<Download>) -> Result<Pieces, Infallible> {
        let Asked { work: Download { megabytes }, entry, .. } = asked;
        let (pieces, bytes) = channel(1);
        // It outlives the handler: it is the answer, and has the token for as long.
        let name = format!("download of {megabytes} MB");
        self.tasks.spawn(name, move |_| produce(megabytes, stop, entry, pieces));
        Ok(Pieces { length: megabytes << 20, bytes: ReceiverStream::new(bytes) })
    }
}

async fn produce(megabytes: u64, stop: Token, entry: Entry, pieces: Sender<Piece>) {
    for piece in 1..=megabytes {
        let sent = async {
            sleep(Duration::from_millis(500), &stop).await?;
            stop.run(pieces.send(Ok(vec![b'd'; 1 << 20]))).await
        };
        match sent.await {
            Ok(Ok(())) => entry.progress(piece, Some(megabytes)),
            // The reader is gone, and the token is about to say so; or only the head was wanted.
            Ok(Err(_)) => {
                return match timeout(Duration::from_secs(1), stop.cancelled()).await {
                    Ok(cancelled) => entry.heard(&cancelled),
                    Err(_) => entry.fail("nobody wants its bytes".into()),
                };
            }
            Err(cancelled) => {
                entry.heard(&cancelled);
                // It has ended, whether or not anybody reads that.
                drop(entry);
                let _ = pieces.send(Err(cancelled)).await;
                return;
            }
        }
    }
    entry.finish();
}

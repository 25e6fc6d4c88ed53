//! Written aside, and in its place whole or not at all. Nobody needs it after that.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};

use desist::{Token, find_cancelled};
use desist_mediator::{BoxError, Handler, Invalid};
use desist_tokio::io::{AtomicFile, Side, copy};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Asked, Work};
use crate::uploads::{Shelf, remove};

pub(crate) struct Upload {
    /// As it comes: a request may carry what is still on its way.
    pub(crate) bytes: Pin<Box<dyn AsyncRead + Send>>,
    /// How many there will be, if that is known.
    pub(crate) total: Option<u64>,
}

/// So many bytes are taken.
const MOST: u64 = 1 << 30;

/// What was safe.
pub(crate) struct Saved {
    pub(crate) bytes: u64,
    pub(crate) path: PathBuf,
    pub(crate) removed: io::Result<()>,
}

impl Work for Upload {
    type Response = Saved;

    const NAME: &'static str = "upload";
}

/// Takes them.
pub(crate) struct Uploads {
    shelf: Shelf,
    taken: AtomicU64,
}

impl Uploads {
    pub(crate) fn new(shelf: Shelf) -> Self {
        Self { shelf, taken: AtomicU64::new(0) }
    }
}

impl Handler<Asked<Upload>> for Uploads {
    type Error = BoxError;

    async fn handle(&self, stop: Token, asked: Asked<Upload>) -> Result<Saved, BoxError> {
        // Ordering: it only counts.
        let number = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        let path = self.shelf.path()?.join(format!("upload-{number}"));
        let entry = asked.entry.clone();
        let saved = save(&path, &stop, asked).await.map_err(|error| {
            // Of a client that is gone it may be the body that says it first.
            match find_cancelled(&*error).cloned().or_else(|| stop.cancellation()) {
                Some(cancelled) => {
                    entry.heard(&cancelled);
                    BoxError::from(cancelled)
                }
                None => error,
            }
        });
        // A commit may fail with the file in its place.
        let removed = remove(&path).await;
        Ok(Saved { bytes: saved?, path, removed })
    }
}

async fn save(path: &Path, stop: &Token, asked: Asked<Upload>) -> Result<u64, BoxError> {
    let Asked { work: Upload { bytes, total }, entry, .. } = asked;
    let mut file = AtomicFile::create(path, stop).await?;
    let mut told = 0;
    let mut copied = copy(bytes.take(MOST + 1), &mut file, stop, |progress| {
        // Now and then: the page has other things to do.
        if progress.bytes() - told >= 256 * 1024 {
            told = progress.bytes();
            entry.progress(told, progress.total());
        }
    });
    if let Some(total) = total {
        copied = copied.total(total);
    }
    let copied = copied.await.map_err(|error| match error.side() {
        // It is the client that did not send what it had announced.
        Some(Side::Read) if error.cancelled().is_none() => {
            let bytes = error.bytes();
            let advice = format!("it cannot be read on after {bytes} bytes; send it again, whole");
            Invalid::new("the upload", advice).into()
        }
        _ => BoxError::from(error),
    })?;
    if copied > MOST {
        let advice = format!("it is too large; send at most {} MB", MOST >> 20);
        return Err(Invalid::new("the upload", advice).into());
    }
    file.commit().await?;
    Ok(copied)
}

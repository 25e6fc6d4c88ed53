//! Files of exports, for as long as their operations are kept.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use desist_host::{BoxError, Stop};
use desist_tokio::sleep;
use tokio::fs::DirEntry;

use super::KEPT;
use crate::say;
use crate::uploads::remove;

const EVERY: Duration = Duration::from_secs(60 * 60);

/// Removes those that are older, and halves that a killed process left. What it cannot do it
/// says, and tries again: nobody else is to stop for that.
pub(crate) async fn sweep_exports(folder: PathBuf, stop: Stop) -> Result<(), BoxError> {
    loop {
        if let Err(error) = sweep_once(&folder, &stop).await {
            let folder = folder.display();
            say(format_args!("old exports are not removed for now: {folder}: {error}"));
        }
        sleep(EVERY, &stop).await?;
    }
}

async fn sweep_once(folder: &Path, stop: &Stop) -> io::Result<()> {
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        // To remove some of them is safe, so it may end between any two.
        if stop.token().is_cancelled() {
            return Ok(());
        }
        let path = entry.path();
        if is_old(&entry).await? {
            remove(&path).await?;
            say(format_args!("{} is old, and is removed", path.display()));
        }
    }
    Ok(())
}

/// What is still written was written to just now.
async fn is_old(entry: &DirEntry) -> io::Result<bool> {
    let metadata = entry.metadata().await?;
    // A clock that was set back has no age to tell.
    Ok(metadata.is_file() && metadata.modified()?.elapsed().is_ok_and(|age| age > KEPT))
}

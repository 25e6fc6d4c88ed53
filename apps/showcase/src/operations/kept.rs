//! Files of exports, for as long as their operations are kept.

use std::path::PathBuf;
use std::time::Duration;

use desist_host::{BoxError, Stop};
use desist_tokio::sleep;
use tokio::fs::DirEntry;

use super::KEPT;
use crate::say;

const EVERY: Duration = Duration::from_secs(60 * 60);

/// Removes those that are older, and halves that a killed process left. An error is a failure of
/// the service, which is started again after a while.
pub(crate) async fn sweep_exports(folder: PathBuf, stop: Stop) -> Result<(), BoxError> {
    loop {
        let mut entries = tokio::fs::read_dir(&folder)
            .await
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        while let Some(entry) = entries.next_entry().await? {
            // To remove some of them is safe, so it may end between any two.
            stop.check()?;
            if is_old(&entry).await? {
                tokio::fs::remove_file(entry.path()).await?;
                say(format_args!("{} is old, and is removed", entry.path().display()));
            }
        }
        sleep(EVERY, &stop).await?;
    }
}

/// What is still written was written to just now.
async fn is_old(entry: &DirEntry) -> std::io::Result<bool> {
    let metadata = entry.metadata().await?;
    // A clock that was set back has no age to tell.
    Ok(metadata.is_file() && metadata.modified()?.elapsed().is_ok_and(|age| age > KEPT))
}

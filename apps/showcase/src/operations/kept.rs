//! Files of exports, for as long as their operations are kept.

use std::path::PathBuf;
use std::time::Duration;

use desist_host::{BoxError, Stop};
use desist_tokio::sleep;

use super::KEPT;
use crate::say;
use crate::uploads::remove_files;

const EVERY: Duration = Duration::from_secs(60 * 60);

/// Removes those that are older, and halves that a killed process left. What it cannot do it
/// says, and tries again: nobody else is to stop for that.
pub(crate) async fn sweep_exports(folder: PathBuf, stop: Stop) -> Result<(), BoxError> {
    loop {
        // What is still written was written to just now.
        let is_old = |_: &str, age| age > KEPT;
        if let Err(error) = remove_files(&folder, &stop, is_old, "is old, and is removed").await {
            let folder = folder.display();
            say(format_args!("old exports are not removed for now: {folder}: {error}"));
        }
        sleep(EVERY, &stop).await?;
    }
}

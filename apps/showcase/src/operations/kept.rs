//! Files of exports, for as long as their operations are kept.

use std::path::PathBuf;
use std::time::Duration;

use desist_host::{BoxError, Stop};
use desist_tokio::sleep;

use super::KEPT;
use crate::say;
use crate::uploads::remove_files;

/// Whatever else is in the folder is somebody's.
fn is_of_an_export(name: &str) -> bool {
    let whole = name.strip_suffix(".jsonl");
    let half = || name.strip_prefix('.')?.strip_suffix(".tmp")?.split_once(".jsonl.");
    let Some(id) = whole.or_else(|| half().map(|(id, _)| id)) else { return false };
    id.strip_prefix("op_").is_some_and(|rest| rest.chars().all(|one| one.is_ascii_alphanumeric()))
}

const EVERY: Duration = Duration::from_secs(60 * 60);

/// Removes those that are older, and halves that a killed process left. What it cannot do it
/// says, and tries again: nobody else is to stop for that.
pub(crate) async fn sweep_exports(folder: PathBuf, stop: Stop) -> Result<(), BoxError> {
    loop {
        // What is still written was written to just now.
        let is_old = |name: &str, age| age > KEPT && is_of_an_export(name);
        if let Err(error) = remove_files(&folder, &stop, is_old, "is old, and is removed").await {
            let folder = folder.display();
            say(format_args!("old exports are not removed for now: {folder}: {error}"));
        }
        sleep(EVERY, &stop).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::is_of_an_export;

    #[test]
    fn what_exports_have_not_written_is_not_theirs() {
        for name in ["op_7GZ.jsonl", ".op_7GZ.jsonl.81-0.tmp"] {
            assert!(is_of_an_export(name), "{name}");
        }
        for name in [
            "thesis.docx",
            "mine.jsonl",
            "op_.bak.jsonl",
            ".op_7.jsonl.swp",
            "op_7.jsonl.bak",
            ".tmp",
        ] {
            assert!(!is_of_an_export(name), "{name}");
        }
    }
}

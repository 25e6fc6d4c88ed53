//! Where uploads go: a folder of this process, which goes with it, and is swept.
//!
//! It is locked as long as the process lives: one that is not was left by a process that was
//! killed, and is removed by the next that starts.

use std::fs::{DirBuilder, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{env, process};

use desist_host::{BoxError, Stop};
use desist_tokio::sleep;
use tokio::fs::DirEntry;

use crate::say;

pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

const NAMED: &str = "desist-showcase-";

impl Folder {
    /// One that nobody else has, or may look into.
    pub(crate) fn create() -> io::Result<Self> {
        remove_those_of_the_dead();
        // In containers that share a folder all of them are process 1.
        let number = RandomState::new().hash_one(());
        let path = env::temp_dir().join(format!("{NAMED}{}-{number:016x}", process::id()));
        let lock = made(&path)?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// With all that is in it.
    pub(crate) async fn remove(self) -> Result<(), BoxError> {
        match tokio::fs::remove_dir_all(&self.path).await {
            // Somebody tidied up.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| {
                format!("{} is left: {error}; remove it by hand", self.path.display()).into()
            }),
        }
    }
}

/// Makes a folder, and locks it before it has its name: else it would be taken for one of the
/// dead.
fn made(path: &Path) -> io::Result<File> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unnamed = path.with_file_name(format!(".{name}.new"));
    match private().create(&unnamed) {
        // Whoever tidied up came between this and its name.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let lock = File::open(&unnamed)?;
    lock.lock()?;
    std::fs::rename(&unnamed, path)?;
    Ok(lock)
}

/// What cannot be removed is another user's.
fn remove_those_of_the_dead() {
    let Ok(folders) = std::fs::read_dir(env::temp_dir()) else { return };
    for folder in folders.filter_map(Result::ok) {
        let name = folder.file_name();
        let name = name.to_string_lossy();
        // One that has no name yet is not locked for a moment.
        let is_unnamed = name.strip_prefix('.').is_some_and(|name| name.starts_with(NAMED));
        let is_ours = (name.starts_with(NAMED) || (is_unnamed && is_old(&folder)))
            && folder.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_ours {
            continue;
        }
        let path = folder.path();
        // Held until it is gone.
        let lock = File::open(&path).and_then(|lock| Ok(lock.try_lock().map(|()| lock)?));
        if lock.is_ok() && std::fs::remove_dir_all(&path).is_ok() {
            let path = path.display();
            say(format_args!("{path} was left by a process that was killed, and is removed"));
        }
    }
}

fn is_old(folder: &std::fs::DirEntry) -> bool {
    let made = folder.metadata().and_then(|metadata| metadata.modified());
    made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > Duration::from_secs(60)))
}

fn private() -> DirBuilder {
    #[allow(unused_mut)] // It is changed on Unix.
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// By which whoever starts later knows where the folder is.
#[derive(Clone, Default)]
pub(crate) struct Shelf {
    path: Arc<OnceLock<PathBuf>>,
}

impl Shelf {
    pub(crate) fn set(&self, path: &Path) {
        // The server is started once.
        let _ = self.path.set(path.into());
    }

    pub(crate) fn path(&self) -> Result<&Path, BoxError> {
        let path = self.path.get().ok_or("there is no folder; start it after the server")?;
        Ok(path)
    }
}

/// Somebody else may have been quicker.
pub(crate) async fn remove(file: &Path) -> io::Result<()> {
    match tokio::fs::remove_file(file).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// How long a whole upload is left to its request, which removes it.
const ITS_TIME: Duration = Duration::from_secs(2);

/// Removes the uploads whose requests were dropped before they did. What it cannot do it says
/// once, and tries again: nobody else is to stop for that.
pub(crate) async fn sweep(shelf: Shelf, stop: Stop) -> Result<(), BoxError> {
    let folder = shelf.path()?;
    let (mut _lock, mut trouble) = (None, None);
    loop {
        sleep(ITS_TIME, &stop).await?;
        let done = match sweep_once(folder, &stop).await {
            // Somebody tidied up; the next upload needs it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => made(folder).map(|lock| {
                _lock = Some(lock);
                say(format_args!("{} was gone, and is there again", folder.display()));
            }),
            done => done,
        };
        stop.check()?;
        let now = done.err().map(|error| error.to_string());
        if now != trouble {
            trouble = now;
            if let Some(why) = &trouble {
                let folder = folder.display();
                say(format_args!("uploads that are left are not swept for now: {folder}: {why}"));
            }
        }
    }
}

async fn sweep_once(folder: &Path, stop: &Stop) -> io::Result<()> {
    // What is still written has another name.
    let is_left = |name: &str, age| name.starts_with("upload-") && age >= ITS_TIME;
    remove_files(folder, stop, is_left, "was left, and is swept").await
}

/// Those in a folder, by name and age; each is told with these words. One that cannot be removed
/// is told in the end, and keeps none of the others.
pub(crate) async fn remove_files(
    folder: &Path,
    stop: &Stop,
    are: impl Fn(&str, Duration) -> bool,
    words: &str,
) -> io::Result<()> {
    let mut entries = tokio::fs::read_dir(folder).await?;
    let mut removed_all = Ok(());
    while let Some(entry) = entries.next_entry().await? {
        // To remove some of them is safe, so it may end between any two.
        if stop.token().is_cancelled() {
            return Ok(());
        }
        let age = age_of(&entry).await?;
        if age.is_some_and(|age| are(&entry.file_name().to_string_lossy(), age)) {
            let path = entry.path();
            match remove(&path).await {
                Ok(()) => say(format_args!("{} {words}", path.display())),
                Err(error) => {
                    let why = format!("{}: {error}", path.display());
                    removed_all = Err(io::Error::new(error.kind(), why));
                }
            }
        }
    }
    removed_all
}

/// Of a file, since it was written to; a clock that was set back has no age to tell.
async fn age_of(entry: &DirEntry) -> io::Result<Option<Duration>> {
    match entry.metadata().await {
        Ok(metadata) if metadata.is_file() => Ok(metadata.modified()?.elapsed().ok()),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

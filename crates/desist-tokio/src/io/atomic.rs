//! Files that are there whole, or not at all.
//!
//! What is written goes to a temporary file in the folder of the target. A commit
//! writes it through to the disk, renames it over the target, which is one step for
//! everybody who looks, and writes the folder through. So after a stop, a failure, a
//! kill or a power cut at any moment the target is the old file, or the whole new one.
//!
//! The steps of a commit are one piece of blocking work, so that a future that is
//! dropped in the middle leaves none of them half done. Whether it is renamed is decided
//! once, by the work when it comes to that, or by whoever gives up before: so nobody is
//! told of a stop whose file is there.
//!
//! Whoever goes away without a commit takes the temporary file along. Only a process
//! that is killed leaves it; its name says whose it is.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::{fmt, process};

use desist::Token;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::or_cancelled::OrCancelled;

/// A file in the place of another, written aside and put there whole.
///
/// It is a writer, which obeys its token. [`commit`](Self::commit) puts the file in its
/// place; dropped before, it leaves everything as it was. After a stop, a failure, or
/// `kill -9`, the target is the old file or the whole new one.
///
/// The new file has the permissions of the one that it replaces, and its group where that
/// can be, or those of any new file; owner, access lists and other attributes, hard links,
/// and the bits that lend a user's or a group's rights are not kept. Where
/// the target is a symbolic link, the file that it leads to is replaced, and the link
/// itself if it leads nowhere. A process that is killed, or exits while it is given up,
/// leaves the temporary file, named `.<target>.<process>-<number>.tmp`, beside the
/// target.
///
/// ```
/// use desist::Token;
/// use desist_tokio::io::AtomicFile;
/// use tokio::io::AsyncWriteExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # let folder = std::env::temp_dir().join(format!("desist-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("report.csv");
/// std::fs::write(&path, "old")?;
///
/// let mut file = AtomicFile::create(&path, &Token::never()).await?;
/// file.write_all(b"new").await?;
/// assert_eq!(std::fs::read(&path)?, b"old", "nobody sees it yet");
/// file.commit().await?;
/// assert_eq!(std::fs::read(&path)?, b"new");
/// # std::fs::remove_dir_all(&folder)
/// # }
/// ```
#[must_use = "nothing is there before it is committed"]
pub struct AtomicFile {
    // Before its name: what is written to a file that is gone is nobody's.
    file: OrCancelled<tokio::fs::File>,
    temporary: Temporary,
    target: PathBuf,
    token: Token,
    /// A write failed: whatever comes after it, the file is not whole.
    is_torn: bool,
}

impl AtomicFile {
    /// Begins a file in the place of `target`.
    ///
    /// # Errors
    ///
    /// The stop was asked for, or the temporary file cannot be made: there is no such
    /// folder, say, or it may not be written.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_tokio::io::AtomicFile;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = AtomicFile::create("/no/such/folder/file", &Token::never()).await.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// assert!(error.to_string().contains("/no/such/folder"), "{error}");
    /// # }
    /// ```
    pub async fn create(target: impl AsRef<Path>, token: &Token) -> io::Result<Self> {
        token.check()?;
        let path = target.as_ref().to_owned();
        // Given up, it cleans up by itself.
        let begun = token.run(tokio::task::spawn_blocking(move || begin(&path))).await?;
        let (target, temporary, file) = begun.map_err(io::Error::other)??;
        let file = OrCancelled::new(tokio::fs::File::from_std(file), token);
        Ok(Self { file, temporary, target, token: token.clone(), is_torn: false })
    }

    /// Where the file will be.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_tokio::io::AtomicFile;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let path = std::env::temp_dir().join(format!("desist-doc-path-{}", std::process::id()));
    /// let file = AtomicFile::create(&path, &Token::never()).await?;
    /// assert_eq!(file.target().file_name(), path.file_name());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Writes it through to the disk and puts it in its place. When this returns
    /// without an error, it is there, also after a power cut.
    ///
    /// # Errors
    ///
    /// The stop was asked for, which ends the wait at once, or something could not be
    /// written, now or before; then the target is the old file. (A write that was given
    /// up in the middle is not seen here.) Only where the very last step fails, the folder's writing through,
    /// the new file is in its place, and a power cut may undo it; the error says so.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle it is given up, unless the file was put in its place
    /// already; the target is whole in any case.
    ///
    /// ```
    /// use desist::{Reason, Source};
    /// use desist_tokio::io::AtomicFile;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// # let path = std::env::temp_dir().join(format!("desist-doc-commit-{}", std::process::id()));
    /// let source = Source::new();
    /// let file = AtomicFile::create(&path, &source.token()).await?;
    /// source.cancel_with(Reason::Disconnected);
    /// assert!(file.commit().await.is_err());
    /// assert!(!path.exists());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn commit(self) -> io::Result<()> {
        let Self { mut file, temporary, target, token, is_torn } = self;
        token.check()?;
        if is_torn {
            let error = io::Error::other("a write to it has failed");
            return Err(of(&target, "is not replaced", error));
        }
        file.flush().await.map_err(|error| of(&target, "could not be written", error))?;
        let file = file.into_inner().into_std().await;
        let decision = Decision::default();
        let (decides, path) = (decision.clone(), target.clone());
        let mut committed =
            tokio::task::spawn_blocking(move || commit(file, temporary, &path, &decides));
        let gives_up = GivesUp(decision);
        match token.run(&mut committed).await {
            Ok(committed) => return committed.map_err(io::Error::other)?,
            Err(cancelled) if gives_up.0.is_ours() => return Err(cancelled.into()),
            // It is on its way into its place.
            Err(_) => {}
        }
        committed.await.map_err(io::Error::other)?
    }
}

impl AsyncWrite for AtomicFile {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.file).poll_write(cx, bytes);
        self.noted(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.file).poll_flush(cx);
        self.noted(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.file).poll_shutdown(cx);
        self.noted(polled)
    }
}

impl AtomicFile {
    fn noted<R>(&mut self, polled: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        // A failure is told once, and by whichever call comes next.
        self.is_torn |= matches!(polled, Poll::Ready(Err(_)));
        polled
    }
}

impl fmt::Debug for AtomicFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtomicFile").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Whether the file is put in its place: whoever comes first has decided.
#[derive(Clone, Default)]
struct Decision(Arc<AtomicBool>);

impl Decision {
    fn is_ours(&self) -> bool {
        // Ordering: nothing is handed over by it.
        !self.0.swap(true, Ordering::Relaxed)
    }
}

/// Decides against it, if nothing is decided yet.
struct GivesUp(Decision);

impl Drop for GivesUp {
    fn drop(&mut self) {
        self.0.is_ours();
    }
}

/// The temporary file: with this it goes.
struct Temporary {
    path: PathBuf,
    /// It has another name now.
    renamed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // Who cannot remove it can do nothing else about it either.
            let _removed = fs::remove_file(&self.path);
        }
    }
}

/// The longest name to have more appended: file systems take 255 bytes.
const LONG: usize = 200;

fn begin(path: &Path) -> io::Result<(PathBuf, Temporary, File)> {
    // It stays where it is when the process goes elsewhere.
    let path = &std::path::absolute(path)?;
    let (target, old) = match fs::canonicalize(path) {
        // A link is followed, so that it goes on leading there.
        Ok(target) => {
            let old = fs::metadata(&target)?;
            (target, Some(old))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), None),
        Err(error) => return Err(of(path, "cannot be replaced", error)),
    };
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
        return Err(of(&target, "cannot be replaced", error));
    }
    let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let Some(name) = target.file_name().filter(|_| !is_folder) else {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "it has no file name");
        return Err(of(&target, "cannot be written", error));
    };
    let (temporary, file) = loop {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // Ordering: it only counts.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut aside = OsString::from(".");
        // One that is long leaves no room for more.
        aside.push(if name.len() <= LONG { name } else { OsStr::new("desist") });
        aside.push(format!(".{}-{number}.tmp", process::id()));
        let aside = target.with_file_name(aside);
        match create(&aside, old.is_some()) {
            Ok(file) => break (Temporary { path: aside, renamed: false }, file),
            // Of an earlier process with this number that was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(of(&aside, "cannot be made", error)),
        }
    };
    if let Some(old) = old {
        file.set_permissions(permissions_of(&old, &file))
            .map_err(|error| of(&temporary.path, "cannot be given its permissions", error))?;
    }
    Ok((target, temporary, file))
}

/// Nobody else's to read, until it has the permissions of the one that it replaces.
fn create(path: &Path, is_private: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_private {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let _ = is_private;
    options.open(path)
}

/// Without what lends rights, for the owner is another. What the group may is for that
/// group: where the file cannot be given to it, no other may.
#[cfg(unix)]
fn permissions_of(old: &fs::Metadata, file: &File) -> fs::Permissions {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let group = rustix::fs::Gid::from_raw(old.gid());
    let is_theirs = rustix::fs::fchown(file, None, Some(group)).is_ok();
    let mode = old.permissions().mode() & 0o777;
    fs::Permissions::from_mode(if is_theirs { mode } else { mode & !0o070 })
}

#[cfg(not(unix))]
fn permissions_of(old: &fs::Metadata, _: &File) -> fs::Permissions {
    old.permissions()
}

fn commit(
    file: File,
    mut temporary: Temporary,
    target: &Path,
    decision: &Decision,
) -> io::Result<()> {
    file.sync_all().map_err(|error| of(target, "could not be written through", error))?;
    drop(file);
    if !decision.is_ours() {
        // Whoever gave up has the answer, or wants none.
        return Err(io::Error::other("the commit was given up"));
    }
    fs::rename(&temporary.path, target)
        .map_err(|error| of(target, "could not be replaced", error))?;
    temporary.renamed = true;
    sync_folder(target).map_err(|error| {
        let said = "is in its place, but a power cut may undo that, for its folder could not be \
                    written through";
        of(target, said, error)
    })
}

#[cfg(unix)]
fn sync_folder(target: &Path) -> io::Result<()> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// A folder cannot be opened as a file there.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Says which file, and what was to be done with it.
fn of(path: &Path, what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), FileError { said: format!("{} {what}", path.display()), error })
}

#[derive(Debug)]
struct FileError {
    said: String,
    error: io::Error,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

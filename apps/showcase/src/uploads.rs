//! Where uploads go: a folder of this process, which goes with it.

use std::fs::DirBuilder;
use std::io;
use std::path::{Path, PathBuf};
use std::{env, process};

/// It is removed when it is dropped, with all that is in it.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// One that nobody else has, or may look into.
    pub(crate) fn create() -> io::Result<Self> {
        let mut number = 0_u32;
        loop {
            let name = format!("desist-showcase-{}-{number}", process::id());
            let path = env::temp_dir().join(name);
            match private().create(&path) {
                Ok(()) => return Ok(Self { path }),
                // That of another with this process's id, who was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn private() -> DirBuilder {
    #[allow(unused_mut)] // It is changed on Unix.
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("showcase: {} is left: {error}; remove it by hand", self.path.display());
        }
    }
}

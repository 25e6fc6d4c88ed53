//! A folder for as long as an example runs.

use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let path = env::temp_dir().join(format!("desist-{name}-{}", process::id()));
        fs::create_dir(&path).map_err(|error| {
            let said = format!("cannot make {}: {error}; remove what is there", path.display());
            io::Error::new(error.kind(), said)
        })?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.0)?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Whoever cleans the temporary files comes by, too.
        let _removed = fs::remove_dir_all(&self.0);
    }
}

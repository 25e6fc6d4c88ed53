//! What processes did, written where it stays when they are killed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines at the end of a file, from any number of processes.
#[derive(Debug)]
pub(crate) struct Log(File);

impl Log {
    pub(crate) fn open(path: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Self(file.expect("the folder is there"))
    }

    /// One call: a line is there, or it is not.
    pub(crate) fn write(&self, what: &str, id: impl std::fmt::Display, generation: i64) {
        let (by, at) = (std::process::id(), now().as_micros());
        let line = format!("{what} {id} {generation} {by} {at}\n");
        (&self.0).write_all(line.as_bytes()).expect("there is room");
    }
}

/// The same in all processes.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later")
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) id: String,
    pub(crate) generation: i64,
    pub(crate) by: u32,
    pub(crate) at: Duration,
}

pub(crate) fn read(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, id, generation, by, at] = words[..] else { panic!("no line of ours: {line}") };
        Line {
            what: what.to_owned(),
            id: id.to_owned(),
            generation: generation.parse().unwrap(),
            by: by.parse().unwrap(),
            at: Duration::from_micros(at.parse().unwrap()),
        }
    };
    // The last one may be half there yet.
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    whole.lines().map(line).collect()
}

/// When, of each operation, that was written first.
pub(crate) fn first(lines: &[Line], what: &str) -> BTreeMap<String, Duration> {
    let mut first = BTreeMap::new();
    for line in lines.iter().filter(|line| line.what == what) {
        first.entry(line.id.clone()).or_insert(line.at);
    }
    first
}

/// A folder that is gone when this is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // Ordering: it only counts.
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("desist-ops-chaos-{}-{next}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

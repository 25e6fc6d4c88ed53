//! What workers did, written where it stays when they are killed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines at the end of a file, from any number of processes.
pub(crate) struct Effects(File);

impl Effects {
    pub(crate) fn open(path: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Self(file.expect("the folder is there"))
    }

    pub(crate) fn begin(&self, number: u64) {
        self.write("begin", number);
    }

    pub(crate) fn end(&self, number: u64) {
        self.write("end", number);
    }

    /// One call: a line is there, or it is not.
    fn write(&self, what: &str, number: u64) {
        let line = format!("{what} {number} {} {}\n", std::process::id(), now().as_micros());
        (&self.0).write_all(line.as_bytes()).expect("there is room");
    }
}

/// The same in all processes.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later")
}

/// One that was worked on to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) by: u32,
    pub(crate) begun: Duration,
    pub(crate) ended: Duration,
}

/// Of each message, in order.
pub(crate) fn read(path: &Path) -> BTreeMap<u64, Vec<Done>> {
    let text = std::fs::read_to_string(path).expect("somebody has worked");
    let mut begun = BTreeMap::new();
    let mut done = BTreeMap::<u64, Vec<Done>>::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, number, by, at] = words[..] else { panic!("{line:?}") };
        let number = number.parse().expect("a number");
        let (by, at) = (by.parse().expect("a pid"), at.parse().expect("a time"));
        let at = Duration::from_micros(at);
        if what == "begin" {
            begun.insert((number, by), at);
        } else if let Some(begun) = begun.remove(&(number, by)) {
            done.entry(number).or_default().push(Done { by, begun, ended: at });
        }
    }
    done
}

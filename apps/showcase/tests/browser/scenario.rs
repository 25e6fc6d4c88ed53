//! A scenario: node starts a showcase and drives a browser, and says what went wrong.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::programs::{Programs, here};

/// One that has not ended by then hangs; it takes seconds.
const LONGEST: Duration = Duration::from_secs(120);
/// With more browsers than that a small machine is slow.
static ROOM: Mutex<u32> = Mutex::new(3);
static LEFT: Condvar = Condvar::new();

pub(crate) fn runs(name: &str) {
    let Some(programs) = Programs::find() else { return };
    let _place = Place::take();
    let folder = Folder::new(name);
    let began = Instant::now();
    let mut node = Command::new(&programs.node)
        .arg(here().join("scenarios").join(format!("{name}.mjs")))
        .env("DESIST_CHROMIUM", &programs.chromium)
        .env("DESIST_PACKAGES", &programs.packages)
        .env("DESIST_FOLDER", &folder.0)
        .env("DESIST_SHOWCASE", env!("CARGO_BIN_EXE_showcase"))
        // It ends when nobody holds the other end any more.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        // With all that it starts.
        .process_group(0)
        .spawn()
        .unwrap();
    let mut output = node.stdout.take().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut said = String::new();
        let _ = output.read_to_string(&mut said);
        tell.send(said)
    });
    let said = told.recv_timeout(LONGEST);
    if said.is_err() {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", node.id())]).status();
    }
    let ended = node.wait().unwrap();
    let took = began.elapsed();
    let _ = writeln!(std::io::stderr(), "{name}: {took:.1?}");
    let said = said.unwrap_or_else(|_| format!("it hangs, and was ended after {LONGEST:?}"));
    assert!(ended.success(), "{name}: {ended}\n{said}");
}

struct Place;

impl Place {
    fn take() -> Self {
        let free = LEFT.wait_while(room(), |room| *room == 0);
        *free.unwrap_or_else(PoisonError::into_inner) -= 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *room() += 1;
        LEFT.notify_one();
    }
}

fn room() -> MutexGuard<'static, u32> {
    ROOM.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = format!("showcase-browser-{}-{name}", std::process::id());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

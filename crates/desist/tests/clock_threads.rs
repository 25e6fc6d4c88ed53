//! The threads of the system's clock: when they end, and what happens when the system has none to
//! give. Each test runs again as a process of its own, in which nobody else arms anything.
#![cfg(target_os = "linux")]

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, fs};

use desist::{Reason, Source};

const CHILD: &str = "DESIST_TEST_CLOCK_THREADS";
const SOON: Duration = Duration::from_millis(5);
const HOUR: Duration = Duration::from_secs(3_600);
/// What must happen happens in this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// True in the process that is to run the test called `name`; any other starts that one.
fn in_its_own_process(name: &str) -> bool {
    if env::var_os(CHILD).is_some() {
        return true;
    }
    // So little memory that it can be used up.
    let Output { status, stdout, stderr } = Command::new("sh")
        .args(["-c", "ulimit -v 2000000 && exec \"$0\" \"$@\""])
        .arg(env::current_exe().expect("it runs"))
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("there is a shell");
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(status.success(), "{stdout}\n{stderr}");
    false
}

/// No thread can be started while this exists.
struct NoThread {
    /// All the memory there is, in pieces that are smaller than a stack.
    _eaten: Vec<Vec<u8>>,
    /// Stacks of threads that have ended are used again: these use them.
    idle: Vec<JoinHandle<()>>,
    leave: Arc<AtomicBool>,
}

impl NoThread {
    fn begin() -> Self {
        // What is needed meanwhile finds its place among what was used before.
        drop((0..100).map(|size| Vec::<u8>::with_capacity(size * 64)).collect::<Vec<_>>());
        let (mut eaten, mut idle) = (Vec::with_capacity(100_000), Vec::with_capacity(1_000));
        for size in [1 << 28, 1 << 24, 1 << 20, 1 << 18] {
            while eaten.len() < eaten.capacity() {
                let mut piece = Vec::<u8>::new();
                if piece.try_reserve_exact(size).is_err() {
                    break;
                }
                eaten.push(piece);
            }
        }
        let leave = Arc::new(AtomicBool::new(false));
        while idle.len() < idle.capacity() {
            let told = Arc::clone(&leave);
            let wait = move || {
                while !told.load(Relaxed) {
                    thread::park();
                }
            };
            match thread::Builder::new().spawn(wait) {
                Ok(thread) => idle.push(thread),
                Err(_) => return Self { _eaten: eaten, idle, leave },
            }
        }
        panic!("there is always room for one thread more");
    }
}

impl Drop for NoThread {
    fn drop(&mut self) {
        self.leave.store(true, Relaxed);
        for thread in self.idle.drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// How many threads the clock has.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux tells");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "desist-time").count()
}

fn wait_for_threads(count: usize) {
    let begin = Instant::now();
    while threads() != count {
        assert!(begin.elapsed() < PATIENCE, "{} threads, not {count}", threads());
        thread::sleep(SOON);
    }
}

fn assert_fires(source: &Source) {
    let cancelled = source.token().blocking_wait_timeout(PATIENCE);
    assert_eq!(cancelled.map(|cancelled| cancelled.reason()), Some(Reason::Deadline));
}

#[test]
fn when_none_can_be_started_whoever_arms_next_tries_again() {
    if !in_its_own_process("when_none_can_be_started_whoever_arms_next_tries_again") {
        return;
    }
    let (first, second) = (Source::new(), Source::new());
    let no_thread = NoThread::begin();
    first.cancel_after(SOON);
    drop(no_thread);
    second.cancel_after(SOON * 2);
    assert_fires(&first);
    assert_fires(&second);
}

#[test]
fn the_one_that_keeps_time_fires_by_itself_when_no_other_can_be_started() {
    if !in_its_own_process("the_one_that_keeps_time_fires_by_itself_when_no_other_can_be_started") {
        return;
    }
    let _far = Source::with_timeout(HOUR);
    assert_fires(&Source::with_timeout(SOON));
    // The one that waits to be needed waits for some seconds only.
    wait_for_threads(1);
    let source = Source::with_timeout(SOON * 100);
    let no_thread = NoThread::begin();
    assert_fires(&source);
    drop(no_thread);
    assert_fires(&Source::with_timeout(SOON));
}

#[test]
fn when_nothing_is_armed_for_long_all_end() {
    if !in_its_own_process("when_nothing_is_armed_for_long_all_end") {
        return;
    }
    assert_fires(&Source::with_timeout(SOON));
    assert!(threads() > 0);
    wait_for_threads(0);
    assert_fires(&Source::with_timeout(SOON));
}

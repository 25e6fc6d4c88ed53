//! The threads of the system's clock: when they end, and what happens when the system has none to
//! give. Each test runs again as a process of its own, in which nobody else arms anything.
#![cfg(target_os = "linux")]

use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, fs};

use desist::{Reason, Source};

const CHILD: &str = "DESIST_TEST_CLOCK_THREADS";
const SOON: Duration = Duration::from_millis(5);
const HOUR: Duration = Duration::from_secs(3_600);
/// What must happen happens in this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than there are wheels.
const THREADS: usize = 10;
/// The stack of a small thread. Eight wheels are 36 kB, and unoptimized code moves a
/// value several times.
const SMALL: usize = 64 << 10;

/// How many threads the process may have beside its first and the test's.
enum Room {
    /// One: three stacks take more than all the memory that there is.
    ForOne,
    ForMany,
}

/// True in the process that is to run the test called `name`; any other starts that one.
fn in_its_own_process(name: &str, room: Room) -> bool {
    if env::var_os(CHILD).is_some() {
        return true;
    }
    let mut shell = Command::new("sh");
    if matches!(room, Room::ForOne) {
        shell.env("RUST_MIN_STACK", "360000000");
    }
    let Output { status, stdout, stderr } = shell
        .args(["-c", "ulimit -v 1000000 && exec \"$0\" \"$@\""])
        .arg(env::current_exe().expect("it runs"))
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("there is a shell");
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(status.success(), "{stdout}\n{stderr}");
    false
}

/// No thread can be started while this exists, in a process with room for one.
struct NoThread {
    idle: Option<JoinHandle<()>>,
    leave: Arc<AtomicBool>,
}

impl NoThread {
    fn begin() -> Self {
        let leave = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&leave);
        let idle = thread::spawn(move || {
            while !told.load(Relaxed) {
                thread::park();
            }
        });
        assert_no_thread_can_be_started();
        Self { idle: Some(idle), leave }
    }
}

impl Drop for NoThread {
    fn drop(&mut self) {
        self.leave.store(true, Relaxed);
        if let Some(idle) = self.idle.take() {
            idle.thread().unpark();
            idle.join().expect("it only waited");
        }
    }
}

fn assert_no_thread_can_be_started() {
    assert!(thread::Builder::new().spawn(|| ()).is_err(), "there is no room for it");
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
    if !in_its_own_process("when_none_can_be_started_whoever_arms_next_tries_again", Room::ForOne) {
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
    let name = "the_one_that_keeps_time_fires_by_itself_when_no_other_can_be_started";
    if !in_its_own_process(name, Room::ForOne) {
        return;
    }
    let _far = Source::with_timeout(HOUR);
    wait_for_threads(1);
    assert_no_thread_can_be_started();
    for _ in 0..3 {
        assert_fires(&Source::with_timeout(SOON));
        // It keeps time again.
        assert_eq!(threads(), 1);
    }
}

#[test]
fn when_nothing_is_armed_for_long_all_end() {
    if !in_its_own_process("when_nothing_is_armed_for_long_all_end", Room::ForMany) {
        return;
    }
    assert_fires(&Source::with_timeout(SOON));
    assert!(threads() > 0);
    wait_for_threads(0);
    assert_fires(&Source::with_timeout(SOON));
}

#[test]
fn whoever_is_not_needed_ends_while_another_keeps_time() {
    if !in_its_own_process("whoever_is_not_needed_ends_while_another_keeps_time", Room::ForMany) {
        return;
    }
    let _far = Source::with_timeout(HOUR);
    assert_fires(&Source::with_timeout(SOON));
    // One keeps time and the one that fired waits to be needed, for some seconds.
    wait_for_threads(1);
    assert_fires(&Source::with_timeout(SOON));
}

/// What the clock is made of is more than the stack of a small thread.
#[test]
fn the_first_deadline_may_be_armed_by_a_thread_with_a_small_stack() {
    if !in_its_own_process(
        "the_first_deadline_may_be_armed_by_a_thread_with_a_small_stack",
        Room::ForMany,
    ) {
        return;
    }
    let small = thread::Builder::new().stack_size(SMALL).spawn(|| Source::with_timeout(SOON));
    let source = small.expect("there is room").join().expect("it has enough stack");
    let cancelled = source.token().blocking_wait();
    assert_eq!(cancelled.reason(), Reason::Deadline);
}

/// Each thread arms on a wheel of its own, and all have one keeper.
#[test]
fn a_deadline_is_not_late_for_another_threads_later_one() {
    if !in_its_own_process("a_deadline_is_not_late_for_another_threads_later_one", Room::ForMany) {
        return;
    }
    let all_wait_long = Barrier::new(THREADS);
    let turn = Mutex::new(());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let late = Source::with_timeout(HOUR);
                all_wait_long.wait();
                // Nobody else arms anything meanwhile: only the keeper can know.
                let _alone = turn.lock().expect("the others were in time");
                let soon = Source::with_timeout(Duration::from_millis(50));
                let cancelled = soon.token().blocking_wait_timeout(PATIENCE);
                assert!(cancelled.is_some(), "it is still asleep for another's deadline");
                assert!(!late.is_cancelled());
            });
        }
    });
}

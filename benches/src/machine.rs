//! Which CPU a thread runs on, and whether it was left alone there. Linux.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::mem;
use std::sync::OnceLock;

/// The CPUs that this process could use when it began.
fn allowed_cpus() -> &'static [usize] {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(|| {
        // SAFETY: a `cpu_set_t` is plain bits; the kernel writes at most the
        // size it is told, and `CPU_ISSET` is asked within that size.
        unsafe {
            let mut set: libc::cpu_set_t = mem::zeroed();
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
            (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect()
        }
    })
}

/// A thread, by its number; 0 is this one.
fn run_on(thread: libc::pid_t, cpus: &[usize]) {
    // SAFETY: a `cpu_set_t` is plain bits, every `cpu` came out of such a set,
    // and the kernel only reads it. If it refuses, the thread stays where it is.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        for &cpu in cpus {
            libc::CPU_SET(cpu, &mut set);
        }
        libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Keeps the calling thread on the first (0) or second (1) CPU.
pub(crate) fn pin(index: usize) {
    pin_thread(0, index);
}

/// The same for another one, of whatever process.
pub(crate) fn pin_thread(thread: libc::pid_t, index: usize) {
    run_on(thread, &allowed_cpus()[index..=index]);
}

/// Lets the calling thread, and threads it makes, run anywhere again.
pub(crate) fn unpin() {
    run_on(0, allowed_cpus());
}

pub(crate) fn require_two_cpus() -> io::Result<()> {
    if allowed_cpus().len() >= 2 {
        return Ok(());
    }
    Err(io::Error::other("some rows run on two cpus at once: allow this process two"))
}

/// What took the CPU away from this thread so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disturbance {
    pub(crate) preemptions: i64,
    pub(crate) waited_ns: u64,
}

impl Disturbance {
    pub(crate) fn now() -> Self {
        Self { preemptions: preemptions(), waited_ns: waited_ns() }
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            preemptions: self.preemptions - earlier.preemptions,
            waited_ns: self.waited_ns - earlier.waited_ns,
        }
    }
}

fn preemptions() -> i64 {
    // SAFETY: `rusage` is plain numbers, and the kernel fills in exactly one.
    unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage.ru_nivcsw
    }
}

/// Nanoseconds that this thread was ready to run while no CPU took it: the
/// second number of `schedstat`; 0 where the kernel does not tell.
fn waited_ns() -> u64 {
    thread_local! {
        static SCHEDSTAT: RefCell<Option<File>> =
            RefCell::new(File::open("/proc/thread-self/schedstat").ok());
    }
    SCHEDSTAT
        .with_borrow_mut(|file| {
            let file = file.as_mut()?;
            let mut text = [0; 96];
            file.seek(SeekFrom::Start(0)).ok()?;
            let length = file.read(&mut text).ok()?;
            let text = std::str::from_utf8(&text[..length]).ok()?;
            text.split_whitespace().nth(1)?.parse().ok()
        })
        .unwrap_or(0)
}

//! Rows L: what the machine itself takes, to read the other rows by.

use std::hint::black_box;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::allocate_and_free;
use crate::measure::{Batch, Entries, Row};
use crate::sample::{on_two_cpus, timed};

pub(super) const ROWS: &[Row] = &[
    Row::new("L1", "limits of the machine, 1 thread, ns each", "", one_thread),
    Row::new("L2", "limits of the machine, 2 threads, ns each per thread", "", two_threads),
];

fn one_thread(entries: &mut Entries<'_>) {
    entries.limit("hot load and branch", {
        let flag = AtomicBool::new(false);
        Batch::new(move |times| timed(|| load(&flag, times)))
    });
    entries.limit("locked add", {
        let count = AtomicU64::new(0);
        repeat(move || {
            count.fetch_add(1, Relaxed);
        })
    });
    entries.limit("locked add and subtract", {
        let count = AtomicU64::new(0);
        repeat(move || add_and_subtract(&count))
    });
    entries.limit("compare and exchange", {
        let word = AtomicU64::new(0);
        repeat(move || {
            let _ = word.compare_exchange(black_box(0), 0, AcqRel, Relaxed);
        })
    });
    entries.limit("lock and unlock a mutex", {
        let mutex = Mutex::new(0_u64);
        repeat(move || lock(&mutex))
    });
    for bytes in [32, 64, 128] {
        entries.limit(
            &format!("malloc and free {bytes} B"),
            Batch::new(move |times| timed(|| allocate_and_free(bytes, times))),
        );
    }
    entries.limit(
        "Instant::now",
        repeat(|| {
            black_box(Instant::now());
        }),
    );
}

fn two_threads(entries: &mut Entries<'_>) {
    entries.limit("hot load and branch, one line", {
        let flag = Arc::new(AtomicBool::new(false));
        Batch::new(move |times| on_two_cpus(|_| load(&flag, times)))
    });
    entries.limit("locked add, one line", {
        let count = Arc::new(AtomicU64::new(0));
        repeat_on_two_cpus(move |_| {
            count.fetch_add(1, Relaxed);
        })
    });
    entries.limit("locked add, own lines", {
        let lines = Arc::new([const { OwnLine(AtomicU64::new(0)) }; 2]);
        repeat_on_two_cpus(move |thread| {
            lines[thread].0.fetch_add(1, Relaxed);
        })
    });
    entries.limit("locked add and subtract, one line", {
        let count = Arc::new(AtomicU64::new(0));
        repeat_on_two_cpus(move |_| add_and_subtract(&count))
    });
    entries.limit("lock and unlock a mutex", {
        let mutex = Arc::new(Mutex::new(0_u64));
        repeat_on_two_cpus(move |_| lock(&mutex))
    });
    entries.limit("malloc and free 64 B", {
        Batch::new(|times| on_two_cpus(|_| allocate_and_free(64, times)))
    });
}

/// Two lines are fetched at a time: one's own is 128 bytes.
#[repr(align(128))]
struct OwnLine(AtomicU64);

fn repeat(work: impl Fn() + 'static) -> Batch {
    Batch::new(move |times| timed(|| (0..times).for_each(|_| work())))
}

fn repeat_on_two_cpus(work: impl Fn(usize) + Sync + 'static) -> Batch {
    Batch::new(move |times| on_two_cpus(|thread| (0..times).for_each(|_| work(thread))))
}

fn load(flag: &AtomicBool, times: u64) {
    let mut set = 0;
    for _ in 0..times {
        set += u64::from(flag.load(Acquire));
    }
    black_box(set);
}

fn add_and_subtract(count: &AtomicU64) {
    count.fetch_add(1, Relaxed);
    count.fetch_sub(1, Release);
}

fn lock(mutex: &Mutex<u64>) {
    *black_box(mutex).lock().expect("no holder panics") += 1;
}

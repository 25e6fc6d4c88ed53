//! A clock that is cheap to read: for a timeout of seconds the exact `now`
//! would cost as much as all the rest.

use std::time::{Duration, Instant};

/// Timeouts shorter than this are measured exactly.
const WORTH_IT: Duration = Duration::from_millis(100);

/// A `now` that is later than this would show.
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
const MAX_LATE_NS: u64 = 4_050_000;

/// A `now` for a timeout of `timeout`: never before the exact one, and at most
/// one tick of the coarse clock (4 ms) after it.
pub(super) fn now_for(timeout: Duration) -> Instant {
    if timeout >= WORTH_IT {
        if let Some(now) = coarse_now() {
            return now;
        }
    }
    Instant::now()
}

#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
mod os {
    use std::ffi::{c_int, c_long};

    #[repr(C)]
    #[derive(Default)]
    struct Timespec {
        seconds: i64,
        nanoseconds: c_long,
    }

    pub(super) const CLOCK_MONOTONIC: c_int = 1;
    pub(super) const CLOCK_MONOTONIC_COARSE: c_int = 6;

    // SAFETY: I12: as POSIX declares them, with the `timespec` of 64-bit Linux.
    unsafe extern "C" {
        fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
        fn clock_getres(clock: c_int, resolution: *mut Timespec) -> c_int;
    }

    pub(super) fn read(clock: c_int) -> Option<u64> {
        let mut time = Timespec::default();
        // SAFETY: I12: the pointer is to a whole `timespec`.
        (unsafe { clock_gettime(clock, &mut time) } == 0).then(|| time.as_nanos())
    }

    pub(super) fn resolution(clock: c_int) -> Option<u64> {
        let mut time = Timespec::default();
        // SAFETY: I12: the pointer is to a whole `timespec`.
        (unsafe { clock_getres(clock, &mut time) } == 0).then(|| time.as_nanos())
    }

    impl Timespec {
        fn as_nanos(&self) -> u64 {
            self.seconds as u64 * 1_000_000_000 + self.nanoseconds as u64
        }
    }
}

#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
fn coarse_now() -> Option<Instant> {
    use std::sync::OnceLock;

    /// Where the system's monotonic nanoseconds stand on the scale of
    /// `Instant`, never too early, and how long the coarse clock stands still.
    struct Base {
        exact: Instant,
        monotonic_ns: u64,
        tick_ns: u64,
    }

    static BASE: OnceLock<Option<Base>> = OnceLock::new();

    let base = BASE.get_or_init(|| {
        let tick_ns = os::resolution(os::CLOCK_MONOTONIC_COARSE)?;
        // The time between the two readings is the error, all on the late side.
        let monotonic_ns = os::read(os::CLOCK_MONOTONIC)?;
        let exact = Instant::now();
        let error = os::read(os::CLOCK_MONOTONIC)? - monotonic_ns;
        (tick_ns + error <= MAX_LATE_NS).then_some(Base { exact, monotonic_ns, tick_ns })
    });
    let base = base.as_ref()?;
    let latest = os::read(os::CLOCK_MONOTONIC_COARSE)? + base.tick_ns;
    Some(base.exact + Duration::from_nanos(latest.saturating_sub(base.monotonic_ns)))
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", not(miri))))]
fn coarse_now() -> Option<Instant> {
    None
}

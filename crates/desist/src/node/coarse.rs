//! A clock that is cheap to read: for a timeout of seconds the exact `now`
//! would cost as much as all the rest.

use std::time::{Duration, Instant};

/// Timeouts shorter than this are measured exactly.
pub(super) const WORTH_IT: Duration = Duration::from_millis(100);

/// Reads the coarse clock on the scale of a base instant.
pub(super) struct Coarse {
    #[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
    os: os::Calibration,
}

impl Coarse {
    /// A base instant, and the coarse clock as seen from there where there is
    /// one that is fine enough.
    pub(super) fn calibrate() -> (Instant, Option<Self>) {
        #[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
        if let Some((base, os)) = os::Calibration::new() {
            return (base, Some(Self { os }));
        }
        (Instant::now(), None)
    }

    /// Nanoseconds since the base instant: never before the exact ones, and at
    /// most one tick of the coarse clock (4 ms) after them.
    #[inline]
    pub(super) fn nanos(&self) -> Option<u64> {
        #[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
        return self.os.nanos();
        #[cfg(not(all(target_os = "linux", target_pointer_width = "64", not(miri))))]
        None
    }
}

#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
mod os {
    use std::ffi::{c_int, c_long};
    use std::time::Instant;

    /// A coarse `now` that may be later than this would show.
    const MAX_LATE_NS: u64 = 4_050_000;

    #[repr(C)]
    #[derive(Default)]
    struct Timespec {
        seconds: i64,
        nanoseconds: c_long,
    }

    const CLOCK_MONOTONIC: c_int = 1;
    const CLOCK_MONOTONIC_COARSE: c_int = 6;

    // SAFETY: I12: as POSIX declares them, with the `timespec` of 64-bit Linux.
    unsafe extern "C" {
        fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
        fn clock_getres(clock: c_int, resolution: *mut Timespec) -> c_int;
    }

    #[inline]
    fn read(clock: c_int) -> Option<u64> {
        let mut time = Timespec::default();
        // SAFETY: I12: the pointer is to a whole `timespec`.
        (unsafe { clock_gettime(clock, &mut time) } == 0).then(|| time.as_nanos())
    }

    fn resolution(clock: c_int) -> Option<u64> {
        let mut time = Timespec::default();
        // SAFETY: I12: the pointer is to a whole `timespec`.
        (unsafe { clock_getres(clock, &mut time) } == 0).then(|| time.as_nanos())
    }

    impl Timespec {
        fn as_nanos(&self) -> u64 {
            self.seconds as u64 * 1_000_000_000 + self.nanoseconds as u64
        }
    }

    /// Where the system's monotonic nanoseconds stand at the base instant,
    /// never too early, and how long the coarse clock stands still.
    pub(super) struct Calibration {
        base_ns: u64,
        tick_ns: u64,
    }

    impl Calibration {
        pub(super) fn new() -> Option<(Instant, Self)> {
            let tick_ns = resolution(CLOCK_MONOTONIC_COARSE)?;
            // The time between the two readings is the error, all of it on the
            // late side.
            let base_ns = read(CLOCK_MONOTONIC)?;
            let base = Instant::now();
            let error_ns = read(CLOCK_MONOTONIC)? - base_ns;
            (tick_ns + error_ns <= MAX_LATE_NS).then_some((base, Self { base_ns, tick_ns }))
        }

        #[inline]
        pub(super) fn nanos(&self) -> Option<u64> {
            Some((read(CLOCK_MONOTONIC_COARSE)? + self.tick_ns).saturating_sub(self.base_ns))
        }
    }
}

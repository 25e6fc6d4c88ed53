//! `desist_tokio::compat` at tokio-util's paths, for the tests in its package: they
//! are compiled where they lie, not a byte of them changed, and so is whoever
//! wrote `use tokio_util::…`.
#![forbid(unsafe_code)]

/// As `tokio_util::sync`.
pub mod sync {
    pub use desist_tokio::compat::{
        CancellationToken, DropGuard, DropGuardRef, WaitForCancellationFuture,
        WaitForCancellationFutureOwned,
    };
}

/// As `tokio_util::task`.
pub mod task {
    pub use desist_tokio::compat::{TaskTracker, TaskTrackerToken};

    /// As `tokio_util::task::task_tracker`.
    pub mod task_tracker {
        pub use desist_tokio::compat::{
            TaskTracker, TaskTrackerToken, TaskTrackerWaitFuture, TrackedFuture,
        };
    }
}

/// As `tokio_util::future`.
pub mod future {
    pub use desist_tokio::compat::FutureExt;
}

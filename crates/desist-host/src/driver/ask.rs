//! Requests, which run foreign code: whoever waits for the token may be called back.

use std::time::Duration;

use desist::Source;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::panics::caught;

/// How long an abort waits for the request before it: a moment, in which a callback that
/// does not block has returned.
const MOMENT: Duration = Duration::from_millis(20);

/// A request that is being made.
pub(super) struct Asking {
    thread: JoinHandle<Result<bool, ()>>,
}

impl Asking {
    /// On a thread of its own, for a callback may block it. It does not wait for the
    /// request before it, which may be blocked.
    pub(super) fn begin(request: impl FnOnce() -> bool + Send + 'static) -> Self {
        // A panic of a callback was heard by its hook, and everybody else was woken.
        let thread = spawn_blocking(move || caught(request));
        Self { thread }
    }
}

/// Aborted is who was asked before.
pub(super) fn abort_after(asking: Option<Asking>, abort: Source) {
    match asking {
        // Whoever waits for this one is our own task.
        Some(Asking { thread }) if !thread.is_finished() => {
            tokio::spawn(async move {
                let _ = timeout(MOMENT, thread).await;
                abort.cancel();
            });
        }
        _ => {
            abort.cancel();
        }
    }
}

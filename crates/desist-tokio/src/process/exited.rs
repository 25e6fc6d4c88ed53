//! Waiting for a child's end without reaping it.

use std::io;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::signal::unix::{SignalKind, signal};

/// Waits until that child of ours has ended, and leaves it a zombie: looks whenever any
/// child of ours has ended.
pub(super) async fn exited(child: Pid) -> io::Result<()> {
    // It listens before it looks.
    let mut ended = signal(SignalKind::child())?;
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    while waitid(WaitId::Pid(child), look)?.is_none() {
        if ended.recv().await.is_none() {
            return Err(io::Error::other("the runtime does not tell of children any more"));
        }
    }
    Ok(())
}

//! Helpers that the test binaries share. Not every binary uses all of them.
#![allow(dead_code, unused_macros, unused_imports)]

#[path = "../../../desist/tests/common/watching.rs"]
mod watching;

use std::future::Future;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

pub(crate) use watching::{Count, poll_once};

/// How long a test waits for what must happen before it calls it a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A runtime with one thread, the caller's.
pub(crate) fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be had")
}

/// A runtime with two workers.
pub(crate) fn multi_thread() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be had")
}

/// Runs it to its end as a task of the runtime, and fails where it would hang.
pub(crate) fn on<F>(runtime: Runtime, test: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let ended = runtime.block_on(async {
        let mut task = tokio::spawn(test);
        let ended = tokio::time::timeout(PATIENCE, &mut task).await;
        ended.unwrap_or_else(|_| panic!("it hangs: no end after {PATIENCE:?}"))
    });
    // What blocks in a test must not hold its end.
    runtime.shutdown_background();
    if let Err(error) = ended {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Each test on both kinds of runtime.
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident() $body:block)*) => {
        $(
            $(#[$meta])*
            mod $name {
                use super::*;

                async fn test() $body

                #[test]
                fn on_one_thread() {
                    common::on(common::current_thread(), test());
                }

                #[test]
                fn on_many_threads() {
                    common::on(common::multi_thread(), test());
                }
            }
        )*
    };
}
pub(crate) use on_both;

/// Counts when it is dropped.
pub(crate) struct Dropped(pub(crate) Count);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add();
    }
}

/// Waits until `what` holds, and fails where it never does: for what is no event.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        tokio::task::yield_now().await;
    }
}

/// What a blocking task of a test waits for.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn block(&self) {
        let open = self.0.0.lock().unwrap();
        let (open, _) = self.0.1.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap();
        assert!(*open, "it is never opened");
    }
}

/// A folder that goes with this.
pub(crate) struct Folder(std::path::PathBuf);

impl Folder {
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }

    /// The names of what is in it.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0)
            .expect("it is there")
            .map(|entry| entry.expect("it can be read"));
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An empty folder of its own.
pub(crate) fn folder() -> Folder {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let name = format!("desist-tokio-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).expect("a folder can be made");
    Folder(path)
}

/// The ends of a pipe: reads, writes.
#[cfg(unix)]
pub(crate) fn pipe() -> (std::fs::File, std::fs::File) {
    let flags = rustix::pipe::PipeFlags::CLOEXEC;
    let (reads, writes) = rustix::pipe::pipe_with(flags).expect("a pipe can be had");
    (reads.into(), writes.into())
}

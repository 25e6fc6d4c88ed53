//! Requests, which run foreign code: whoever waits for the token may be called back.
//!
//! They are made on a thread of the driver's pool, in their order. A callback that blocks
//! keeps its thread; whoever waits behind it is asked by others, which come after a moment
//! and are twice as many each time. So a hundred services that heed cost one thread, and
//! one that is deaf keeps nobody for long; nor does a pool that others have filled.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use desist::Source;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::panics::caught;

/// In which a callback that does not block has returned: so long an abort waits for the
/// request before it.
const MOMENT: Duration = Duration::from_millis(20);

/// How long who is next waits before another thread takes over.
const TURN: Duration = Duration::from_millis(5);

/// Something to ask, and who wants to know when that is done.
struct Request {
    make: Box<dyn FnOnce() -> bool + Send>,
    made: oneshot::Sender<()>,
}

/// A request that is being made.
pub(super) struct Asking {
    made: oneshot::Receiver<()>,
}

/// Those of one event, and the threads that make them.
#[derive(Default)]
pub(super) struct Asker {
    requests: Vec<Request>,
}

impl Asker {
    /// To be made when [`begin`](Self::begin) is called.
    pub(super) fn add(&mut self, make: impl FnOnce() -> bool + Send + 'static) -> Asking {
        let (made, is_made) = oneshot::channel();
        self.requests.push(Request { make: Box::new(make), made });
        Asking { made: is_made }
    }

    /// Nobody of earlier events is waited for, who may be blocked.
    pub(super) fn begin(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let queue = Queue(Arc::new(Mutex::new(self.requests.drain(..).collect())));
        let first = queue.clone();
        spawn_blocking(move || first.make_all());
        tokio::spawn(queue.take_over());
    }
}

#[derive(Clone)]
struct Queue(Arc<Mutex<VecDeque<Request>>>);

impl Queue {
    fn requests(&self) -> MutexGuard<'_, VecDeque<Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn len(&self) -> usize {
        self.requests().len()
    }

    fn make_all(&self) {
        loop {
            // Not in the loop's head, where it would be held while foreign code runs.
            let next = self.requests().pop_front();
            let Some(Request { make, made }) = next else { return };
            // A panic of a callback was heard by its hook, and everybody else was woken.
            let _made = caught(make);
            let _ = made.send(());
        }
    }

    async fn take_over(self) {
        let mut more = 1;
        let mut left = self.len();
        loop {
            sleep(TURN).await;
            let now = self.len();
            if now == 0 {
                return;
            }
            // Some are slow and none is blocked: it goes on.
            if now == left {
                for _ in 0..more.min(now) {
                    let another = self.clone();
                    // Not of the pool, which others may have filled.
                    let thread = thread::Builder::new().name("desist-ask".into());
                    let _begun = thread.spawn(move || another.make_all());
                }
                more *= 2;
            }
            left = now;
        }
    }
}

/// Aborted is who was asked before.
pub(super) fn abort_after(asking: Option<Asking>, abort: Source) {
    let Some(Asking { mut made }) = asking else {
        // Whoever waits for this one is our own task.
        abort.cancel();
        return;
    };
    if made.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        tokio::spawn(async move {
            let _ = timeout(MOMENT, made).await;
            abort.cancel();
        });
    } else {
        abort.cancel();
    }
}

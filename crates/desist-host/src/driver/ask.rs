//! Requests, which run foreign code: whoever waits for the token may be called back.
//!
//! They are made on a thread of their own, within the runtime of the services, for a callback
//! may spawn; in their order. A callback that blocks keeps its thread; whoever waits behind
//! it is asked by others, which come after a moment and are twice as many each time. So a
//! hundred services that heed cost one thread, and one that is deaf keeps nobody for long.
//!
//! Time that is paused runs on as soon as nobody has anything to do, and does not see
//! threads; there the driver waits for each request itself.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use desist::Source;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::panics::caught;

/// In which a callback that does not block has returned: so long an abort waits for the
/// request before it.
const MOMENT: Duration = Duration::from_millis(20);

/// How long who is next waits before another thread takes over.
const TURN: Duration = Duration::from_millis(5);

/// How long paused time waits for a callback that blocks.
const PATIENCE: Duration = Duration::from_secs(1);

/// Something to ask, and who wants to know when that is done.
struct Request {
    make: Box<dyn FnOnce() + Send>,
    made: oneshot::Sender<()>,
}

impl Request {
    fn make(self) {
        // A panic of a callback was heard by its hook, and everybody else was woken.
        let _made = caught(self.make);
        let _ = self.made.send(());
    }
}

/// A request that is being made.
pub(super) struct Asking {
    made: oneshot::Receiver<()>,
}

/// Those of one event, and the threads that make them.
pub(super) struct Asker {
    services: Handle,
    requests: Vec<Request>,
    /// There from the beginning: later there may be no thread to be had. It ends with this.
    first: Option<mpsc::Sender<Queue>>,
    /// Others had to take over from it: it may be blocked for ever.
    is_stuck: Arc<AtomicBool>,
}

impl Asker {
    pub(super) fn new(services: &Handle) -> Self {
        let first = worker(services);
        let services = services.clone();
        Self { services, requests: Vec::new(), first, is_stuck: Arc::default() }
    }

    /// To be made when [`begin`](Self::begin) is called.
    pub(super) fn add(&mut self, make: impl FnOnce() + Send + 'static) -> Asking {
        let (made, is_made) = oneshot::channel();
        self.requests.push(Request { make: Box::new(make), made });
        Asking { made: is_made }
    }

    /// Nobody of earlier events is waited for, who may be blocked.
    pub(super) fn begin(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let requests = mem::take(&mut self.requests);
        if is_paused() {
            return requests.into_iter().for_each(|request| self.wait_for(request));
        }
        // Ordering: Relaxed: it is a hint. Who takes it for free waits a turn for others.
        if self.is_stuck.swap(false, Ordering::Relaxed) {
            self.first = worker(&self.services).or_else(|| self.first.take());
        }
        let queue = Queue(Arc::new(Mutex::new(requests.into())));
        if let Some(first) = &self.first {
            let _ = first.send(queue.clone());
        }
        tokio::spawn(queue.take_over(self.services.clone(), Arc::clone(&self.is_stuck)));
    }

    fn wait_for(&self, request: Request) {
        if let Some(is_made) = alone(&self.services, || request.make()) {
            let _ = is_made.recv_timeout(PATIENCE);
        }
    }
}

/// Made on a thread of its own; nothing is sent: it ends when that is done. None where no
/// thread can be had.
fn alone(services: &Handle, make: impl FnOnce() + Send + 'static) -> Option<mpsc::Receiver<()>> {
    let (made, is_made) = mpsc::channel::<()>();
    let services = services.clone();
    let thread = thread::Builder::new().name("desist-ask".into()).spawn(move || {
        let _inside = services.enter();
        let _made = caught(make);
        drop(made);
    });
    thread.is_ok().then_some(is_made)
}

/// Tokio does not say, but time that was stopped lags behind, or was sent ahead.
fn is_paused() -> bool {
    let before = Instant::now();
    let here = tokio::time::Instant::now().into_std();
    here < before || Instant::now() < here
}

/// A thread that makes what it is sent.
fn worker(services: &Handle) -> Option<mpsc::Sender<Queue>> {
    let (send, queues) = mpsc::channel::<Queue>();
    let services = services.clone();
    let thread = thread::Builder::new().name("desist-ask".into()).spawn(move || {
        let _inside = services.enter();
        queues.iter().for_each(|queue| queue.make_all());
    });
    thread.is_ok().then_some(send)
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

    fn make_all(self) {
        loop {
            // Not in the loop's head, where it would be held while foreign code runs.
            let next = self.requests().pop_front();
            let Some(request) = next else { return };
            request.make();
        }
    }

    async fn take_over(self, services: Handle, is_stuck: Arc<AtomicBool>) {
        let (mut more, mut left) = (1, self.len());
        loop {
            sleep(TURN).await;
            let now = self.len();
            if now == 0 {
                return;
            }
            // Some are slow and none is blocked: it goes on.
            if now == left {
                // Ordering: Relaxed, as above.
                is_stuck.store(true, Ordering::Relaxed);
                for _ in 0..now.min(more) {
                    if let Some(another) = worker(&services) {
                        let _ = another.send(self.clone());
                    }
                }
                more = now.min(more * 2);
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

/// A request, and the aborts of the same service.
pub(super) type Deserted = (Box<dyn FnOnce() + Send>, [Source; 2]);

/// Asked, and aborted a moment later, by nobody who has to wait: who drops a host may be
/// anybody.
pub(super) fn ask_and_abort(services: &Handle, all: Vec<Deserted>) {
    let services = services.clone();
    let asks = move || {
        let asked = all.into_iter().map(|(make, aborts)| (alone(&services, make), aborts));
        // All are asked before anybody is waited for.
        let left: Vec<_> = asked.collect();
        for (is_made, aborts) in left {
            if let Some(is_made) = is_made {
                let _ = is_made.recv_timeout(MOMENT);
            }
            for abort in aborts {
                abort.cancel();
            }
        }
    };
    // Where no thread can be had they are dropped with their runtime.
    let _begun = thread::Builder::new().name("desist-drop".into()).spawn(asks);
}

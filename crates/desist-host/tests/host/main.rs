//! Hosts inside of a test's runtime, on paused time.

mod embedding;
mod failures;
#[cfg(feature = "health")]
mod health;
mod hostile;
mod order;
mod stopping;

use std::sync::{Arc, Mutex};

/// What happened, in its order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn say(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn said(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

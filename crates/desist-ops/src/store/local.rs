//! What is told within a process.

use std::sync::{Arc, Mutex, Weak};

use crate::hints::Hints;
use crate::lock::lock;

/// All that listen to one store in this process.
#[derive(Debug, Default)]
pub struct Local {
    listeners: Mutex<Vec<Weak<Hints>>>,
}

impl Local {
    pub(crate) fn joins(&self, hints: &Arc<Hints>) {
        let mut listeners = lock(&self.listeners);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(hints));
    }

    pub(crate) fn tell(&self, tells: impl Fn(&Hints)) {
        let listeners = lock(&self.listeners).clone();
        listeners.iter().filter_map(Weak::upgrade).for_each(|hints| tells(&hints));
    }
}

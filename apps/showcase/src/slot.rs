//! What one service has ready for those that start after it.

use std::any::type_name;
use std::sync::{Arc, OnceLock};

use desist_host::BoxError;

/// Empty until whoever fills it has started.
pub(crate) struct Slot<T> {
    value: Arc<OnceLock<T>>,
}

impl<T: Clone> Slot<T> {
    pub(crate) fn fill(&self, value: T) {
        // Whoever fills it is started once.
        let _ = self.value.set(value);
    }

    pub(crate) fn take(&self) -> Result<T, BoxError> {
        let missing = || format!("there is no {} yet; start this after it", type_name::<T>());
        Ok(self.value.get().cloned().ok_or_else(missing)?)
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value) }
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { value: Arc::default() }
    }
}

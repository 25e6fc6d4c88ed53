//! What a handler failed with, so that what is in it can be found.

use std::error::Error;

use crate::BoxError;

/// Boxed. An `anyhow::Error` that becomes a boxed error hides what it was made of, and with that
/// whether it was a cancellation; this one does not.
pub(super) fn boxed<E: Into<BoxError> + 'static>(error: E) -> BoxError {
    #[cfg(feature = "anyhow")]
    {
        let mut error = Some(error);
        let any: &mut dyn std::any::Any = &mut error;
        if let Some(error) = any.downcast_mut::<Option<anyhow::Error>>().and_then(Option::take) {
            return Box::new(OfAnyhow(error));
        }
        match error {
            Some(error) => error.into(),
            None => unreachable!("only one of anyhow is taken"),
        }
    }
    #[cfg(not(feature = "anyhow"))]
    error.into()
}

/// The error itself, without what is around it.
pub(crate) fn inside(error: &BoxError) -> &(dyn Error + 'static) {
    #[cfg(feature = "anyhow")]
    if let Some(OfAnyhow(error)) = error.downcast_ref() {
        return error.as_ref();
    }
    &**error
}

#[cfg(feature = "anyhow")]
#[derive(Debug)]
struct OfAnyhow(anyhow::Error);

#[cfg(feature = "anyhow")]
impl std::fmt::Display for OfAnyhow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(feature = "anyhow")]
impl Error for OfAnyhow {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

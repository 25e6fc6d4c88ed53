//! Behaviours that come with it.

mod timeout;
#[cfg(feature = "tracing")]
mod tracing;
mod validation;

pub use self::timeout::Timeout;
#[cfg(feature = "tracing")]
pub use self::tracing::Tracing;
pub use self::validation::Validation;

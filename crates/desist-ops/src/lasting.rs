//! A failure that doing it again would not mend.

use std::error::Error;
use std::fmt;

use crate::BoxError;

/// A failure that stays: the operation has failed, and is not begun again, whatever attempts it
/// has left. It says what it wraps, and nothing of its own.
///
/// ```
/// use desist_ops::Lasting;
///
/// let error = Lasting::new("there is no table `ordres`");
/// assert_eq!(error.to_string(), "there is no table `ordres`");
/// ```
#[derive(Debug)]
pub struct Lasting(BoxError);

impl Lasting {
    /// Of this failure.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }

    /// Whether it is one, or is behind one.
    pub(crate) fn is(error: &(dyn Error + 'static)) -> bool {
        let mut next = Some(error);
        for _ in 0..100 {
            let Some(error) = next else { return false };
            if error.is::<Self>() {
                return true;
            }
            next = error.source();
        }
        false
    }
}

impl fmt::Display for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Lasting {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

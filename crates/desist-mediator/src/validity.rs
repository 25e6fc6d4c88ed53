//! What is wrong with a request.

use std::error::Error;
use std::fmt;

/// What is wrong with a request, field by field.
///
/// ```
/// use desist_mediator::Invalid;
///
/// let wrong = Invalid::new("name", "must not be empty").and("age", "must be 18 or more");
/// assert_eq!(wrong.to_string(), "name: must not be empty; age: must be 18 or more");
/// assert_eq!(wrong.fields().next(), Some(("name", "must not be empty")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    fields: Vec<(String, String)>,
}

impl Invalid {
    /// That this field is wrong, and what would be right.
    #[must_use]
    pub fn new(field: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { fields: vec![(field.into(), advice.into())] }
    }

    /// And this one.
    #[must_use]
    pub fn and(mut self, field: impl Into<String>, advice: impl Into<String>) -> Self {
        self.fields.push((field.into(), advice.into()));
        self
    }

    /// [`Invalid::new`] as an error, unless it is so.
    ///
    /// ```
    /// use desist_mediator::Invalid;
    ///
    /// assert_eq!(Invalid::unless(true, "age", "must be 18 or more"), Ok(()));
    /// assert!(Invalid::unless(false, "age", "must be 18 or more").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// If it is not so.
    pub fn unless(
        so: bool,
        field: impl Into<String>,
        advice: impl Into<String>,
    ) -> Result<(), Self> {
        if so { Ok(()) } else { Err(Self::new(field, advice)) }
    }

    /// Each field that is wrong, with what would be right, in the order they were named.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(field, advice)| (field.as_str(), advice.as_str()))
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (field, advice)) in self.fields.iter().enumerate() {
            let before = if place == 0 { "" } else { "; " };
            write!(f, "{before}{field}: {advice}")?;
        }
        Ok(())
    }
}

impl Error for Invalid {}

//! What happened to an operation.

use std::time::SystemTime;

/// One of the things that happened to an operation. They are numbered by its versions, from 1;
/// numbers may be left out, for not each change is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The version that the operation had after it.
    pub number: i64,
    /// When, by the database's clock.
    pub at: SystemTime,
    /// What: `started`, `claimed`, `cancel_requested`, `heard`, `retried`, `given_back`,
    /// `taken_over`, `finished`.
    pub what: String,
    /// More of it, as a JSON object.
    pub detail: String,
}

/// Whether who is stopped waits until the database has stopped, too.
///
/// ```
/// use desist_sql::Wait;
///
/// assert_eq!(Wait::default(), Wait::Confirmed);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Wait {
    /// Until the database has confirmed that nothing runs on, or its time for that is over. With
    /// SQLite there is no such time: it works on a thread of this process, which nobody can end.
    #[default]
    Confirmed,
    /// Not at all; the database is stopped all the same.
    AtOnce,
}

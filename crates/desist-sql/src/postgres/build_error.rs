use std::error::Error;
use std::fmt;

/// A pool that cannot be built.
///
/// ```
/// use std::error::Error;
///
/// let error = desist_sql::postgres::Pool::new("port=many").unwrap_err();
/// assert!(error.source().is_some());
/// ```
#[derive(Debug)]
pub struct BuildError {
    says: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl BuildError {
    pub(super) fn address(source: tokio_postgres::Error) -> Self {
        let says = "this is no address of a database; write postgres://user@host/database, or \
                    host=... user=... dbname=...";
        Self { says, source: Some(source.into()) }
    }

    pub(super) fn nothing() -> Self {
        Self { says: "a pool of no connections can do nothing; give it one at least", source: None }
    }

    pub(super) fn pool(source: deadpool::managed::BuildError) -> Self {
        Self { says: "the pool cannot be built", source: Some(source.into()) }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.says)
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}

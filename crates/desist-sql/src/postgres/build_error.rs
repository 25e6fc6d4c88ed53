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
    pub(super) fn address(error: &tokio_postgres::Error) -> Self {
        let says = "this is no address of a database; write postgres://user@host/database, or \
                    host=... user=... dbname=...";
        Self { says, source: Wrong::of(error).map(Into::into) }
    }

    pub(super) fn places(why: &'static str) -> Self {
        Self { says: "this is no address of a database", source: Some(why.into()) }
    }

    pub(super) fn nothing() -> Self {
        Self { says: "a pool of no connections can do nothing; give it one at least", source: None }
    }

    pub(super) fn pool(source: deadpool::managed::BuildError) -> Self {
        Self { says: "the pool cannot be built", source: Some(source.into()) }
    }
}

/// What the driver says of an address, where that is the name of an option; it may say what was
/// taken for one, which may be the whole address, with its password.
#[derive(Debug)]
struct Wrong(String);

impl Wrong {
    fn of(error: &tokio_postgres::Error) -> Option<Self> {
        let said = error.source()?.to_string();
        let name = said.strip_prefix("invalid value for option `")?.strip_suffix('`')?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        is_name.then(|| Self(name.to_owned()))
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value of `{}` is none that it may have", self.0)
    }
}

impl Error for Wrong {}

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

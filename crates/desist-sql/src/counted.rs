//! Counters and gauges, where they are asked for; `database` is the label that tells whose.
//!
//! Work counts as stopped once, wherever the stop finds it: before it has asked for a
//! connection, while it waits for one, or with one; and whether its token or a drop stops it.

/// What is counted for as long as it is there.
#[derive(Debug)]
pub(crate) struct Counted {
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    name: &'static str,
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    database: &'static str,
}

/// A connection is in use.
pub(crate) fn in_use(database: &'static str) -> Counted {
    Counted::new("desist_sql_in_use", database)
}

/// Somebody waits for a connection.
pub(crate) fn waiting(database: &'static str) -> Counted {
    Counted::new("desist_sql_waiting", database)
}

/// Work was stopped.
pub(crate) fn cancelled(database: &'static str) {
    one_more("desist_sql_cancelled_total", database);
}

/// Work has asked for a connection, and is stopped before it has one, unless it is told.
#[cfg_attr(not(any(feature = "postgres", feature = "sqlx")), allow(dead_code))] // SQLite has leases.
#[derive(Debug)]
#[must_use]
pub(crate) struct Unless {
    database: &'static str,
    is_told: bool,
}

#[cfg_attr(not(any(feature = "postgres", feature = "sqlx")), allow(dead_code))]
impl Unless {
    pub(crate) fn stopped(database: &'static str) -> Self {
        Self { database, is_told: false }
    }

    /// It has one, or is told that there is none.
    pub(crate) fn told(mut self) {
        self.is_told = true;
    }
}

impl Drop for Unless {
    fn drop(&mut self) {
        if !self.is_told {
            cancelled(self.database);
        }
    }
}

/// A connection was thrown away.
pub(crate) fn discarded(database: &'static str) {
    one_more("desist_sql_discarded_total", database);
}

#[cfg(feature = "metrics")]
fn one_more(name: &'static str, database: &'static str) {
    metrics::counter!(name, "database" => database).increment(1);
}

#[cfg(not(feature = "metrics"))]
fn one_more(_: &'static str, _: &'static str) {}

impl Counted {
    fn new(name: &'static str, database: &'static str) -> Self {
        #[cfg(feature = "metrics")]
        metrics::gauge!(name, "database" => database).increment(1);
        Self { name, database }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        #[cfg(feature = "metrics")]
        metrics::gauge!(self.name, "database" => self.database).decrement(1);
    }
}

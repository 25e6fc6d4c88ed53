//! Counters and gauges, where they are asked for; `database` is the label that tells whose.

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

//! Why there is no connection, and what to do about it.

use std::borrow::Cow;
use std::io::ErrorKind;

use ::sqlx::postgres::{PgDatabaseError, PgSeverity};
use ::sqlx::{Error as Driver, PgPool};

use crate::Error;

/// Why there is no lease.
#[derive(Debug)]
pub(super) enum NoLease {
    /// What the driver, or its pool, says.
    Driver(Driver),
    /// There was a connection, and the server did not say anything.
    Silent,
    /// A transaction was open on what the pool gave out.
    LeftOpen,
    /// There is a pooler in transaction mode, behind which this is not safe for others.
    Pooled,
    /// The statement that was to begin the transaction failed.
    NotBegun(Driver),
}

impl From<Driver> for NoLease {
    fn from(error: Driver) -> Self {
        Self::Driver(error)
    }
}

/// Whether the connection is gone, or it is not known what is to be had of it.
pub(super) fn is_fatal(error: &Driver) -> bool {
    let Driver::Database(error) = error else { return true };
    let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    !matches!(severity, Some(PgSeverity::Error))
}

/// The SQLSTATE.
pub(super) fn code_of(error: &Driver) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(|error| error.code())
}

pub(super) fn refused<E>(pool: &PgPool, why: NoLease) -> Error<E> {
    match why {
        NoLease::Driver(error) => Error::no_connection(doing(pool, &error), error),
        NoLease::Silent => Error::no_connection(
            "the server did not answer within the pool's acquire_timeout; check that it runs, and \
             the network to it",
            "there was no answer to the first statement",
        ),
        NoLease::LeftOpen => Error::no_connection(
            "no connection of the pool is fit for use; whatever begins a transaction on it, as \
             after_connect may, is to end it",
            "a transaction was left open on the connection",
        ),
        NoLease::Pooled => Error::no_connection(
            "behind a pooler in transaction mode only a transaction can be stopped; take \
             transaction for it, or an address without that pooler",
            "its connections change their backends",
        ),
        NoLease::NotBegun(error) => Error::no_connection(
            "the transaction could not be begun; check the statement that was to begin it",
            error,
        ),
    }
}

fn doing(pool: &PgPool, error: &Driver) -> &'static str {
    match error {
        Driver::PoolClosed => "the pool is closed; nothing can be asked after its end",
        Driver::PoolTimedOut if pool.size() >= pool.options().get_max_connections() => {
            "no connection came free within the pool's acquire_timeout; raise its max_connections, \
             or hold them for less time"
        }
        Driver::PoolTimedOut => {
            "the server took no connection within the pool's acquire_timeout; check that it runs, \
             and the host and the port of its url"
        }
        Driver::Database(error) => match error.code().as_deref() {
            Some("28P01" | "28000") => {
                "the server refused the login; check the user and the password, and its pg_hba.conf"
            }
            Some("3D000") => {
                "the server has no such database; check the name in the url, or create it"
            }
            Some("53300") => {
                "the server has no connection left; raise its max_connections, or make pools smaller"
            }
            _ => "the server refused the connection",
        },
        Driver::Io(error) => match error.kind() {
            ErrorKind::NotFound => {
                "there is no socket of a server in that folder; check that it runs, and the url"
            }
            _ => "the server could not be reached; check that it runs, and the host in its url",
        },
        Driver::Tls(_) => {
            "tls failed; check the sslmode of the url, the certificates, and sqlx' features"
        }
        Driver::Configuration(_) => "the settings of the connection are wrong; check its url",
        _ => "no connection could be had from the pool",
    }
}

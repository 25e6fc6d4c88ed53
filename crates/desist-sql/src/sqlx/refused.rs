//! Why there is no connection, and what to do about it.

use std::io::ErrorKind;

use ::sqlx::{Error as Driver, PgPool};

use crate::Error;

pub(super) fn refused<E>(pool: &PgPool, error: Driver) -> Error<E> {
    Error::no_connection(doing(pool, &error), error)
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

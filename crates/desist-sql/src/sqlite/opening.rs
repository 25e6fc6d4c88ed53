//! How a connection is opened, and what it means when it cannot be.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::builder::Synchronous;
use super::handlers;

pub(super) type Setup = Arc<dyn Fn(&mut Connection) -> rusqlite::Result<()> + Send + Sync>;

pub(super) enum Place {
    File(PathBuf),
    /// The name of one in memory, which is there as long as a connection is.
    Memory(String),
}

/// Of every connection of a pool.
pub(super) struct Plan {
    pub(super) place: Place,
    pub(super) busy_timeout: Duration,
    pub(super) wal: bool,
    pub(super) synchronous: Option<Synchronous>,
    pub(super) setup: Option<Setup>,
}

/// What could not be done, with what to do about it.
pub(super) struct NotOpened {
    pub(super) doing: &'static str,
    pub(super) error: Box<dyn Error + Send + Sync>,
}

const SETUP: &str = "the connection was opened, but its setup failed";
const NO_WAL: &str = "the database cannot have a write-ahead log where it is; put it on a local \
                      disk, or say `wal(false)`";

impl Plan {
    pub(super) fn open(&self, is_writer: bool) -> Result<Connection, NotOpened> {
        let mut conn = self.connect(is_writer).map_err(|error| self.not_opened(error))?;
        if is_writer && self.wal && matches!(self.place, Place::File(_)) {
            let mode = conn
                .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))
                .map_err(|error| self.not_opened(error))?;
            if !mode.eq_ignore_ascii_case("wal") {
                let error = format!("its journal mode is still {mode}").into();
                return Err(NotOpened { doing: NO_WAL, error });
            }
        }
        if let Some(setup) = &self.setup {
            setup(&mut conn).map_err(|error| NotOpened { doing: SETUP, error: error.into() })?;
        }
        if !is_writer && matches!(self.place, Place::Memory(_)) {
            let done = conn.pragma_update(None, "query_only", true);
            done.map_err(|error| self.not_opened(error))?;
        }
        Ok(conn)
    }

    fn connect(&self, is_writer: bool) -> rusqlite::Result<Connection> {
        let writes = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = match &self.place {
            // What is only in memory is the same for whoever has it open, so a reader is
            // held back by a pragma.
            Place::Memory(name) => {
                let name = format!("file:/{name}?vfs=memdb");
                Connection::open_with_flags(name, flags | writes | OpenFlags::SQLITE_OPEN_URI)?
            }
            Place::File(path) if is_writer => Connection::open_with_flags(path, flags | writes)?,
            Place::File(path) => {
                Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY)?
            }
        };
        handlers::install(&conn, self.busy_timeout)?;
        if let Some(synchronous) = self.synchronous {
            conn.pragma_update(None, "synchronous", synchronous.as_str())?;
        }
        // Opening reads nothing: now it is known whether this is a database.
        conn.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0))?;
        Ok(conn)
    }

    fn not_opened(&self, error: rusqlite::Error) -> NotOpened {
        let folder = match &self.place {
            Place::File(path) => path.parent().filter(|folder| *folder != Path::new("")),
            Place::Memory(_) => None,
        };
        let is_folder = matches!(&self.place, Place::File(path) if path.is_dir());
        let doing = match error.sqlite_error_code() {
            _ if is_folder => {
                "the database cannot be opened, for its path is that of a folder; name a file in it"
            }
            Some(ErrorCode::CannotOpen) if folder.is_some_and(|folder| !folder.exists()) => {
                "the database cannot be opened, for its folder does not exist; make that first"
            }
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                "the database may not be opened, or not written; look at the permissions of its \
                 file and its folder, both of which SQLite writes to"
            }
            Some(ErrorCode::NotADatabase) => {
                "the file is not an SQLite database, or is encrypted; name another, or move it away"
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "the database is locked by somebody else; try again, or wait longer with \
                 `busy_timeout`"
            }
            _ => "the database cannot be opened",
        };
        NotOpened { doing, error: error.into() }
    }
}

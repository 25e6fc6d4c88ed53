//! How a connection is opened, and what it means when it cannot be.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::builder::Synchronous;
use super::handlers;
use super::ticket::discard;

/// What is called with a connection, by its thread.
pub(super) type Callback = Arc<dyn Fn(&mut Connection) -> rusqlite::Result<()> + Send + Sync>;

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
    pub(super) setup: Option<Callback>,
    pub(super) reset: Option<Callback>,
}

/// What could not be done, with what to do about it.
pub(super) struct NotOpened {
    pub(super) doing: &'static str,
    pub(super) error: Box<dyn Error + Send + Sync>,
}

const FAILED: &str = "the database cannot be opened";
const SETUP: &str = "the connection was opened, but its setup failed";
const NO_WAL: &str = "the database cannot have a write-ahead log where it is; put it on a local \
                      disk, or say `wal(false)`";

impl Plan {
    pub(super) fn open(&self, is_writer: bool) -> Result<Connection, NotOpened> {
        let mut conn = self.connect(is_writer).map_err(|error| self.not_opened(error, FAILED))?;
        // Before anything is read: some of what is set now can not be set later.
        if let Some(setup) = &self.setup {
            setup(&mut conn).map_err(|error| self.not_opened(error, SETUP))?;
        }
        let mode = self.read(&conn, is_writer);
        let mode = mode.map_err(|error| self.not_opened(error, FAILED))?;
        match mode {
            Some(mode) if !mode.eq_ignore_ascii_case("wal") => {
                let error = format!("its journal mode is still {mode}").into();
                Err(NotOpened { doing: NO_WAL, error })
            }
            _ => Ok(conn),
        }
    }

    fn connect(&self, is_writer: bool) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let writes = flags | OpenFlags::SQLITE_OPEN_READ_WRITE;
        let makes = writes | OpenFlags::SQLITE_OPEN_CREATE;
        let conn = match &self.place {
            // What is only in memory is the same for whoever has it open.
            Place::Memory(name) => {
                let name = format!("file:/{name}?vfs=memdb");
                Connection::open_with_flags(name, makes | OpenFlags::SQLITE_OPEN_URI)?
            }
            Place::File(path) if is_writer => Connection::open_with_flags(path, makes)?,
            Place::File(path) if self.wal => {
                Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY)?
            }
            // Without a log, what a process that was killed has half written is rolled back
            // by who reads next; for that it has to write.
            Place::File(path) => Connection::open_with_flags(path, writes)?,
        };
        handlers::install(&conn, self.busy_timeout)?;
        Ok(conn)
    }

    /// Reads what there is, and makes it what it is to be; its journal mode, where one was
    /// asked for.
    fn read(&self, conn: &Connection, is_writer: bool) -> rusqlite::Result<Option<String>> {
        if let Some(synchronous) = self.synchronous {
            conn.pragma_update(None, "synchronous", synchronous.as_str())?;
        }
        // Opening reads nothing: now it is known whether this is a database.
        conn.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0))?;
        self.hold_back(conn, is_writer)?;
        if is_writer && self.wal && matches!(self.place, Place::File(_)) {
            conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Readers only read: where their connections are not opened so, this has to be said.
    fn hold_back(&self, conn: &Connection, is_writer: bool) -> rusqlite::Result<()> {
        if !is_writer && (!self.wal || matches!(self.place, Place::Memory(_))) {
            conn.pragma_update(None, "query_only", true)?;
        }
        Ok(())
    }

    /// Between two leases. `false`: it is not to be lent again.
    pub(super) fn renew(&self, conn: &mut Connection, is_writer: bool) -> bool {
        let is_reset = self.reset.as_ref().is_none_or(|reset| {
            let done = catch_unwind(AssertUnwindSafe(|| reset(conn)));
            let is_done = done.map_err(discard).is_ok_and(|result| result.is_ok());
            is_done && !conn.is_busy() && conn.is_autocommit()
        });
        is_reset && self.hold_back(conn, is_writer).is_ok()
    }

    /// What to do about it, or what has failed.
    fn not_opened(&self, error: rusqlite::Error, failed: &'static str) -> NotOpened {
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
            _ => failed,
        };
        NotOpened { doing, error: error.into() }
    }
}

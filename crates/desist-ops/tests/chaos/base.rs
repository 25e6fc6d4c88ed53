//! A database, looked at from the outside.

use std::future::Future;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use desist_ops::{Postgres, Sqlite};
use desist_sql::sqlite::rusqlite;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::log::Folder;
use crate::process::{Place, Setup};
use crate::server::Server;

pub(crate) type Rows = Vec<Vec<String>>;

/// What is kept, as nobody but the test sees it.
pub(crate) trait Base: Sync {
    /// Everything as texts; what is null is empty. `None`: it is away just now.
    fn try_rows(&self, sql: &str) -> impl Future<Output = Option<Rows>> + Send;

    fn rows(&self, sql: &str) -> impl Future<Output = Rows> + Send {
        async move { crate::until(sql, || self.try_rows(sql)).await }
    }

    fn number(&self, sql: &str) -> impl Future<Output = i64> + Send {
        async move { self.rows(sql).await[0][0].parse().unwrap_or(0) }
    }
}

/// Setups of processes on it.
pub(crate) fn setup(place: Place, folder: &Folder, label: &str) -> Setup {
    Setup {
        place,
        label: label.to_owned(),
        log: folder.file("log"),
        gate: folder.file("gate"),
        lease: 2000,
        look_every: 1000,
        drain_for: 300,
        concurrency: 8,
        push: true,
        fence: true,
    }
}

/// A database of a server.
#[derive(Clone)]
pub(crate) struct OnPostgres {
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl OnPostgres {
    pub(crate) fn new(server: &Server) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // Ordering: it only counts.
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        server.psql(&format!("CREATE DATABASE {name}"));
        Self { name, port: server.port() }
    }

    /// One of a server that all tests have in common; `None`: it is missing, and that was said.
    pub(crate) fn shared() -> Option<Self> {
        static SERVER: OnceLock<Option<Server>> = OnceLock::new();
        // It ends with this program, whose end it notices.
        let server = SERVER.get_or_init(|| Server::start(&[("max_connections", "300")]));
        server.as_ref().map(Self::new)
    }

    pub(crate) fn url(&self) -> String {
        self.url_at(self.port)
    }

    pub(crate) fn url_at(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{}", self.name)
    }

    pub(crate) fn place(&self) -> Place {
        Place::Postgres(self.url())
    }

    pub(crate) fn store(&self) -> Postgres {
        Postgres::open(&self.url()).unwrap()
    }

    async fn ask(&self, sql: &str) -> Result<Rows, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await?;
        let connection = tokio::spawn(connection);
        let mut rows = Vec::new();
        for message in client.simple_query(sql).await? {
            if let SimpleQueryMessage::Row(row) = message {
                let text = |n| row.get(n).unwrap_or_default().to_owned();
                rows.push((0..row.len()).map(text).collect());
            }
        }
        drop(client);
        let _ = connection.await;
        Ok(rows)
    }

    /// When the tables are there: what must never be is written down where it is seen, by the
    /// database itself.
    pub(crate) async fn is_watched(&self) {
        self.rows(
            "CREATE TABLE effect (id text NOT NULL, generation bigint NOT NULL);
             CREATE TABLE wrong (what text, id text);
             CREATE TABLE joined (label text, node text);
             CREATE FUNCTION watches() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF OLD.finished_at IS NOT NULL AND (OLD.state, OLD.generation, OLD.finished_at, \
                     COALESCE(OLD.output, '')) IS DISTINCT FROM \
                     (NEW.state, NEW.generation, NEW.finished_at, COALESCE(NEW.output, '')) THEN
                     INSERT INTO wrong VALUES ('it changed after its end', NEW.id);
                 END IF;
                 IF OLD.cancel_at IS NOT NULL AND OLD.state <> NEW.state \
                     AND NEW.finished_at IS NULL THEN
                     INSERT INTO wrong VALUES ('it went on after a cancel', NEW.id);
                 END IF;
                 IF NEW.generation < OLD.generation OR NEW.version <= OLD.version \
                     AND NEW.state <> OLD.state OR OLD.state <> 'running' AND NEW.state = 'running' \
                     AND NEW.generation = OLD.generation THEN
                     INSERT INTO wrong VALUES ('it was not counted up', NEW.id);
                 END IF;
                 RETURN NULL;
             END $$;
             CREATE TRIGGER watches AFTER UPDATE ON desist_ops FOR EACH ROW EXECUTE FUNCTION watches();
             CREATE FUNCTION joins() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO joined VALUES (NEW.label, NEW.node);
                 RETURN NULL;
             END $$;
             CREATE TRIGGER joins AFTER INSERT ON desist_ops_node FOR EACH ROW EXECUTE FUNCTION joins()",
        )
        .await;
    }
}

impl Base for OnPostgres {
    async fn try_rows(&self, sql: &str) -> Option<Rows> {
        match self.ask(sql).await {
            Ok(rows) => Some(rows),
            // The statement itself is wrong.
            Err(error) if error.code().is_some_and(|code| code.code().starts_with("42")) => {
                panic!("{sql}: {error:?}")
            }
            Err(_) => None,
        }
    }
}

/// A file.
pub(crate) struct OnSqlite {
    pub(crate) path: PathBuf,
}

impl OnSqlite {
    pub(crate) fn place(&self) -> Place {
        Place::Sqlite(self.path.clone())
    }

    pub(crate) async fn store(&self) -> Sqlite {
        Sqlite::open(&self.path).await.unwrap()
    }

    pub(crate) async fn is_watched(&self) {
        for sql in [
            "CREATE TABLE effect (id text NOT NULL, generation integer NOT NULL)",
            "CREATE TABLE wrong (what text, id text)",
            "CREATE TABLE joined (label text, node text)",
            "CREATE TRIGGER watches_ends AFTER UPDATE ON desist_ops WHEN OLD.finished_at IS NOT NULL \
                 AND (OLD.state <> NEW.state OR OLD.generation <> NEW.generation \
                 OR NEW.finished_at IS NOT OLD.finished_at OR NEW.output IS NOT OLD.output) BEGIN \
                 INSERT INTO wrong VALUES ('it changed after its end', NEW.id); END",
            "CREATE TRIGGER watches_cancels AFTER UPDATE ON desist_ops \
                 WHEN OLD.cancel_at IS NOT NULL AND OLD.state <> NEW.state \
                 AND NEW.finished_at IS NULL BEGIN \
                 INSERT INTO wrong VALUES ('it went on after a cancel', NEW.id); END",
            "CREATE TRIGGER joins AFTER INSERT ON desist_ops_node BEGIN \
                 INSERT INTO joined VALUES (NEW.label, NEW.node); END",
        ] {
            self.rows(sql).await;
        }
    }

    fn ask(&self, sql: &str) -> rusqlite::Result<Rows> {
        let conn = rusqlite::Connection::open(&self.path)?;
        conn.busy_timeout(crate::PATIENCE)?;
        let mut statement = conn.prepare(sql)?;
        let count = statement.column_count();
        let mut found = statement.query([])?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            let text = |n| {
                Ok(match row.get_ref(n)? {
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                    _ => String::new(),
                })
            };
            rows.push((0..count).map(text).collect::<rusqlite::Result<Vec<_>>>()?);
        }
        Ok(rows)
    }
}

impl Base for OnSqlite {
    async fn try_rows(&self, sql: &str) -> Option<Rows> {
        let done = tokio::task::block_in_place(|| self.ask(sql));
        Some(done.unwrap_or_else(|error| panic!("{sql}: {error}")))
    }
}

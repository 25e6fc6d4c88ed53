//! A database for each test.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use desist_ops::{CommitError, Context, Postgres, Sqlite, Store};
use desist_sql::sqlite::rusqlite::Connection;
use desist_sql::sqlite::rusqlite::types::ValueRef;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::PATIENCE;
use crate::proxy::Proxy;
use crate::server::Server;

/// One that a test has for itself; several stores of it are as several processes.
pub(crate) trait World: Send + Sync + Sized + 'static {
    type Store: Store + std::fmt::Debug;

    /// `None`: its server is missing, and that was said.
    fn begin() -> impl Future<Output = Option<Self>> + Send;

    fn store(&self) -> impl Future<Output = Self::Store> + Send;

    /// What a statement gives, past all that is tested: each row, each column as a text.
    fn sql(&self, statement: &str) -> impl Future<Output = Vec<Vec<String>>> + Send;

    /// From now on whatever is claimed has an intent by then, which nobody is told of.
    fn cancels_what_is_claimed(&self) -> impl Future<Output = ()> + Send;

    /// A store of a process that can be cut off from the database.
    fn on_a_line(&self) -> impl Future<Output = (Self::Store, Box<dyn Line>)> + Send;

    /// Writes that text into the table `effect`, and ends the operation with it.
    fn commits(
        ctx: &Context<Self::Store>,
        text: &str,
        fails: bool,
    ) -> impl Future<Output = Result<String, CommitError>> + Send;

    /// One number.
    fn number(&self, statement: &str) -> impl Future<Output = i64> + Send {
        async move { self.sql(statement).await[0][0].parse().unwrap() }
    }
}

/// Between a process and its database.
pub(crate) trait Line: Send + Sync {
    /// Nothing goes over it any more, and nobody is told.
    fn cut(&self);
    fn mend(&self);
}

fn next() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Ordering: it only counts.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A file.
pub(crate) struct OnSqlite {
    folder: PathBuf,
}

impl World for OnSqlite {
    type Store = Sqlite;

    async fn begin() -> Option<Self> {
        let name = format!("desist-ops-{}-{}", std::process::id(), next());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Some(Self { folder })
    }

    async fn store(&self) -> Sqlite {
        Sqlite::open(self.path()).await.unwrap()
    }

    async fn sql(&self, statement: &str) -> Vec<Vec<String>> {
        let conn = self.connection();
        let mut statement = conn.prepare(statement).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        let mut all = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let text = |column| match row.get_ref(column).unwrap() {
                ValueRef::Null => String::new(),
                ValueRef::Integer(number) => number.to_string(),
                value => value.as_str().unwrap().to_owned(),
            };
            all.push((0..columns).map(text).collect());
        }
        all
    }

    async fn cancels_what_is_claimed(&self) {
        let trigger = "CREATE TRIGGER cancels AFTER UPDATE OF node ON desist_ops \
            WHEN NEW.state = 'running' BEGIN \
            UPDATE desist_ops SET cancel_mode = 'cancel', cancel_reason = 'requested', \
            cancel_at = run_at WHERE id = NEW.id; END";
        self.sql(trigger).await;
    }

    async fn on_a_line(&self) -> (Sqlite, Box<dyn Line>) {
        (self.store().await, Box::new(WriteLock(Mutex::new(self.connection()))))
    }

    async fn commits(
        ctx: &Context<Sqlite>,
        text: &str,
        fails: bool,
    ) -> Result<String, CommitError> {
        let text = text.to_owned();
        let commits = ctx.commit(move |tx| {
            tx.execute("INSERT INTO effect VALUES (?1)", [&text])?;
            if fails { Err("it was refused".into()) } else { Ok(text) }
        });
        commits.await
    }
}

/// Who has it lets nobody write.
struct WriteLock(Mutex<Connection>);

impl Line for WriteLock {
    fn cut(&self) {
        self.0.lock().unwrap().execute_batch("BEGIN IMMEDIATE").unwrap();
    }

    fn mend(&self) {
        self.0.lock().unwrap().execute_batch("ROLLBACK").unwrap();
    }
}

impl OnSqlite {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("operations.db")
    }

    /// Of somebody else.
    pub(crate) fn connection(&self) -> Connection {
        let conn = Connection::open(self.path()).unwrap();
        conn.busy_timeout(PATIENCE).unwrap();
        conn
    }
}

impl Drop for OnSqlite {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A schema of one server, which all tests of this program share.
pub(crate) struct OnPostgres {
    pub(crate) server: &'static Server,
    pub(crate) schema: String,
}

impl OnPostgres {
    pub(crate) fn config(&self) -> tokio_postgres::Config {
        let mut config: tokio_postgres::Config = self.server.tcp_url().parse().unwrap();
        config.options(format!("-csearch_path={}", self.schema));
        config
    }

    /// Of somebody else.
    pub(crate) async fn client(&self) -> Client {
        let (client, connection) = self.config().connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

impl World for OnPostgres {
    type Store = Postgres;

    async fn begin() -> Option<Self> {
        static SERVER: OnceLock<Option<Server>> = OnceLock::new();
        // It ends with this program, whose end it notices.
        let server =
            SERVER.get_or_init(|| Server::start(&[("max_connections", "400")])).as_ref()?;
        let schema = format!("t{}", next());
        server.psql(&format!("CREATE SCHEMA {schema}"));
        Some(Self { server, schema })
    }

    async fn store(&self) -> Postgres {
        Postgres::builder(self.config()).build().unwrap()
    }

    async fn sql(&self, statement: &str) -> Vec<Vec<String>> {
        let client = self.client().await;
        let mut all = Vec::new();
        for message in client.simple_query(statement).await.unwrap() {
            if let SimpleQueryMessage::Row(row) = message {
                let text = |column| row.get(column).unwrap_or_default().to_owned();
                all.push((0..row.len()).map(text).collect());
            }
        }
        all
    }

    async fn cancels_what_is_claimed(&self) {
        let trigger = "CREATE FUNCTION cancels() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            NEW.cancel_mode := 'cancel'; NEW.cancel_reason := 'requested'; \
            NEW.cancel_at := NEW.run_at; RETURN NEW; END $$; \
            CREATE TRIGGER cancels BEFORE UPDATE OF node ON desist_ops FOR EACH ROW \
            WHEN (NEW.state = 'running') EXECUTE FUNCTION cancels()";
        self.sql(trigger).await;
    }

    async fn on_a_line(&self) -> (Postgres, Box<dyn Line>) {
        let proxy = Proxy::before(self.server.port()).await;
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port());
        let mut config: tokio_postgres::Config = url.parse().unwrap();
        config.options(format!("-csearch_path={}", self.schema));
        (Postgres::builder(config).build().unwrap(), Box::new(proxy))
    }

    async fn commits(
        ctx: &Context<Postgres>,
        text: &str,
        fails: bool,
    ) -> Result<String, CommitError> {
        let text = text.to_owned();
        let commits = ctx.commit(|tx| async move {
            tx.execute("INSERT INTO effect VALUES ($1)", &[&text]).await?;
            if fails { Err("it was refused".into()) } else { Ok(text) }
        });
        commits.await
    }
}

/// The same tests on both.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let Some(world) = <$crate::world::OnSqlite as $crate::world::World>::begin().await else { return };
                    super::$name(&world).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let Some(world) = <$crate::world::OnPostgres as $crate::world::World>::begin().await else { return };
                    super::$name(&world).await;
                }
            )*
        }
    };
}
pub(crate) use on_both;

/// The same for those that wait for a clock: both do so at the same time.
macro_rules! on_both_at_once {
    ($($name:ident),* $(,)?) => {
        mod at_once {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let sqlite = async {
                        let Some(world) = <$crate::world::OnSqlite as $crate::world::World>::begin().await else { return };
                        super::$name(&world).await;
                    };
                    let postgres = async {
                        let Some(world) = <$crate::world::OnPostgres as $crate::world::World>::begin().await else { return };
                        super::$name(&world).await;
                    };
                    tokio::join!(sqlite, postgres);
                }
            )*
        }
    };
}
pub(crate) use on_both_at_once;

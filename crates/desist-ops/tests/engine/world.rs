//! A database for each test.

use std::future::Future;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use desist_ops::{Postgres, Sqlite, Store};

use crate::server::Server;

/// One that a test has for itself; several stores of it are as several processes.
pub(crate) trait World: Send + Sync + Sized + 'static {
    type Store: Store + std::fmt::Debug;

    /// `None`: its server is missing, and that was said.
    fn begin() -> impl Future<Output = Option<Self>> + Send;

    fn store(&self) -> impl Future<Output = Self::Store> + Send;
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
        Sqlite::open(self.folder.join("operations.db")).await.unwrap()
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

//! Operations that wait for a test, on SQLite.

use std::sync::Arc;
use std::time::Duration;

use desist::Token;
use desist_ops::{BoxError, Context, Kind, OperationId, Operations, OperationsBuilder, Sqlite};
use desist_tokio::{StopSource, sleep};
use tokio::sync::Semaphore;

use crate::PATIENCE;

pub(crate) struct Service {
    pub(crate) operations: Operations<Sqlite>,
    /// A permit lets one operation take one step.
    pub(crate) steps: Arc<Semaphore>,
    /// A permit lets one that was asked to stop do so.
    pub(crate) stops: Arc<Semaphore>,
    stop: StopSource,
}

impl Service {
    pub(crate) async fn open() -> Self {
        Self::with(Sqlite::open(":memory:").await.unwrap(), |builder| builder).await
    }

    pub(crate) async fn with(
        store: Sqlite,
        builder: impl FnOnce(OperationsBuilder<Sqlite>) -> OperationsBuilder<Sqlite>,
    ) -> Self {
        let (steps, stops) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let gates = (Arc::clone(&steps), Arc::clone(&stops));
        // It takes steps until it is asked to stop, and then needs leave.
        let export = move |ctx: Context<Sqlite>, (): ()| {
            let (steps, stops) = gates.clone();
            async move {
                for step in 0.. {
                    ctx.progress(step, 1000, format!("step {step}"));
                    let Ok(step) = ctx.token().run(steps.acquire()).await else { break };
                    step?.forget();
                }
                stops.acquire().await?.forget();
                ctx.token().check()?;
                Ok::<_, BoxError>(())
            }
        };
        let stays = |ctx: Context<Sqlite>, (): ()| async move {
            sleep(Duration::from_secs(3600), ctx.token()).await?;
            Ok::<_, BoxError>(())
        };
        let fails =
            |_: Context<Sqlite>, says: String| async move { Err::<(), _>(BoxError::from(says)) };
        // However busy the machine is, nobody is taken for dead.
        let opens = Operations::builder(store)
            .lease(Duration::from_secs(600))
            .kind(Kind::new("export", export))
            .kind(Kind::new("stays", stays).concurrency(100))
            .kind(Kind::new("waits", stays).concurrency(0))
            .kind(Kind::new("fails", fails));
        let operations = builder(opens).open().await.unwrap();
        let stop = StopSource::new();
        tokio::spawn(operations.run(&stop.stop()));
        Self { operations, steps, stops, stop }
    }

    pub(crate) async fn start(&self, kind: &str, actor: &str) -> String {
        self.operations.start(kind, &()).actor(actor).await.unwrap().id().to_string()
    }

    pub(crate) async fn running(&self, kind: &str, actor: &str) -> String {
        let id = self.start(kind, actor).await;
        self.until_running(&id).await;
        id
    }

    pub(crate) async fn until_running(&self, id: &str) {
        let runs = self.operations.until_running(self.id(id));
        tokio::time::timeout(PATIENCE, runs).await.unwrap().unwrap();
    }

    /// It has said how far it is, and says nothing more before it takes a step.
    pub(crate) async fn has_begun(&self, id: &str) {
        let mut watch = self.operations.watch(self.id(id), 0);
        let begins = async { while watch.next().await.unwrap().unwrap().progress.is_none() {} };
        tokio::time::timeout(PATIENCE, begins).await.unwrap();
    }

    pub(crate) async fn ended(&self, id: &str) {
        let ended = self.operations.wait(self.id(id), PATIENCE).await.unwrap();
        assert!(ended.state.is_finished(), "{ended:?}");
    }

    pub(crate) fn id(&self, id: &str) -> OperationId {
        id.parse().unwrap()
    }

    /// Past all that is tested.
    pub(crate) async fn sql(&self, statements: &str) {
        let statements = statements.to_owned();
        let does = move |conn: &mut desist_sql::sqlite::rusqlite::Connection| {
            conn.execute_batch(&statements)
        };
        self.operations.store().pool().write(&Token::never(), does).await.unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

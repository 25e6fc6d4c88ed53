//! What most tests need: processes, kinds, and gates in their handlers.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use desist_ops::{
    BoxError, CancelRequest, Context, Error, Kind, Operation, OperationId, Operations,
    OperationsBuilder, Outcome, Report, State, Store,
};
use desist_tokio::{StopSource, sleep};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::PATIENCE;
use crate::world::World;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Another process, as far as a database can tell. It looks often.
pub(crate) async fn process<W: World, const N: usize>(
    world: &W,
    kinds: [Kind<W::Store>; N],
) -> Operations<W::Store> {
    builder(world, kinds).await.open().await.unwrap()
}

/// The same, to be changed.
pub(crate) async fn builder<W: World, const N: usize>(
    world: &W,
    kinds: [Kind<W::Store>; N],
) -> OperationsBuilder<W::Store> {
    of_store(world.store().await, kinds)
}

pub(crate) fn of_store<S: Store, const N: usize>(
    store: S,
    kinds: [Kind<S>; N],
) -> OperationsBuilder<S> {
    let builder = Operations::builder(store).look_every(millis(100));
    kinds.into_iter().fold(builder, OperationsBuilder::kind)
}

/// Operations that are run, until this is stopped or dies.
pub(crate) struct Runs {
    pub(crate) stop: StopSource,
    task: JoinHandle<Result<Report, Error>>,
}

pub(crate) fn runs<S: Store>(operations: &Operations<S>) -> Runs {
    let stop = StopSource::new();
    let task = tokio::spawn(operations.run(&stop.stop()));
    Runs { stop, task }
}

impl Runs {
    /// It is told to stop at once, and says what it did.
    pub(crate) async fn end(self) -> Report {
        self.stop.cancel();
        self.ended().await
    }

    /// It ends by itself, having been told.
    pub(crate) async fn ended(self) -> Report {
        soon(self.task).await.unwrap().unwrap()
    }

    /// As by SIGKILL: nothing of it goes on, and nothing is said.
    pub(crate) async fn dies(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// What should come at once.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(PATIENCE, what).await.expect("it should have come long ago")
}

/// As it has ended.
pub(crate) async fn ended<S: Store>(operations: &Operations<S>, id: OperationId) -> Operation {
    let operation = soon(operations.wait(id, PATIENCE)).await.unwrap();
    assert!(operation.state.is_finished(), "{operation:?}");
    operation
}

/// As it is.
pub(crate) async fn now<S: Store>(operations: &Operations<S>, id: OperationId) -> Operation {
    operations.get(id).await.unwrap().unwrap()
}

/// As soon as it is like that.
pub(crate) async fn until<S: Store>(
    operations: &Operations<S>,
    id: OperationId,
    is: impl Fn(&Operation) -> bool,
) -> Operation {
    let mut watch = operations.watch(id, 0);
    let looks = async {
        loop {
            let operation = watch.next().await.unwrap().expect("it never was like that");
            if is(&operation) {
                return operation;
            }
        }
    };
    soon(looks).await
}

/// One, of a kind that takes nothing.
pub(crate) async fn begun<S: Store>(operations: &Operations<S>, kind: &str) -> OperationId {
    operations.start(kind, &()).await.unwrap().id()
}

/// The same, and it runs.
pub(crate) async fn running<S: Store>(operations: &Operations<S>, kind: &str) -> OperationId {
    let id = begun(operations, kind).await;
    let operation = soon(operations.until_running(id)).await.unwrap();
    assert_eq!(operation.state, State::Running, "{operation:?}");
    id
}

/// So many of a kind that takes nothing, at once.
pub(crate) async fn waiting<W: World>(world: &W, kind: &str, count: u32) {
    let starts = format!(
        "INSERT INTO desist_ops (id, kind, state, input, created_at, run_at) \
         SELECT 'op_' || substr('00000000000000000000000000' || n, length('' || n) + 1), '{kind}', \
         'waiting', 'null', 1, 1 FROM (WITH RECURSIVE n (n) AS \
         (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count}) SELECT n FROM n) numbers"
    );
    world.sql(&starts).await;
}

/// What happened to it, in order.
pub(crate) async fn story<S: Store>(operations: &Operations<S>, id: OperationId) -> Vec<String> {
    let events = operations.events(id, 0).await.unwrap();
    assert!(events.is_sorted_by(|one, next| one.number < next.number), "{events:?}");
    events.into_iter().map(|event| event.what).collect()
}

pub(crate) const SUCCEEDED: State = State::Finished(Outcome::Succeeded);
pub(crate) const FAILED: State = State::Finished(Outcome::Failed);
pub(crate) const CANCELLED: State = State::Finished(Outcome::Cancelled);

/// Until it is asked to stop.
pub(crate) fn stays<S: Store>(name: &str) -> Kind<S> {
    Kind::new(name, |ctx: Context<S>, _: ()| async move {
        sleep(HOUR, ctx.token()).await?;
        Ok::<_, BoxError>(())
    })
}

/// Counts how often it was begun.
pub(crate) fn counts<S: Store>(name: &str, count: &Count) -> Kind<S> {
    let count = count.clone();
    Kind::new(name, move |_: Context<S>, _: ()| {
        count.one();
        async { Ok::<_, BoxError>(()) }
    })
}

/// A count that many add to.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    /// How many there were before.
    pub(crate) fn one(&self) -> usize {
        // Ordering: it only counts.
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where handlers wait, and tests for them.
#[derive(Clone)]
pub(crate) struct Gate {
    came: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { came: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }
}

impl Gate {
    /// A handler is here, and waits, whatever it is told.
    pub(crate) async fn pass(&self) {
        self.here();
        self.open.acquire().await.unwrap().forget();
    }

    /// A handler is here, and goes on.
    pub(crate) fn here(&self) {
        self.came.add_permits(1);
    }

    /// Somebody is here, for each time that this is awaited.
    pub(crate) async fn came(&self) {
        soon(self.came.acquire()).await.unwrap().forget();
    }

    /// Lets so many go on.
    pub(crate) fn open(&self, count: usize) {
        self.open.add_permits(count);
    }
}

/// Waits at the gate, and does not listen.
pub(crate) fn waits<S: Store>(name: &str, gate: &Gate) -> Kind<S> {
    let gate = gate.clone();
    Kind::new(name, move |_: Context<S>, _: ()| {
        let gate = gate.clone();
        async move {
            gate.pass().await;
            Ok::<_, BoxError>("done")
        }
    })
}

/// A failure with a cause, which has one, too.
#[derive(Debug)]
pub(crate) struct Because(pub(crate) &'static str, pub(crate) Option<BoxError>);

impl std::fmt::Display for Because {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Because {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_ref().map(|cause| &**cause as &(dyn std::error::Error + 'static))
    }
}

pub(crate) fn because(what: &'static str, cause: impl Into<BoxError>) -> BoxError {
    Box::new(Because(what, Some(cause.into())))
}

/// A request of theirs.
pub(crate) fn by(actor: &str) -> CancelRequest {
    CancelRequest::new().actor(actor)
}

//! Operations, as whoever starts, asks about and cancels them has them.

mod builder;
mod cancelling;
mod start;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use desist_tokio::Stop;
use serde_core::Serialize;

pub use self::builder::OperationsBuilder;
pub use self::start::{Start, Started};
pub use self::watch::Watch;

use crate::error::Kind as Why;
use crate::hints::{Hints, Push};
use crate::protocol::{self, Fence};
use crate::store::{Local, Store, Within};
use crate::worker::{self, Live, Report};
use crate::{Error, Event, Filter, Kind, Operation, OperationId};

/// The operations of a service: to start, find, watch and cancel them, wherever they run; and to
/// [run](Self::run) them here. A handle, cheap to clone.
///
/// ```
/// use desist_ops::{BoxError, CancelRequest, Context, Kind, Operations, Outcome, Sqlite, State};
/// use desist_tokio::{StopSource, sleep};
/// use std::time::Duration;
///
/// async fn export(ctx: Context<Sqlite>, table: String) -> Result<String, BoxError> {
///     ctx.progress(0, 100, "begins");
///     sleep(Duration::from_secs(3600), ctx.token()).await?;
///     Ok(format!("{table}.csv"))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let operations = Operations::builder(Sqlite::open(":memory:").await?)
///     .kind(Kind::new("export", export))
///     .open()
///     .await?;
/// let id = operations.start("export", "orders").actor("ada").await?.id();
///
/// let stop = StopSource::new();
/// let asks = async {
///     operations.until_running(id).await?;
///     let why = CancelRequest::new().actor("ada").message("the wrong table");
///     assert!(operations.cancel(id, why).await?.is_requested());
///     let stopped = operations.wait(id, Duration::from_secs(5)).await?;
///     assert_eq!(stopped.state, State::Finished(Outcome::Cancelled));
///     stop.cancel();
///     Ok::<_, desist_ops::Error>(())
/// };
/// let (report, asked) = tokio::join!(operations.run(&stop.stop()), asks);
/// asked?;
/// assert_eq!(report?.cancelled(), 1);
/// # Ok(())
/// # }
/// ```
pub struct Operations<S> {
    shared: Arc<Shared<S>>,
}

pub(crate) struct Shared<S> {
    pub(crate) store: S,
    pub(crate) kinds: BTreeMap<String, Kind<S>>,
    pub(crate) settings: Settings,
    pub(crate) hints: Arc<Hints>,
    /// There is one that runs them.
    pub(crate) running: AtomicBool,
    pub(crate) told: start::Told,
    /// Who runs them here, while somebody does.
    pub(crate) worker: Mutex<Weak<worker::Worker<S>>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) lease: Duration,
    pub(crate) look_every: Duration,
    pub(crate) drain_for: Duration,
    pub(crate) max_input: usize,
    pub(crate) max_output: usize,
    pub(crate) keep: Option<Duration>,
    pub(crate) label: String,
    pub(crate) fence: Fence,
}

impl<S: Store> Operations<S> {
    /// Kept in this store, with these kinds.
    pub fn builder(store: S) -> OperationsBuilder<S> {
        OperationsBuilder::new(store)
    }

    /// Starts one of this kind, with this input. It runs as soon as a process has room for it,
    /// which may be this one.
    ///
    /// ```
    /// # use desist_ops::{BoxError, Context, Kind, Operations, Sqlite};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// let started = operations.start("export", "orders").tag("tenant:7").key("orders").await?;
    /// let again = operations.start("export", "orders").key("orders").await?;
    /// assert_eq!(again.id(), started.id());
    /// assert!(again.is_joined());
    ///
    /// let error = operations.start("exprot", "orders").await.unwrap_err();
    /// assert!(error.is_unknown_kind());
    /// # Ok(())
    /// # }
    /// ```
    pub fn start<'a, I>(&'a self, kind: &'a str, input: &'a I) -> Start<'a, S>
    where
        I: Serialize + ?Sized,
    {
        Start::new(self, kind, serde_json::to_string(input))
    }

    /// The same, with an input that is JSON already.
    ///
    /// ```
    /// # use desist_ops::{BoxError, Context, Kind, Operations, Sqlite};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// assert!(operations.start_json("export", r#""orders""#).await.is_ok());
    /// assert!(operations.start_json("export", "orders").await.unwrap_err().is_bad_input());
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_json<'a>(&'a self, kind: &'a str, input: impl Into<String>) -> Start<'a, S> {
        Start::new(self, kind, Ok(input.into()))
    }

    /// One, as it is now.
    ///
    /// # Errors
    ///
    /// The database failed.
    ///
    /// ```
    /// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// let id = operations.start("export", "orders").await?.id();
    /// assert_eq!(operations.get(id).await?.unwrap().kind, "export");
    /// assert!(operations.get(desist_ops::OperationId::random()).await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get(&self, id: OperationId) -> Result<Option<Operation>, Error> {
        self.asks(protocol::Get { id }).await
    }

    /// Those that are asked for, the newest first.
    ///
    /// # Errors
    ///
    /// The database failed.
    ///
    /// ```
    /// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// let _ = operations.start("export", "orders").tag("tenant:7").await?;
    /// let page = operations.list(&Filter::new().tag("tenant:7").state(State::Waiting).most(20)).await?;
    /// assert_eq!(page.len(), 1);
    /// let next = operations.list(&Filter::new().tag("tenant:7").before(page[0].sequence)).await?;
    /// assert!(next.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Operation>, Error> {
        self.asks(protocol::List { filter: filter.clone() }).await
    }

    /// How many there are of those that are asked for, on all pages.
    ///
    /// # Errors
    ///
    /// The database failed.
    ///
    /// ```
    /// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// let _ = operations.start("export", "orders").actor("ada").await?;
    /// assert_eq!(operations.count(&Filter::new().actor("ada")).await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn count(&self, filter: &Filter) -> Result<u64, Error> {
        self.asks(protocol::Count { filter: filter.clone() }).await
    }

    /// The newest one of this kind with this key.
    ///
    /// # Errors
    ///
    /// The database failed.
    ///
    /// ```
    /// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// let id = operations.start("export", "orders").key("orders").await?.id();
    /// assert_eq!(operations.find("export", "orders").await?.unwrap().id, id);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn find(&self, kind: &str, key: &str) -> Result<Option<Operation>, Error> {
        let (kind, key) = (crate::text::kept(kind, usize::MAX), crate::text::kept(key, usize::MAX));
        self.asks(protocol::Find { kind, key }).await
    }

    /// Those that were asked to stop longer ago than they may take, wherever they run; the longest
    /// first. What they last did is in their [progress](Operation::progress).
    ///
    /// # Errors
    ///
    /// The database failed.
    ///
    /// ```
    /// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// for operation in operations.overdue().await? {
    ///     println!("{} does not stop, for {:?}", operation.id, operation.stopping_for().unwrap());
    /// }
    /// # assert!(operations.overdue().await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn overdue(&self) -> Result<Vec<Operation>, Error> {
        self.asks(protocol::Overdue { most: 1000 }).await
    }

    /// What happened to one after the event with this number, 0 for all of it; 1000 at most.
    ///
    /// # Errors
    ///
    /// The database failed.
    ///
    /// ```
    /// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// let id = operations.start("export", "orders").await?.id();
    /// operations.cancel(id, CancelRequest::new().actor("ada")).await?;
    /// let events = operations.events(id, 0).await?;
    /// assert_eq!([&*events[0].what, &*events[1].what], ["started", "finished"]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn events(&self, id: OperationId, after: i64) -> Result<Vec<Event>, Error> {
        self.asks(protocol::Events { id, after, most: 1000 }).await
    }

    /// Whether what others ask for comes by push, for how long that is so, and how long its last
    /// call to itself took. Without it everything works, and later.
    ///
    /// ```
    /// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// use desist_ops::Push;
    ///
    /// assert_eq!(operations.push().0, Push::Off, "nothing runs here yet");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn push(&self) -> (Push, Duration, Option<Duration>) {
        self.shared.hints.push()
    }

    /// Which kinds there are.
    ///
    /// ```
    /// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// assert!(operations.kinds().eq(["export"]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.shared.kinds.keys().map(String::as_str)
    }

    /// Runs operations until it is asked to stop; it borrows nothing, so it can be spawned, or be a
    /// service of a host.
    ///
    /// Asked to drain, it takes no more, and lets those in hand come to their end for
    /// [`drain_for`]; then, or when it is asked to stop, they are asked to stop. Those that do not
    /// come to their end go back, and somebody else begins them again: that is not counted as an
    /// attempt.
    ///
    /// # Errors
    ///
    /// These operations are run already. A database that is away is asked again until it is
    /// back.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it drops what it runs where that stands, as if the process had died. Ask it to
    /// stop instead.
    ///
    /// [`drain_for`]: OperationsBuilder::drain_for
    pub fn run(&self, stop: &Stop) -> impl Future<Output = Result<Report, Error>> + Send + use<S> {
        worker::run(self.clone(), stop.clone())
    }

    /// One that is about to be changed, as it is now.
    #[cfg(feature = "http")]
    pub(crate) async fn to_change(&self, id: OperationId) -> Result<Option<Operation>, Error> {
        self.shared.store.transact(Within::Change, protocol::Get { id }).await
    }

    /// How many of each kind run in this process.
    #[cfg(feature = "console")]
    pub(crate) fn running_here(&self) -> BTreeMap<String, usize> {
        let worker = crate::lock::lock(&self.shared.worker).upgrade();
        worker.map(|worker| worker.register.counts()).unwrap_or_default()
    }

    pub(crate) async fn asks<W: crate::store::Work>(&self, work: W) -> Result<W::Done, Error> {
        self.shared.store.transact(Within::Request, work).await
    }

    pub(crate) fn local(&self) -> &Arc<Local> {
        self.shared.store.local()
    }
}

impl<S> Operations<S> {
    pub(crate) fn new(shared: Shared<S>) -> Self {
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn shared(&self) -> &Shared<S> {
        &self.shared
    }

    /// The database that they are kept in.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.shared.store
    }

    /// The end of a run that gives this, of the same transaction as its effects.
    pub(crate) fn finish_of<T: Serialize>(
        &self,
        live: &Live,
        given: &T,
    ) -> Result<protocol::Finish, Error> {
        let output = serde_json::to_string(given).map_err(|error| {
            Error::new(Why::Input, "what the work gave cannot be kept as JSON").because(error)
        })?;
        live.is_at_its_end();
        Ok(protocol::Finish {
            end: live.end(self.succeed(output)),
            fence: self.shared.settings.fence,
        })
    }

    /// With an output, as far as there is room for it.
    pub(crate) fn succeed(&self, output: String) -> protocol::Wish {
        let (size, most) = (output.len(), self.shared.settings.max_output);
        if size > most {
            let note = format!("its output has {size} bytes, and {most} at most are kept");
            return protocol::Wish::Succeed { output: None, note: Some(note) };
        }
        let output = Some(output).filter(|output| output != "null");
        protocol::Wish::Succeed { output, note: None }
    }
}

impl<S> Clone for Operations<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug> fmt::Debug for Operations<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operations")
            .field("store", &self.shared.store)
            .field("kinds", &self.shared.kinds.keys())
            .finish_non_exhaustive()
    }
}

//! The console: a page for people that shows what runs, and cancels it.
//!
//! It is one page, served from the binary, with nothing to build and nothing that is asked for from
//! elsewhere. It shows what runs and waits as a tree, with how far it is and who started it; what was
//! asked to stop and has not yet, the worst first; how long cancels take, by kind; what there was, by
//! kind, outcome, reason and people; and what the process does that serves it. It is live, and says
//! so when it is not.
//!
//! ```
//! use desist_ops::console::Console;
//! use desist_ops::http::Routes;
//! # use desist_ops::{BoxError, Context, Kind, Operations, Sqlite};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), desist_ops::Error> {
//! # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
//! # let store = Sqlite::open(":memory:").await?;
//! # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
//!
//! let routes = Routes::new(operations).open_to_loopback("developer");
//! let app: axum::Router = axum::Router::new().merge(Console::new(routes).at("/console"));
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! Who may see and do what is the affair of [`Routes::authorize`]: it is asked whether the page may be
//! read at all ([`Verb::List`]), about each operation that is shown ([`Verb::Show`]) and whether it
//! has a button that cancels it ([`Verb::Cancel`]), when that is pressed once more ([`Verb::Cancel`]
//! and [`Verb::CancelTree`]), and about the process ([`Verb::Process`]). Nothing can be changed until
//! [`allow_changes`](Console::allow_changes) has been said.
//!
//! [`Routes::authorize`]: crate::http::Routes::authorize
//! [`Verb::List`]: crate::http::Verb::List
//! [`Verb::Show`]: crate::http::Verb::Show
//! [`Verb::Cancel`]: crate::http::Verb::Cancel
//! [`Verb::CancelTree`]: crate::http::Verb::CancelTree
//! [`Verb::Process`]: crate::http::Verb::Process

mod board;
mod live;
mod page;
mod process;
mod row;
mod seen;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::map_response;
use axum::routing::get;
use desist_http::InFlight;
use desist_tokio::Spawner;

pub use self::process::HostState;

use self::board::{Board, Most};
use self::process::Process;
use crate::http;
use crate::http::Routes;
use crate::store::Store;

const READS_ONLY: &str = "this console only reads; say `Console::allow_changes()` in the service to \
                          let it cancel";

/// The page, to be mounted into an app: see the [module](self).
#[must_use = "it is mounted by `at`"]
pub struct Console<S> {
    routes: Routes<S>,
    changes: bool,
    renews: Duration,
    most: Most,
    process: Process,
}

/// How long a stream is read before it is asked for anew, if nothing is said.
const RENEWS: Duration = Duration::from_secs(300);
/// A page takes what ends sooner for something that is broken.
const RENEWS_AT_LEAST: Duration = Duration::from_secs(6);
/// How many are shown, if nothing is said.
const MOST: Most = Most { running: 20_000, waiting: 10_000 };

/// What a console serves.
struct Served<S> {
    routes: Arc<http::Served<S>>,
    board: Arc<Board<S>>,
    renews: Duration,
    process: Process,
}

impl<S: Store> Console<S> {
    /// Of these operations, for whom these routes are open, and for as many.
    pub fn new(routes: Routes<S>) -> Self {
        Self { routes, changes: false, renews: RENEWS, most: MOST, process: Process::new() }
    }

    /// Lets those cancel who may; otherwise the page only shows.
    pub fn allow_changes(mut self) -> Self {
        self.changes = true;
        self
    }

    /// How many are shown, of those that run and of those that wait: the oldest; 20,000 and 10,000, if
    /// nothing is said. Two thousand that were asked to stop are shown in any case. They are counted
    /// before anybody's rights: who may see few of very many finds the others in the history.
    pub fn show_at_most(mut self, running: u32, waiting: u32) -> Self {
        self.most = Most { running, waiting };
        self
    }

    /// How long the page reads what happens before it asks for that anew, which it does by itself; five
    /// minutes, if nothing is said. Whatever stands in front, as a middleware that finds out who
    /// asks, sees each such request, and so notices at the latest then who has signed out. It is six
    /// seconds at least.
    pub fn renew_every(mut self, time: Duration) -> Self {
        self.renews = time.max(RENEWS_AT_LEAST);
        self
    }

    /// Shows the requests that are in flight, and the handlers that go on without their clients.
    ///
    /// ```
    /// # use desist_ops::{BoxError, Context, Kind, Operations, Sqlite, console::Console, http::Routes};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// # let routes = Routes::new(operations).open_to_loopback("developer");
    /// use desist_http::{InFlight, serve};
    ///
    /// let in_flight = InFlight::new();
    /// let console = Console::new(routes).in_flight(&in_flight).at("/console");
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let server = serve(listener, axum::Router::new().merge(console)).in_flight(&in_flight);
    /// # let _ = server;
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_flight(mut self, in_flight: &InFlight) -> Self {
        self.process.requests(in_flight);
        self
    }

    /// Shows the tasks of this group, under this name.
    ///
    /// ```
    /// # use desist_ops::{BoxError, Context, Kind, Operations, Sqlite, console::Console, http::Routes};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// # let routes = Routes::new(operations).open_to_loopback("developer");
    /// let group = desist_tokio::TaskGroup::new();
    /// let console = Console::new(routes).tasks("indexers", group.spawner());
    /// # let _ = console;
    /// # Ok(())
    /// # }
    /// ```
    pub fn tasks<T: Send + 'static>(
        mut self,
        name: impl Into<String>,
        spawner: Spawner<T>,
    ) -> Self {
        self.process.tasks(name.into(), spawner);
        self
    }

    /// Shows where the host is. This is asked once a second while somebody looks, for each who does.
    ///
    /// ```
    /// # use desist_ops::{BoxError, Context, Kind, Operations, Sqlite, console::Console, http::Routes};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// # let routes = Routes::new(operations).open_to_loopback("developer");
    /// use desist_ops::console::HostState;
    ///
    /// // With desist-host, `handle` is `builder.handle()`:
    /// // .host(move || HostState::new(handle.phase()).waits_for(handle.waits_for().iter()))
    /// let console = Console::new(routes).host(|| HostState::new("running"));
    /// # let _ = console;
    /// # Ok(())
    /// # }
    /// ```
    pub fn host(mut self, state: impl Fn() -> HostState + Send + Sync + 'static) -> Self {
        self.process.host(state);
        self
    }

    /// As a router to be merged, with the page at this path, as `/console`.
    ///
    /// # Panics
    ///
    /// The path does not begin with a slash, or is none that axum takes.
    pub fn at<T: Clone + Send + Sync + 'static>(self, path: &str) -> Router<T> {
        let reads_only = (!self.changes).then_some(READS_ONLY);
        let routes = Arc::new(self.routes.into_served(reads_only));
        let board = Board::new(routes.operations.clone(), self.most);
        let path = path.trim_end_matches('/');
        let below = |rest: &str| format!("{path}{rest}");
        let api = Routes::for_a_page(&routes, &below("/api"));
        let served = Arc::new(Served { routes, board, renews: self.renews, process: self.process });
        let router = Router::new()
            .route(&below("/"), get(page::page::<S>))
            .route(&below("/live"), get(live::live::<S>))
            .route(&below("/assets/{file}"), get(page::file));
        // A page at the root has a slash already.
        let router =
            if path.is_empty() { router } else { router.route(path, get(page::to_the_page)) };
        router.with_state(served).merge(api).layer(map_response(page::kept_to_itself))
    }
}

impl<S: fmt::Debug> fmt::Debug for Console<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("routes", &self.routes)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

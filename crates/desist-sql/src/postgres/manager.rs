//! What the pool keeps: connections, and what is known of each.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use tokio::runtime::Handle;
use tokio_postgres::config::{LoadBalanceHosts, TargetSessionAttrs};
use tokio_postgres::{CancelToken, Client, Config, SimpleQueryMessage};

use super::confirmed::NotConfirmed;
use super::connector::{BoxError, Connect};
use super::driven::Driven;
use super::socket::{Named, Place};
use super::wire::Wire;

/// Of several hosts none can be used.
#[derive(Debug)]
struct Nobody(Vec<BoxError>);

impl fmt::Display for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "none of {} hosts can be used", self.0.len())?;
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{} {error}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Nobody {}

/// How connections of a pool are made, and ended.
pub(super) struct Manager {
    pub(super) config: Config,
    pub(super) connect: Box<dyn Connect>,
    pub(super) settings: Settings,
}

/// As soon as it may be gone.
const SOON: Duration = Duration::from_millis(2);

/// What is set for each of them.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// How often the server looks whether the client of a statement that runs is still there.
    pub(super) check_interval: Option<Duration>,
    /// For a new connection, to its end.
    pub(super) connect_within: Duration,
    /// What is done on each.
    pub(super) setup: Option<String>,
}

/// A connection.
pub(super) struct Link {
    pub(super) client: ClientWrapper,
    pub(super) wire: Arc<Wire>,
    pub(super) driven: Arc<Driven>,
    pub(super) end: Arc<End>,
}

/// What is at both ends of a connection, for whoever has to do with it without having it.
pub(super) struct End {
    pub(super) place: Place,
    /// `None`: somebody is between, and nobody says who serves it.
    pub(super) served: Option<Served>,
    /// How long a statement may take at most, as the session began; `None`: as long as it wants.
    pub(super) statement_timeout: Option<Duration>,
    /// Where it is driven; whatever is done about it is done there, for a drop may be anywhere.
    pub(super) runtime: Handle,
}

/// A server's process; its number alone may be another's by then.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pid: i32,
    /// Microseconds, which no setting of a session writes in another way.
    since: i64,
}

impl End {
    /// Undoes what was told of a deadline.
    pub(super) fn sets_back(&self) -> String {
        let limit = self.statement_timeout.unwrap_or_default();
        format!("SET statement_timeout = {};", limit.as_millis())
    }
}

impl Link {
    pub(super) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }
}

impl managed::Manager for Manager {
    // In a box, for it is passed from hand to hand.
    type Type = Box<Link>;
    type Error = BoxError;

    async fn create(&self) -> Result<Box<Link>, BoxError> {
        let begin = Instant::now();
        let mut named = Named::all(&self.config)?;
        self.shuffle(&mut named);
        let mut failed = Vec::new();
        while let Some(next) = named.pop_front() {
            // Each has its share of what is left, so that one which is silent does not have it all.
            let left = self.settings.connect_within.saturating_sub(begin.elapsed());
            let share = left / (named.len() + 1) as u32;
            match within(share, self.connect_to_one(next, share)).await {
                Ok(link) => return Ok(link),
                Err(error) => failed.push(error),
            }
        }
        match failed.pop() {
            Some(only) if failed.is_empty() => Err(only),
            last => Err(Nobody(failed.into_iter().chain(last).collect()).into()),
        }
    }

    async fn recycle(&self, link: &mut Box<Link>, _: &Metrics) -> RecycleResult<BoxError> {
        // Whoever gave it back has seen to the rest.
        if link.client.is_closed() {
            return Err(RecycleError::message("the server has closed it"));
        }
        if link.wire.is_idle() { Ok(()) } else { Err(RecycleError::message("it is not idle")) }
    }
}

impl Manager {
    /// In any order, where that is wanted.
    fn shuffle<T>(&self, all: &mut VecDeque<T>) {
        if self.config.get_load_balance_hosts() == LoadBalanceHosts::Random {
            for last in (1..all.len()).rev() {
                let any = RandomState::new().build_hasher().finish() as usize;
                all.swap(last, any % (last + 1));
            }
        }
    }

    async fn connect_to_one(&self, named: Named, time: Duration) -> Result<Box<Link>, BoxError> {
        let begin = Instant::now();
        let mut places = named.find().await?;
        self.shuffle(&mut places);
        let mut failed = None;
        while let Some(place) = places.pop_front() {
            let left = time.saturating_sub(begin.elapsed());
            let share = left / (places.len() + 1) as u32;
            match within(share, self.connect_to(place)).await {
                Ok(link) => return Ok(link),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| "there is no address to connect to".into()))
    }

    async fn connect_to(&self, place: Place) -> Result<Box<Link>, BoxError> {
        let connected = self.connect.connect(&self.config, place).await?;
        let client = ClientWrapper::new(connected.client, connected.driver);
        self.is_wanted(&client).await?;
        let served = served(&client).await.filter(|served| served.pid == connected.wire.pid());
        // A pooler may give the server's process to others, and they would have it, too.
        if let (Some(interval), Some(_)) = (self.settings.check_interval, &served) {
            let set = format!("SET client_connection_check_interval = {}", interval.as_millis());
            // Older servers do not know it, and other systems cannot.
            let _ = client.batch_execute(&set).await;
        }
        if let Some(setup) = &self.settings.setup {
            client.batch_execute(setup).await?;
        }
        let limit = first(&client, STATEMENT_TIMEOUT, 0).await?;
        let limit = limit.and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
        let end = End {
            place: connected.place,
            served,
            statement_timeout: limit.map(Duration::from_millis),
            runtime: Handle::current(),
        };
        let (wire, driven) = (connected.wire, connected.driven);
        Ok(Box::new(Link { client, wire, driven, end: Arc::new(end) }))
    }

    /// Of several servers, whether it is one of those that are asked for.
    async fn is_wanted(&self, client: &Client) -> Result<(), BoxError> {
        let wanted = match self.config.get_target_session_attrs() {
            TargetSessionAttrs::ReadWrite => "off",
            TargetSessionAttrs::ReadOnly => "on",
            _ => return Ok(()),
        };
        match first(client, "SHOW transaction_read_only", 0).await? {
            Some(found) if found == wanted => Ok(()),
            _ => Err("it does not take what target_session_attrs asks for".into()),
        }
    }

    /// Asks the server to cancel what runs on it, until it has said that it passed it on.
    pub(super) async fn cancel(&self, link: &Link) -> Result<(), NotConfirmed> {
        self.connect.cancel(&self.config, &link.end.place, link.cancel_token()).await
    }

    /// Ends a server's process, from beside, until it is not there any more.
    pub(super) async fn terminate(&self, place: &Place, served: &Served) -> Result<(), BoxError> {
        let connected = self.connect.connect(&self.config, place.clone()).await?;
        let client = ClientWrapper::new(connected.client, connected.driver);
        let terminates = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                          WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::int8 = $2";
        let terminates = client.prepare(terminates).await?;
        while !client.query(&terminates, &[&served.pid, &served.since]).await?.is_empty() {
            // There is no event of it to wait for.
            tokio::time::sleep(SOON).await;
        }
        Ok(())
    }
}

const STATEMENT_TIMEOUT: &str = "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'";

async fn within(
    time: Duration,
    connects: impl Future<Output = Result<Box<Link>, BoxError>>,
) -> Result<Box<Link>, BoxError> {
    match tokio::time::timeout(time, connects).await {
        Ok(connected) => connected,
        Err(_) => {
            let said = format!("no answer within {time:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, said).into())
        }
    }
}

/// Who serves it.
async fn served(client: &Client) -> Option<Served> {
    let asks = "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::int8 \
                FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    let messages = client.simple_query(asks).await.ok()?;
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let pid = row.try_get(0).ok()??.parse().ok()?;
            Some(Served { pid, since: row.try_get(1).ok()??.parse().ok()? })
        }
        _ => None,
    })
}

async fn first(
    client: &Client,
    query: &str,
    column: usize,
) -> Result<Option<String>, tokio_postgres::Error> {
    let messages = client.simple_query(query).await?;
    Ok(messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(column).map(str::to_owned),
        _ => None,
    }))
}

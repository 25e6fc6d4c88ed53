//! What the pool keeps: connections, and what is known of each.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use tokio::runtime::Handle;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{CancelToken, Client, Config, SimpleQueryMessage};

use super::confirmed::NotConfirmed;
use super::connector::{BoxError, Connect};
use super::driven::Driven;
use super::socket::Place;
use super::wire::Wire;

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
    since: String,
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
        let connects = self.connect_somewhere();
        match tokio::time::timeout(self.settings.connect_within, connects).await {
            Ok(connected) => connected,
            Err(_) => {
                let said = format!("no answer within {:?}", self.settings.connect_within);
                Err(io::Error::new(io::ErrorKind::TimedOut, said).into())
            }
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
    async fn connect_somewhere(&self) -> Result<Box<Link>, BoxError> {
        let mut failed = None;
        for place in Place::all(&self.config).await? {
            match self.connect_to(place).await {
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
        if let Some(interval) = self.settings.check_interval {
            let set = format!("SET client_connection_check_interval = {}", interval.as_millis());
            // Older servers do not know it, other systems cannot, and poolers may refuse it.
            let _ = client.batch_execute(&set).await;
        }
        let served = served(&client).await.filter(|served| served.pid == connected.wire.pid());
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
                          WHERE pid = $1 AND backend_start::text = $2";
        let terminates = client.prepare(terminates).await?;
        while !client.query(&terminates, &[&served.pid, &served.since]).await?.is_empty() {
            // There is no event of it to wait for.
            tokio::time::sleep(SOON).await;
        }
        Ok(())
    }
}

const STATEMENT_TIMEOUT: &str = "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'";

/// Who serves it.
async fn served(client: &Client) -> Option<Served> {
    let asks = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    let messages = client.simple_query(asks).await.ok()?;
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let pid = row.try_get(0).ok()??.parse().ok()?;
            Some(Served { pid, since: row.try_get(1).ok()??.to_owned() })
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

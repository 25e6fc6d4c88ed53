//! The server, as a service of the host.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use desist_host::{BoxError, Health, HostHandle, Service, Stop};
use desist_http::{InFlight, serve};
use desist_ops::Store;
use desist_ops::console::{Console, HostState};
use desist_ops::http::Routes;
use desist_tokio::TaskGroup;
use tokio::net::TcpListener;

use super::House;
use crate::config::Config;
use crate::mediator::{Needs, mediator};
use crate::say;
use crate::uploads::Folder;
use crate::web::{self, About};

pub(crate) struct Http<S> {
    house: House<S>,
    host: HostHandle,
    health: Health,
    /// From the start to the run.
    ready: Option<(TcpListener, Router)>,
    /// From the start to the cleanup.
    folder: Option<Folder>,
    in_flight: InFlight,
    downloads: TaskGroup,
}

impl<S: Store> Http<S> {
    pub(crate) fn new(house: House<S>, host: HostHandle, health: Health) -> Self {
        let (in_flight, downloads) = (InFlight::new(), TaskGroup::new().forget_finished());
        Self { house, host, health, ready: None, folder: None, in_flight, downloads }
    }

    /// All that is served at this address.
    fn app(&self, itself: SocketAddr) -> Result<Router, BoxError> {
        let House { config, log, shelf, documents, operations, nats } = &self.house;
        let downstream = config.downstream.clone().unwrap_or_else(|| reachable(itself));
        let mediator = mediator(Needs {
            log: log.clone(),
            shelf: shelf.clone(),
            documents: documents.take()?,
            nats: config.nats.as_ref().map(|_| nats.take()).transpose()?,
            downloads: self.downloads.spawner(),
            downstream: downstream.clone(),
        })?;
        let about = About {
            instance: Config::instance(),
            database: config.database_in_words().to_string(),
            downstream,
            nats: config.nats.is_some(),
            console: "/console/",
        };
        let operations = operations.take()?;
        let routes = || Routes::new(operations.clone()).open_to_loopback("a visitor");
        let console = Console::new(routes())
            .allow_changes()
            .in_flight(&self.in_flight)
            .tasks("downloads", self.downloads.spawner())
            .host(host_state(self.host.clone()))
            .at("/console");
        let app = web::router(mediator, about, config.exports())
            .nest("/operations", routes().into_router())
            .merge(console);
        // Whoever asks for the health asks by any name.
        Ok(web::guarded(app, config.address.is_loopback())
            .route_service("/livez", self.health.clone())
            .route_service("/readyz", self.health.clone()))
    }
}

impl<S: Store> Service for Http<S> {
    async fn start(&mut self, _stop: &Stop) -> Result<(), BoxError> {
        let listener = listener(&self.house.config)
            .await
            .map_err(|error| format!("no address to listen on: {error}"))?;
        let addr = listener.local_addr()?;
        let app = self.app(addr)?;
        // The last that can fail: a start that does leaves nothing.
        let folder = Folder::create().map_err(|error| {
            format!("no folder for uploads: {error}; set TMPDIR to one for such")
        })?;
        self.house.shelf.set(folder.path());
        say(reachable(addr));
        (self.ready, self.folder) = (Some((listener, app)), Some(folder));
        Ok(())
    }

    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        let (listener, app) = self.ready.take().ok_or("it has not started")?;
        let closing = self.house.log.clone();
        let _closes = stop.draining().on_cancel(move |_| closing.close());
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let served = serve(listener, app).in_flight(&self.in_flight).until(&stop).await;
        // They are parts of answers: whoever was left is named with them.
        let _ = self.downloads.stop(Duration::from_secs(1)).await;
        if !served.is_clean() {
            say(&served);
        }
        // Clients that do not read are no failure; work that was left stands in the report of the
        // host, too.
        Ok(served.into_result()?)
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        match self.folder.take() {
            Some(folder) => folder.remove().await,
            None => Ok(()),
        }
    }
}

fn host_state(host: HostHandle) -> impl Fn() -> HostState + Send + Sync {
    move || {
        let state = HostState::new(host.phase()).waits_for(host.waits_for().iter());
        match host.cause() {
            Some(cause) => state.because(cause),
            None => state,
        }
    }
}

/// How it asks itself.
fn reachable(addr: SocketAddr) -> String {
    let ip = match addr.ip() {
        any if any.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, addr.port()))
}

/// On the port that is said, or else on 3000, and if somebody is there, anywhere.
async fn listener(config: &Config) -> io::Result<TcpListener> {
    let port = config.port.unwrap_or(3000);
    match TcpListener::bind((config.address, port)).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && config.port.is_none() => {
            say("somebody else has port 3000, so it is another one");
            TcpListener::bind((config.address, 0)).await
        }
        bound => bound.map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => "set PORT to a free one",
                _ => "say --address with one of this machine, and --port with one that it may have",
            };
            io::Error::new(error.kind(), format!("port {port}: {error}; {advice}"))
        }),
    }
}

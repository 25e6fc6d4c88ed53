//! The server, as a service of the host.

use std::io;
use std::net::SocketAddr;

use desist_host::{BoxError, Health, Service, Stop};
use desist_http::serve;
use desist_mediator::Mediator;
use tokio::net::TcpListener;

use crate::log::Log;
use crate::mediator::mediator;
use crate::uploads::{Folder, Shelf};
use crate::{routes, say};

pub(crate) struct Http {
    log: Log,
    health: Health,
    shelf: Shelf,
    /// From the start to the run.
    ready: Option<(TcpListener, Mediator)>,
    /// From the start to the cleanup.
    folder: Option<Folder>,
}

impl Http {
    pub(crate) fn new(health: Health, shelf: Shelf) -> Self {
        Self { log: Log::new(), health, shelf, ready: None, folder: None }
    }
}

impl Service for Http {
    async fn start(&mut self, _stop: &Stop) -> Result<(), BoxError> {
        let mediator = mediator(&self.log, &self.shelf)?;
        let listener = listener()
            .await
            .map_err(|error| format!("no address to listen on: {error}; set PORT to a free one"))?;
        let addr = listener.local_addr()?;
        // The last that can fail: a start that does leaves nothing.
        let folder = Folder::create().map_err(|error| {
            format!("no folder for uploads: {error}; set TMPDIR to one for such")
        })?;
        self.shelf.set(folder.path());
        say(format_args!("http://{addr}"));
        (self.ready, self.folder) = (Some((listener, mediator)), Some(folder));
        Ok(())
    }

    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        let (listener, mediator) = self.ready.take().ok_or("it has not started")?;
        let closing = self.log.clone();
        let _closes = stop.draining().on_cancel(move |_| closing.close());
        let app = routes::router(mediator)
            .route_service("/livez", self.health.clone())
            .route_service("/readyz", self.health.clone())
            .into_make_service_with_connect_info::<SocketAddr>();
        // Which requests were left stands in the report of the host.
        Ok(serve(listener, app).until(&stop).await.into_result()?)
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        match self.folder.take() {
            Some(folder) => folder.remove().await,
            None => Ok(()),
        }
    }
}

/// On PORT, if it is set, else on 3000, and if somebody is there, anywhere.
async fn listener() -> io::Result<TcpListener> {
    if let Ok(port) = std::env::var("PORT") {
        let wrong = |error| io::Error::other(format!("PORT is {port:?}, and no port: {error}"));
        let port = port.parse::<u16>().map_err(wrong)?;
        let taken =
            |error: io::Error| io::Error::new(error.kind(), format!("port {port}: {error}"));
        return TcpListener::bind(("127.0.0.1", port)).await.map_err(taken);
    }
    match TcpListener::bind("127.0.0.1:3000").await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            TcpListener::bind("127.0.0.1:0").await
        }
        bound => bound,
    }
}

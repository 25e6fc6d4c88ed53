use std::ops::Deref;
use std::sync::OnceLock;

use tokio_postgres::{Client, NoTls};

use crate::databases::Server;

/// A server, as tests of tokio-postgres talk to it.
pub(crate) struct Postgres {
    server: Server,
}

impl Postgres {
    /// That of all tests of this process; `None`: it is missing, and that was said.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[], &[])
    }

    /// With these files in its folder, and settings.
    pub(crate) fn start_with(files: &[(&str, &str)], settings: &[(&str, &str)]) -> Option<Self> {
        let settings = [&[("max_connections", "200")], settings].concat();
        Server::start_with(files, &settings).map(|server| Self { server })
    }

    /// Over its socket.
    pub(crate) fn address(&self) -> String {
        let folder = self.folder().display();
        format!("host={folder} port={} user=postgres dbname=postgres", self.port())
    }

    /// Over TCP.
    pub(crate) fn tcp(&self) -> String {
        tcp_at(self.port())
    }

    /// From beside, of a test.
    pub(crate) async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.address(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// What is there on this machine.
pub(crate) fn tcp_at(port: u16) -> String {
    format!("host=127.0.0.1 port={port} user=postgres dbname=postgres")
}

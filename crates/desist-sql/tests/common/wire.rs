//! A network that can be cut.

use std::net::SocketAddr;
use std::sync::Mutex;

use desist::{Source, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A way through TCP to a server, until this is dropped.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) addr: SocketAddr,
    cut: std::sync::Arc<Cut>,
    accepts: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Cut {
    /// What of now is a black hole, from its cancellation on.
    hole: Mutex<Source>,
    /// What of now is closed.
    closed: Mutex<Source>,
}

impl Wire {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let cut = std::sync::Arc::<Cut>::default();
        let of_cut = std::sync::Arc::clone(&cut);
        let accepts = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let hole = of_cut.hole.lock().unwrap().token();
                let closed = of_cut.closed.lock().unwrap().token();
                tokio::spawn(closed.run_owned(carry(client, server, hole)));
            }
        });
        Self { addr, cut, accepts }
    }

    /// Nothing gets through any more, and nobody is told.
    pub(crate) fn cut(&self) {
        self.cut.hole.lock().unwrap().cancel();
    }

    /// Closes what is there.
    pub(crate) fn close(&self) {
        std::mem::take(&mut *self.cut.closed.lock().unwrap()).cancel();
    }

    /// What comes from now on gets through again.
    pub(crate) fn heal(&self) {
        *self.cut.hole.lock().unwrap() = Source::new();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepts.abort();
        self.close();
    }
}

async fn carry(client: TcpStream, server: SocketAddr, hole: Token) {
    let mut client = client;
    if hole.is_cancelled() {
        return std::future::pending().await;
    }
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let there = pass(&mut from_client, &mut to_server, &hole);
    let back = pass(&mut from_server, &mut to_client, &hole);
    // Whoever closes closes both.
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

async fn pass(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    hole: &Token,
) {
    let mut buffer = vec![0; 16 * 1024];
    let all = hole.run(async {
        loop {
            match from.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                // What was on its way when it was cut does not arrive either.
                Ok(_) if hole.is_cancelled() => std::future::pending().await,
                Ok(length) => {
                    if to.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    if all.await.is_err() {
        std::future::pending().await
    }
}

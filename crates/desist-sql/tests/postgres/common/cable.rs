use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::tcp_at;

/// Passes bytes on, until it is cut: then connections are there, and nothing comes through.
pub(crate) struct Cable {
    addr: SocketAddr,
    cut: watch::Sender<bool>,
}

/// What becomes of all connections but the first, which for a pool of one are requests to
/// cancel.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Later {
    /// They are as the first.
    Passes,
    /// All that is written is passed on so much later.
    Late(Duration),
    /// The same, and who has written is reset at once; but only the first of them.
    Resets(Duration),
}

impl Cable {
    pub(crate) async fn to(port: u16) -> Self {
        Self::with(port, Later::Passes).await
    }

    pub(crate) async fn with(port: u16, later: Later) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (cut, is_cut) = watch::channel(false);
        tokio::spawn(async move {
            let (mut later_ones, mut has_reset) = (Later::Passes, false);
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let is_cut = is_cut.clone();
                tokio::spawn(async move {
                    match later_ones {
                        Later::Resets(late) => drop(resets(near, far, late).await),
                        Later::Late(late) => carries(near, far, is_cut, late),
                        Later::Passes => carries(near, far, is_cut, Duration::ZERO),
                    }
                });
                later_ones = match (later_ones, later) {
                    // Of those only the first.
                    (Later::Resets(_), _) => Later::Passes,
                    (Later::Passes, Later::Resets(_)) if has_reset => Later::Passes,
                    _ => later,
                };
                has_reset |= matches!(later_ones, Later::Resets(_));
            }
        });
        Self { addr, cut }
    }

    pub(crate) fn cut(&self) {
        self.cut.send(true).unwrap();
    }

    pub(crate) fn mend(&self) {
        self.cut.send(false).unwrap();
    }

    pub(crate) fn address(&self) -> String {
        tcp_at(self.addr.port())
    }
}

fn carries(near: TcpStream, far: TcpStream, is_cut: watch::Receiver<bool>, late: Duration) {
    let (near_reads, near_writes) = near.into_split();
    let (far_reads, far_writes) = far.into_split();
    tokio::spawn(passes(near_reads, far_writes, is_cut.clone(), late));
    tokio::spawn(passes(far_reads, near_writes, is_cut, Duration::ZERO));
}

async fn passes(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    mut cut: watch::Receiver<bool>,
    late: Duration,
) {
    let mut bytes = [0; 4096];
    loop {
        let read = from.read(&mut bytes).await.unwrap_or(0);
        if read > 0 {
            tokio::time::sleep(late).await;
        }
        // What was on its way when it was cut is lost with the connection.
        if *cut.borrow() {
            let _ = cut.wait_for(|cut| !cut).await;
            return;
        }
        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

async fn resets(mut near: TcpStream, mut far: TcpStream, late: Duration) -> io::Result<()> {
    let mut bytes = [0; 4096];
    let read = near.read(&mut bytes).await?;
    socket2::SockRef::from(&near).set_linger(Some(Duration::ZERO))?;
    drop(near);
    tokio::time::sleep(late).await;
    far.write_all(&bytes[..read]).await?;
    // Until it was heard.
    far.read(&mut bytes).await.map(drop)
}

//! A cable between a process and its database, which can be cut.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All passes.
    Whole,
    /// Connections are there, and nothing comes through until it is mended: then all of it does,
    /// however late.
    Silent,
    /// Connections are closed, and no other ones come to be.
    Hard,
}

/// Passes bytes on.
#[derive(Clone)]
pub(crate) struct Cable {
    port: u16,
    state: watch::Sender<Cut>,
    /// It is cut, silently, before the next bytes from the near end that have this in them.
    trap: watch::Sender<Option<&'static str>>,
}

impl Cable {
    pub(crate) async fn to(far: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, trap) = (watch::Sender::new(Cut::Whole), watch::Sender::new(None));
        let cable = Self { port, state, trap };
        let shared = cable.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let cable = shared.clone();
                tokio::spawn(async move { cable.carries(near, far).await });
            }
        });
        cable
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn is(&self, cut: Cut) {
        self.state.send_replace(cut);
    }

    /// Springs at the next bytes with this in them.
    pub(crate) fn set_trap(&self, on: &'static str) {
        self.trap.send_replace(Some(on));
    }

    pub(crate) async fn until_cut(&self) {
        let mut state = self.state.subscribe();
        let cut = state.wait_for(|cut| *cut != Cut::Whole);
        tokio::time::timeout(crate::PATIENCE, cut).await.expect("the trap springs").unwrap();
    }

    /// `false`: it is to be closed.
    async fn until_whole(&self) -> bool {
        let mut state = self.state.subscribe();
        let Ok(cut) = state.wait_for(|cut| *cut != Cut::Silent).await else { return false };
        *cut == Cut::Whole
    }

    async fn carries(&self, near: TcpStream, far: u16) {
        if !self.until_whole().await {
            return;
        }
        // Its server may be away just now.
        let Ok(far) = TcpStream::connect(("127.0.0.1", far)).await else { return };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let (near_reads, near_writes) = near.into_split();
        let (far_reads, far_writes) = far.into_split();
        let mut state = self.state.subscribe();
        let carries = async {
            tokio::join!(
                self.passes(near_reads, far_writes, true),
                self.passes(far_reads, near_writes, false),
            )
        };
        tokio::select! {
            _ = carries => {}
            // With it go both of its ends.
            _ = state.wait_for(|cut| *cut == Cut::Hard) => {}
        }
    }

    async fn passes(
        &self,
        mut from: impl tokio::io::AsyncRead + Unpin,
        mut to: impl tokio::io::AsyncWrite + Unpin,
        is_near: bool,
    ) {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let read = from.read(&mut bytes).await.unwrap_or(0);
            if is_near {
                let springs = self.trap.send_if_modified(|trap| {
                    let sprung = trap.is_some_and(|trap| holds(&bytes[..read], trap.as_bytes()));
                    if sprung {
                        *trap = None;
                    }
                    sprung
                });
                if springs {
                    self.is(Cut::Silent);
                }
            }
            // An end is no news either, while it is cut.
            if !self.until_whole().await || read == 0 {
                return;
            }
            if to.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    }
}

fn holds(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// Cut for so long.
pub(crate) async fn cut_for(cable: Cable, cut: Cut, time: Duration) {
    cable.is(cut);
    tokio::time::sleep(time).await;
    cable.is(Cut::Whole);
}

//! A cable between a process and its database, which can be cut.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
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

#[derive(Debug, Clone, Copy)]
pub(crate) enum Trap {
    /// It is cut, silently, before the next bytes from the near end that have this in them.
    Cut(&'static str),
    /// The connection that says this has no answer from its next COMMIT on.
    Unanswered(&'static str),
}

/// Passes bytes on.
#[derive(Clone)]
pub(crate) struct Cable {
    port: u16,
    state: watch::Sender<Cut>,
    trap: watch::Sender<Option<Trap>>,
    /// Those that have no answer.
    unanswered: watch::Sender<usize>,
}

impl Cable {
    pub(crate) async fn to(far: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, trap) = (watch::Sender::new(Cut::Whole), watch::Sender::new(None));
        let cable = Self { port, state, trap, unanswered: watch::Sender::new(0) };
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

    /// Springs once.
    pub(crate) fn set_trap(&self, trap: Trap) {
        self.trap.send_replace(Some(trap));
    }

    pub(crate) async fn until_unanswered(&self) {
        let mut unanswered = self.unanswered.subscribe();
        let some = unanswered.wait_for(|count| *count > 0);
        tokio::time::timeout(crate::PATIENCE, some).await.expect("the trap springs").unwrap();
    }

    /// All answers are passed on.
    pub(crate) fn answers(&self) {
        self.unanswered.send_replace(0);
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
        let is_unanswered = watch::Sender::new(false);
        let carries = async {
            tokio::join!(
                self.asks(near_reads, far_writes, &is_unanswered),
                self.passes(far_reads, near_writes, &is_unanswered),
            )
        };
        tokio::select! {
            _ = carries => {}
            // With it go both of its ends.
            _ = state.wait_for(|cut| *cut == Cut::Hard) => {}
        }
    }

    async fn asks(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        is_unanswered: &watch::Sender<bool>,
    ) {
        let mut bytes = vec![0; 16 * 1024];
        let mut is_meant = false;
        loop {
            let read = from.read(&mut bytes).await.unwrap_or(0);
            let said = &bytes[..read];
            match self.springs(said) {
                Some(Trap::Cut(_)) => self.is(Cut::Silent),
                Some(Trap::Unanswered(_)) => is_meant = true,
                None if is_meant && holds(said, "COMMIT") => {
                    is_meant = false;
                    is_unanswered.send_replace(true);
                    self.unanswered.send_modify(|count| *count += 1);
                }
                None => {}
            }
            // An end is no news either, while it is cut.
            if !self.until_whole().await || read == 0 || to.write_all(said).await.is_err() {
                return;
            }
        }
    }

    fn springs(&self, said: &[u8]) -> Option<Trap> {
        let mut sprung = None;
        self.trap.send_if_modified(|trap| {
            let (Some(Trap::Cut(on)) | Some(Trap::Unanswered(on))) = trap else { return false };
            if holds(said, on) {
                sprung = trap.take();
            }
            sprung.is_some()
        });
        sprung
    }

    async fn passes(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        is_unanswered: &watch::Sender<bool>,
    ) {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let read = from.read(&mut bytes).await.unwrap_or(0);
            if *is_unanswered.borrow() {
                let _ = self.unanswered.subscribe().wait_for(|count| *count == 0).await;
                is_unanswered.send_replace(false);
            }
            if !self.until_whole().await || read == 0 {
                return;
            }
            if to.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    }
}

fn holds(bytes: &[u8], what: &str) -> bool {
    bytes.windows(what.len()).any(|window| window == what.as_bytes())
}

/// Cut for so long.
pub(crate) async fn cut_for(cable: Cable, cut: Cut, time: Duration) {
    cable.is(cut);
    tokio::time::sleep(time).await;
    cable.is(Cut::Whole);
}

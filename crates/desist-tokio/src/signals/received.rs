//! What the thread hears.

use std::io;

#[cfg(unix)]
use tokio::runtime::Handle;
#[cfg(unix)]
use tokio::signal::unix::{Signal as Incoming, SignalKind, signal};
#[cfg(unix)]
use tokio::sync::mpsc;

use super::Signal;

/// What makes the thread hear more than it does.
#[cfg(unix)]
pub(super) struct Ears {
    runtime: Handle,
    quit: Option<mpsc::UnboundedSender<Incoming>>,
}

#[cfg(unix)]
impl Ears {
    /// When it returns, SIGQUIT is caught, and what comes of it is kept until the
    /// thread looks. The thread itself is not waited for: it may be about to take
    /// the lock that the caller holds.
    pub(super) fn hear_quit(&mut self) -> io::Result<()> {
        if let Some(quit) = self.quit.as_ref() {
            let incoming = {
                let _inside = self.runtime.enter();
                signal(SignalKind::quit())?
            };
            // Whom it is sent to is there as long as the process, but in a child
            // that was forked, which hears nothing.
            let _ = quit.send(incoming);
            self.quit = None;
        }
        Ok(())
    }
}

#[cfg(unix)]
pub(super) struct Received {
    interrupt: Incoming,
    terminate: Incoming,
    quit: Option<Incoming>,
    asked: mpsc::UnboundedReceiver<Incoming>,
}

#[cfg(unix)]
impl Received {
    /// To be called in the runtime of the thread.
    pub(super) fn new() -> io::Result<(Self, Ears)> {
        let (ask, asked) = mpsc::unbounded_channel();
        let received = Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: None,
            asked,
        };
        Ok((received, Ears { runtime: Handle::current(), quit: Some(ask) }))
    }

    pub(super) async fn next(&mut self) -> Signal {
        use std::future::poll_fn;
        use std::task::Poll;
        poll_fn(|cx| {
            if self.terminate.poll_recv(cx).is_ready() {
                return Poll::Ready(Signal::Terminate);
            }
            if self.interrupt.poll_recv(cx).is_ready() {
                return Poll::Ready(Signal::Interrupt);
            }
            if let Poll::Ready(Some(quit)) = self.asked.poll_recv(cx) {
                self.quit = Some(quit);
            }
            let Some(quit) = &mut self.quit else { return Poll::Pending };
            quit.poll_recv(cx).map(|_| Signal::Quit)
        })
        .await
    }
}

/// Ctrl-C is all there is.
#[cfg(windows)]
pub(super) struct Ears;

#[cfg(windows)]
impl Ears {
    pub(super) fn hear_quit(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(windows)]
pub(super) struct Received {
    interrupt: tokio::signal::windows::CtrlC,
}

#[cfg(windows)]
impl Received {
    pub(super) fn new() -> io::Result<(Self, Ears)> {
        Ok((Self { interrupt: tokio::signal::windows::ctrl_c()? }, Ears))
    }

    pub(super) async fn next(&mut self) -> Signal {
        self.interrupt.recv().await;
        Signal::Interrupt
    }
}

//! The end of a connection that lies behind bytes which nobody reads.
//!
//! The kernel knows that the other side has closed before anybody has read up to there.
//! tokio asks it for that with everything else, and keeps it apart from "readable"; who
//! waits for urgent bytes alone is woken by it as well. For that a second descriptor of
//! the same socket is taken, and only while somebody has to wait like this.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpStream;

/// Ends when the other side has closed or reset its end.
pub(super) type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the TCP connection is within a listener's stream.
pub(super) type TcpOf = Arc<dyn for<'a> Fn(&'a dyn Any) -> Option<&'a TcpStream> + Send + Sync>;

pub(super) fn is_tcp_itself() -> TcpOf {
    Arc::new(|io| io.downcast_ref())
}

/// `None`: this system, or this stream, does not tell. Where the other side may close
/// its end and wait, only a reset counts.
pub(super) fn closing(io: &dyn Any, tcp_of: &TcpOf, half_close: bool) -> Option<Closing> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return linux::closing(io, tcp_of, half_close);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (io, tcp_of, half_close);
        None
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::any::Any;
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};

    use tokio::io::{Interest, Ready};
    use tokio::net::{TcpStream, UnixStream};

    use super::{Closing, TcpOf};

    pub(super) fn closing(io: &dyn Any, tcp_of: &TcpOf, half_close: bool) -> Option<Closing> {
        let told_of = if half_close { Interest::ERROR } else { Interest::PRIORITY };
        if let Some(stream) = tcp_of(io) {
            let twin = TcpStream::from_std(twin(stream)?.into()).ok()?;
            return Some(Box::pin(async move {
                while !is_over(twin.ready(told_of).await) {
                    let _none = twin.try_io(Interest::PRIORITY, heard);
                }
            }));
        }
        let twin = UnixStream::from_std(twin(io.downcast_ref::<UnixStream>()?)?.into()).ok()?;
        Some(Box::pin(async move {
            while !is_over(twin.ready(told_of).await) {
                let _none = twin.try_io(Interest::PRIORITY, heard);
            }
        }))
    }

    fn twin(stream: &impl AsFd) -> Option<OwnedFd> {
        stream.as_fd().try_clone_to_owned().ok()
    }

    fn is_over(told: io::Result<Ready>) -> bool {
        told.map_or(true, |ready| ready.is_read_closed() || ready.is_error())
    }

    /// Urgent bytes are none of ours: to be told of the next, not of the same again.
    fn heard() -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

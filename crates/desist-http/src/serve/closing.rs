//! The end of a connection that lies behind bytes which nobody reads.
//!
//! The kernel knows that the other side has closed before anybody has read up to there.
//! tokio asks it for that with everything else, and keeps it apart from "readable"; who
//! waits for urgent bytes alone, for which it does not ask, is woken by nothing else. For
//! that a second descriptor of the same socket is taken, and only while somebody has to
//! wait like this.

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
            return Some(Box::pin(async move { while !is_over(twin.ready(told_of).await) {} }));
        }
        let twin = UnixStream::from_std(twin(io.downcast_ref::<UnixStream>()?)?.into()).ok()?;
        Some(Box::pin(async move { while !is_over(twin.ready(told_of).await) {} }))
    }

    fn twin(stream: &impl AsFd) -> Option<OwnedFd> {
        stream.as_fd().try_clone_to_owned().ok()
    }

    fn is_over(told: io::Result<Ready>) -> bool {
        told.map_or(true, |ready| ready.is_read_closed() || ready.is_error())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::{Context, Wake, Waker};
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            // Ordering: it only counts.
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// Else it would be woken for as long as they are not read.
    #[tokio::test]
    async fn urgent_bytes_do_not_wake_it_and_are_no_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut closing = closing(&stream, &is_tcp_itself(), false).unwrap();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut is_over = || closing.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        assert!(!is_over());
        socket2::SockRef::from(&client).send_out_of_band(b"!").unwrap();
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            assert!(!is_over());
        }
        // Ordering: as above.
        assert_eq!(count.0.load(SeqCst), 0);
        drop(client);
        while !is_over() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

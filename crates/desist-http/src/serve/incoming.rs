//! What axum's apps are made of, for connections that are ours.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::handler::HandlerService;
use axum::routing::MethodRouter;
use axum::serve::Listener;
use tower_service::Service;

/// A connection that was accepted: what a make-service is called with, and what a type
/// of one's own is [`Connected`] by.
///
/// It stands for axum's `IncomingStream`, which nobody else can make.
///
/// ```
/// use axum::extract::connect_info::Connected;
/// use desist_http::Incoming;
/// use tokio::net::TcpListener;
///
/// #[derive(Clone)]
/// struct Peer(std::net::SocketAddr);
///
/// impl Connected<Incoming<'_, TcpListener>> for Peer {
///     fn connect_info(incoming: Incoming<'_, TcpListener>) -> Self {
///         Self(*incoming.remote_addr())
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Incoming<'a, L: Listener> {
    io: &'a L::Io,
    remote_addr: &'a L::Addr,
}

impl<'a, L: Listener> Incoming<'a, L> {
    pub(super) fn new(io: &'a L::Io, remote_addr: &'a L::Addr) -> Self {
        Self { io, remote_addr }
    }

    /// The stream, before anything was read.
    ///
    /// ```
    /// use desist_http::Incoming;
    /// use tokio::net::TcpListener;
    ///
    /// fn has_nodelay(incoming: &Incoming<'_, TcpListener>) -> bool {
    ///     incoming.io().nodelay().unwrap_or(false)
    /// }
    /// # let _ = has_nodelay;
    /// ```
    #[must_use]
    pub fn io(&self) -> &L::Io {
        self.io
    }

    /// Who it is from.
    ///
    /// ```
    /// use desist_http::Incoming;
    /// use tokio::net::TcpListener;
    ///
    /// fn is_local(incoming: &Incoming<'_, TcpListener>) -> bool {
    ///     incoming.remote_addr().ip().is_loopback()
    /// }
    /// # let _ = is_local;
    /// ```
    #[must_use]
    pub fn remote_addr(&self) -> &L::Addr {
        self.remote_addr
    }
}

/// Of every listener that gives such addresses, also one of one's own.
impl<L: Listener<Addr = Self>> Connected<Incoming<'_, L>> for SocketAddr {
    fn connect_info(incoming: Incoming<'_, L>) -> Self {
        *incoming.remote_addr
    }
}

#[cfg(unix)]
impl<L: Listener<Addr = tokio::net::unix::SocketAddr>> Connected<Incoming<'_, L>>
    for std::sync::Arc<tokio::net::unix::SocketAddr>
{
    fn connect_info(incoming: Incoming<'_, L>) -> Self {
        std::sync::Arc::new(incoming.remote_addr.clone())
    }
}

macro_rules! serves_itself {
    ($($app:ty),* $(,)?) => {
        $(
            impl<L: Listener> Service<Incoming<'_, L>> for $app {
                type Response = Self;
                type Error = Infallible;
                type Future = Ready<Result<Self, Infallible>>;

                fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                    Poll::Ready(Ok(()))
                }

                fn call(&mut self, _: Incoming<'_, L>) -> Self::Future {
                    // Handlers become routes here, and not with each request.
                    ready(Ok(self.clone().with_state(())))
                }
            }
        )*
    };
}

serves_itself!(Router<()>, MethodRouter<()>);

impl<H, T, S, L> Service<Incoming<'_, L>> for HandlerService<H, T, S>
where
    H: Clone,
    S: Clone,
    L: Listener,
{
    type Response = Self;
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Incoming<'_, L>) -> Self::Future {
        ready(Ok(self.clone()))
    }
}

//! The body of a request, whose errors say why it can no longer be read.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use desist::Cancelled;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::request::Request;

pub(super) struct Upload {
    incoming: Incoming,
    request: Arc<Request>,
    /// There is more to come; until then its connection is in a body.
    is_open: bool,
}

impl Upload {
    pub(super) fn new(incoming: Incoming, request: Arc<Request>) -> Self {
        Self { incoming, request, is_open: true }
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.request.connection().body_ends();
        }
    }

    /// Whoever reads it may be the first to see that its client is gone.
    fn unreadable(&self, error: hyper::Error) -> Unreadable {
        if !is_malformed(&error) {
            self.request.disconnected();
        }
        Unreadable { cancelled: self.request.cancellation(), error }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Unreadable;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unreadable>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || self.incoming.is_end_stream() {
            self.close();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| self.unreadable(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.close();
    }
}

/// What came is no body: its sender may well be there.
fn is_malformed(error: &hyper::Error) -> bool {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let is_nonsense =
        |kind| matches!(kind, io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
    error.is_parse() || io.is_some_and(|io| is_nonsense(io.kind()))
}

/// What is left of the body does not come.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// Whoever looks for a stop finds this one.
    cancelled: Option<Cancelled>,
    error: hyper::Error,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rest of the request's body cannot be read; what came of it is not all")
    }
}

impl Error for Unreadable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cancelled {
            Some(cancelled) => Some(cancelled),
            None => Some(&self.error),
        }
    }
}

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use desist::Cancelled;
use http_body::{Body, Frame, SizeHint};

use crate::layer::BoxError;
use crate::outgoing::Wanted;
use crate::until::Until;

/// An answer's body, until its token is cancelled.
pub(super) struct Reading {
    now: Now,
}

enum Now {
    Reads {
        body: reqwest::Body,
        until: Until,
        wanted: Wanted,
    },
    Ended,
    /// Whoever asks again is told again: it must not look like an end.
    Stopped(Cancelled),
}

impl Reading {
    pub(super) fn new(body: reqwest::Body, until: Until, mut wanted: Wanted) -> Self {
        if body.is_end_stream() {
            wanted.has_come();
        }
        Self { now: Now::Reads { body, until, wanted } }
    }
}

impl Body for Reading {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let (body, until, wanted) = match &mut self.now {
            Now::Reads { body, until, wanted } => (body, until, wanted),
            Now::Ended => return Poll::Ready(None),
            Now::Stopped(why) => return Poll::Ready(Some(Err(why.clone().into()))),
        };
        if let Poll::Ready(why) = until.poll(cx) {
            return Poll::Ready(Some(Err(self.stops(why))));
        }
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            // Whatever it failed of, if that was after the stop, or when the time was over.
            Some(Err(error)) => match until.over(cx) {
                Some(why) => Poll::Ready(Some(Err(self.stops(why)))),
                None => Poll::Ready(Some(Err(error.into()))),
            },
            Some(frame) => {
                // Not everybody asks for more then.
                if body.is_end_stream() {
                    wanted.has_come();
                }
                Poll::Ready(Some(frame.map_err(Into::into)))
            }
            None => {
                wanted.has_come();
                self.now = Now::Ended;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.now {
            Now::Reads { body, .. } => body.is_end_stream(),
            Now::Ended => true,
            Now::Stopped(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.now {
            Now::Reads { body, .. } => body.size_hint(),
            Now::Ended => SizeHint::with_exact(0),
            Now::Stopped(_) => SizeHint::default(),
        }
    }
}

impl Reading {
    fn stops(&mut self, why: Cancelled) -> BoxError {
        self.now = Now::Stopped(why.clone());
        why.into()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io;

    use desist::{Reason, Source};

    use super::*;

    /// A body that fails, and stops somebody before that.
    struct Fails(Source);

    impl Body for Fails {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            self.0.cancel_with(Reason::Superseded);
            Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
        }
    }

    fn reading(body: reqwest::Body, source: &Source) -> Reading {
        Reading::new(body, Until::new(source.token()), Wanted::without_body())
    }

    async fn next(body: &mut Reading) -> Option<Result<Frame<Bytes>, BoxError>> {
        poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
    }

    #[tokio::test]
    async fn what_fails_after_the_stop_is_its_consequence() {
        let source = Source::new();
        let mut body = reading(reqwest::Body::wrap(Fails(source.clone())), &source);
        for _ in 0..2 {
            let error = next(&mut body).await.unwrap().unwrap_err();
            assert_eq!(error.downcast::<Cancelled>().unwrap().reason(), Reason::Superseded);
            assert!(!body.is_end_stream());
        }
        let mut body =
            reading(reqwest::Body::wrap(Fails(Source::new())), &source.token().shielded().child());
        let error = next(&mut body).await.unwrap().unwrap_err();
        assert!(desist::find_cancelled(&*error).is_none());
    }

    #[tokio::test]
    async fn after_its_end_no_stop_is_told() {
        let source = Source::new();
        let mut body = reading("all of it".into(), &source);
        assert_eq!(body.size_hint().exact(), Some(9));
        assert!(!body.is_end_stream());
        assert!(next(&mut body).await.unwrap().is_ok());
        assert!(next(&mut body).await.is_none());
        source.cancel();
        assert!(body.is_end_stream() && next(&mut body).await.is_none());
        assert_eq!(body.size_hint().exact(), Some(0));
    }
}

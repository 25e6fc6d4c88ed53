//! A service of gRPC that says what becomes of its calls, and clients of it.
#![allow(dead_code, unused_imports)] // Not every binary uses all of it.

#[allow(unreachable_pub, unused_qualifications)]
#[path = "counting.rs"]
mod made;

use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use bytes::{Bytes, BytesMut};
use desist_http::{RequestToken, Stopped};
use http::HeaderMap;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::IntervalStream;
use tokio_stream::{Stream, StreamExt};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

pub(crate) use self::made::counting_client::CountingClient;
use self::made::counting_server::{Counting, CountingServer};
pub(crate) use self::made::{Left, Number, Span};
use crate::common::{Probe, Said};

pub(crate) struct Counts(Probe);

type Numbers = Pin<Box<dyn Stream<Item = Result<Number, Status>> + Send>>;

pub(crate) fn milliseconds(time: Duration) -> Span {
    Span { milliseconds: time.as_millis() as u64 }
}

impl Span {
    fn time(self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }
}

/// What there is left of it, in milliseconds.
fn left(token: &desist::Token) -> Left {
    Left { milliseconds: token.remaining().map(|left| left.as_millis() as u64) }
}

#[tonic::async_trait]
impl Counting for Counts {
    async fn wait(&self, request: Request<Span>) -> Result<Response<Left>, Status> {
        let token = RequestToken::of(request.extensions())?;
        let handler = self.0.begin();
        let left = left(&token);
        let waited = desist_tokio::sleep(request.into_inner().time(), &token).await;
        if let Err(why) = &waited {
            handler.says(Said::Told(why.reason()));
        }
        handler.finish();
        waited.map_err(Stopped::from)?;
        Ok(Response::new(left))
    }

    type CountStream = Numbers;

    async fn count(&self, request: Request<Span>) -> Result<Response<Numbers>, Status> {
        let token = RequestToken::of(request.extensions())?;
        let streams = self.0.begin();
        self.0.watches(&token);
        let ticks = IntervalStream::new(tokio::time::interval(request.into_inner().time()));
        let mut value = 0;
        let numbers = ticks.map(move |_| {
            let _ = &streams;
            value += 1;
            Ok(Number { value })
        });
        Ok(Response::new(Box::pin(numbers)))
    }

    async fn sum(&self, request: Request<Streaming<Number>>) -> Result<Response<Number>, Status> {
        let token = RequestToken::of(request.extensions())?;
        let handler = self.0.begin();
        let mut numbers = request.into_inner();
        let mut value = 0;
        loop {
            let next = token.run(numbers.message()).await;
            match next {
                Ok(Ok(Some(number))) => value += number.value,
                Ok(Ok(None)) => break,
                Ok(Err(_)) | Err(_) => {
                    let why = token.cancelled().await;
                    handler.says(Said::Told(why.reason()));
                    handler.finish();
                    return Err(Stopped::from(why).into());
                }
            }
        }
        handler.finish();
        Ok(Response::new(Number { value }))
    }
}

pub(crate) fn service() -> (CountingServer<Counts>, mpsc::UnboundedReceiver<Said>) {
    let (probe, said) = Probe::new();
    (CountingServer::new(Counts(probe)), said)
}

pub(crate) fn app() -> (Router, mpsc::UnboundedReceiver<Said>) {
    let (service, said) = service();
    (Routes::new(service).into_axum_router(), said)
}

/// A message as it goes over the wire.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::from(&[0_u8][..]);
    bytes.extend_from_slice(&(message.encoded_len() as u32).to_be_bytes());
    message.encode(&mut bytes).unwrap();
    bytes.freeze()
}

pub(crate) fn status_in(headers: &HeaderMap) -> Option<String> {
    Some(headers.get("grpc-status")?.to_str().unwrap().to_owned())
}

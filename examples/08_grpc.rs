//! Calls of gRPC with tonic: a client's time bounds calls and streams, and its stop is
//! heard by the server. Every line that this prints was asserted first.
//!
//! `cargo run -p desist-examples --bin 08-grpc`

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

/// Made of `counting.proto` beside it, as `tonic-prost-build` does in a build script.
#[allow(dead_code, unreachable_pub, unused_qualifications)]
#[path = "../crates/desist-http/tests/counting/counting.rs"]
mod counting;
mod trial;

use std::pin::Pin;
use std::time::Duration;

use desist::{Reason, Source, Token, find_cancelled};
use desist_http::{Deadlines, RequestToken, Stopped, TokenChannel, TokenInterceptor, serve};
use desist_tokio::StopSource;
use tokio_stream::wrappers::IntervalStream;
use tokio_stream::{Stream, StreamExt};
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

use self::counting::counting_client::CountingClient;
use self::counting::counting_server::{Counting, CountingServer};
use self::counting::{Left, Number, Span};
use self::trial::{Failure, Heard, Log, Said, proved};

struct Counts(Log);

type Numbers = Pin<Box<dyn Stream<Item = Result<Number, Status>> + Send>>;

#[tonic::async_trait]
impl Counting for Counts {
    async fn wait(&self, request: Request<Span>) -> Result<Response<Left>, Status> {
        let token = RequestToken::of(request.extensions())?;
        self.0.says(Said::Begun);
        let left = token.remaining().map(|left| left.as_millis() as u64);
        let time = Duration::from_millis(request.into_inner().milliseconds);
        let waited = desist_tokio::sleep(time, &token).await;
        waited.inspect_err(|why| self.0.stopped(why)).map_err(Stopped::from)?;
        self.0.says(Said::Finished);
        Ok(Response::new(Left { milliseconds: left }))
    }

    type CountStream = Numbers;

    /// Ends with the status of the stop, and does not just end: that would look as if it
    /// was whole.
    async fn count(&self, request: Request<Span>) -> Result<Response<Numbers>, Status> {
        let token = RequestToken::of(request.extensions())?;
        self.0.says(Said::Begun);
        let step = Duration::from_millis(request.into_inner().milliseconds);
        let ticks = IntervalStream::new(tokio::time::interval(step));
        let mut value = 0;
        let numbers = ticks.map(move |_| {
            value += 1;
            Ok(Number { value })
        });
        let numbers = desist_tokio::StreamExt::until_cancelled(numbers, &token);
        let token = token.clone();
        let stopped = move |()| Some(Err(Stopped::from(token.cancellation()?).into()));
        let end = tokio_stream::once(()).filter_map(stopped);
        Ok(Response::new(Box::pin(numbers.chain(end))))
    }

    async fn sum(&self, request: Request<Streaming<Number>>) -> Result<Response<Number>, Status> {
        let token = RequestToken::of(request.extensions())?;
        let mut numbers = request.into_inner();
        let mut value = 0;
        while let Some(number) = token.run(numbers.message()).await.map_err(Stopped::from)?? {
            value += number.value;
        }
        Ok(Response::new(Number { value }))
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let listener = trial::listen(false).await?;
    let endpoint = Endpoint::try_from(format!("http://{}", listener.local_addr()?))?;
    let (log, mut heard) = trial::log();
    let app = Routes::new(CountingServer::new(Counts(log))).into_axum_router();
    let stop = StopSource::new();
    let deadlines = Deadlines::new().from_grpc().at_most(Duration::from_secs(60));
    let serving = serve(listener, app).deadlines(deadlines).until(stop.stop());
    let server = tokio::spawn(serving.into_future());

    let channel = endpoint.connect().await?;
    what_is_left(&channel, &mut heard).await?;
    a_time(&channel, &mut heard).await?;
    a_stop(&channel, &mut heard).await?;
    drop(channel);
    stop.drain();
    trial::ended(&server.await?)
}

/// A token for each call; the channel is the same.
fn client(channel: &Channel, token: &Token) -> CountingClient<TokenChannel<Channel>> {
    CountingClient::new(TokenChannel::new(channel.clone(), token))
}

async fn what_is_left(channel: &Channel, heard: &mut Heard) -> Result<(), Failure> {
    let token = Source::with_timeout(Duration::from_secs(5)).token();
    let left = client(channel, &token).wait(Span { milliseconds: 0 }).await?.into_inner();
    heard.begun().await?;
    heard.finished().await?;
    let by_channel = left.milliseconds.ok_or_else(|| trial::failure("it has no time"))?;

    // It says the same, and no more.
    let interceptor = TokenInterceptor::new(&token);
    let mut client = CountingClient::with_interceptor(channel.clone(), interceptor);
    let left = client.wait(Span { milliseconds: 0 }).await?.into_inner();
    heard.begun().await?;
    heard.finished().await?;
    let by_interceptor = left.milliseconds.ok_or_else(|| trial::failure("it has no time"))?;
    assert!(by_interceptor <= by_channel && by_channel < 5000);
    proved(
        "a token with 5 s",
        format_args!("the server had {by_channel} ms of it, then {by_interceptor} ms"),
    );
    Ok(())
}

async fn a_time(channel: &Channel, heard: &mut Heard) -> Result<(), Failure> {
    let token = Source::with_timeout(Duration::from_millis(300)).token();
    let mut client = client(channel, &token);
    let mut numbers = client.count(Span { milliseconds: 20 }).await?.into_inner();
    let mut counted = 0;
    let status = loop {
        match numbers.message().await {
            Ok(Some(number)) => counted = number.value,
            Ok(None) => return Err(trial::failure("the stream just ended")),
            Err(status) => break status,
        }
    };
    heard.begun().await?;
    assert!(counted > 0);
    assert_eq!(status.code(), Code::DeadlineExceeded);
    proved(
        "a stream of 300 ms",
        format_args!("had counted to {counted} when it ended with DEADLINE_EXCEEDED"),
    );
    Ok(())
}

async fn a_stop(channel: &Channel, heard: &mut Heard) -> Result<(), Failure> {
    let source = Source::new();
    let mut client = client(channel, &source.token());
    let hour = Span { milliseconds: 3_600_000 };
    let call = tokio::spawn(async move { client.wait(hour).await });
    heard.begun().await?;
    let stopped = std::time::Instant::now();
    source.cancel_with(Reason::Superseded);
    let Err(status) = call.await? else { return Err(trial::failure("it was answered")) };
    assert_eq!(status.code(), Code::Cancelled);
    assert_eq!(find_cancelled(&status).map(|why| why.reason()), Some(Reason::Superseded));
    let late = heard.disconnected(stopped).await?;
    proved(
        "a call stopped",
        format_args!("is CANCELLED, and the server heard `disconnected` {late:.1?} later"),
    );
    Ok(())
}

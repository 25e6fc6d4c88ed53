//! Calls of gRPC, over real sockets: with tonic's clients and without, on `serve` and on
//! tonic's own server.
#![cfg(all(feature = "axum", feature = "tonic"))]

mod common;
mod counting;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::routing::any;
use common::{Http2, Late, Probe, Said, Server, WHILE, in_time, next_of};
use counting::{CountingClient, Number, Span, framed, milliseconds, status_in};
use desist::{Reason, Source, Token, find_cancelled};
use desist_http::{Deadlines, Policy, RequestLayer, RequestToken, TokenChannel, TokenInterceptor};
use desist_tokio::StopSource;
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{IntervalStream, ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

/// A stream that does not heed its token has no more after its time.
const SOON: Policy = Policy::Cooperate { grace: WHILE };

fn asks() -> Deadlines {
    Deadlines::new().from_grpc()
}

async fn start() -> Server {
    let (app, said) = counting::app();
    Server::of(app, said, |serve| serve.deadlines(asks()).policy(SOON).grace(WHILE)).await
}

/// The same on tonic's own server, with the layer.
async fn start_tonic() -> Server {
    let (service, said) = counting::service();
    Server::of_other(said, |listener: TcpListener, stop: &StopSource| {
        let layer = RequestLayer::new(stop.stop()).deadlines(asks()).policy(SOON);
        let draining = stop.stop().draining().clone();
        let serves = tonic::transport::Server::builder().layer(layer).add_service(service);
        async move {
            let until = async move { drop(draining.cancelled().await) };
            let incoming = TcpListenerStream::new(listener);
            serves.serve_with_incoming_shutdown(incoming, until).await.unwrap();
        }
    })
    .await
}

async fn channel(addr: SocketAddr) -> Channel {
    Endpoint::try_from(format!("http://{addr}")).unwrap().connect().await.unwrap()
}

/// What a call ended with, of a client that keeps no time of its own: the status, and how
/// many messages it had.
async fn raw(addr: SocketAddr, method: &str, headers: &[(&str, &str)]) -> (String, usize) {
    let mut client = Http2::to(addr).await;
    let mut request = http::Request::post(format!("http://test/counting.Counting/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (answer, mut body) =
        client.requests.send_request(request.body(()).unwrap(), false).unwrap();
    let span = milliseconds(if method == "Count" { Duration::from_millis(10) } else { LONG });
    // It may have been refused by then.
    let _ = body.send_data(framed(&span), true);
    let answer = in_time(answer).await.unwrap();
    if let Some(status) = status_in(answer.headers()) {
        return (status, 0);
    }
    let mut body = answer.into_body();
    let mut messages = 0;
    while let Some(data) = next_of(&mut body).await {
        messages += usize::from(!data.unwrap().is_empty());
    }
    let trailers = in_time(body.trailers()).await.unwrap().expect("a status");
    (status_in(&trailers).unwrap(), messages)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_bounds_calls_and_streams() {
    let mut server = start().await;
    for method in ["Wait", "Count"] {
        let begin = Instant::now();
        let (status, messages) = raw(server.addr, method, &[("grpc-timeout", "1000m")]).await;
        assert_eq!(status, "4", "{method}");
        assert!(begin.elapsed() >= WHILE, "{method}");
        assert_eq!(messages > 0, method == "Count");
        server.hears(Said::Begun).await;
        let end = if method == "Wait" { Said::Finished } else { Said::Dropped };
        server.hears_all([Said::Told(Reason::Deadline), end]).await;
    }
    // Of these nobody keeps track in tonic.
    let (status, _) = raw(server.addr, "Count", &[("grpc-timeout", "0n")]).await;
    assert_eq!(status, "4");
    server.hears_nothing().await;
}

/// There, too; but tonic itself ends unary calls when their time is over, as `CANCELLED`,
/// when its timer is the first.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_bounds_calls_and_streams_of_tonics_own_server() {
    let mut server = start_tonic().await;
    for method in ["Wait", "Count"] {
        let begin = Instant::now();
        let (status, _) = raw(server.addr, method, &[("grpc-timeout", "1000m")]).await;
        assert!(status == "4" || status == "1" && method == "Wait", "{method}: {status}");
        assert!(begin.elapsed() >= WHILE, "{method}");
        server.hears(Said::Begun).await;
        let end = if method == "Wait" { Said::Finished } else { Said::Dropped };
        server.hears_all([Said::Told(Reason::Deadline), end]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_time_is_ignored_or_refused() {
    let (app, said) = counting::app();
    let refusing = Server::of(app, said, |serve| serve.deadlines(asks().refuse_malformed())).await;
    let (app, said) = counting::app();
    let capped = asks().otherwise(WHILE).at_most(WHILE);
    let ignoring = Server::of(app, said, |serve| serve.deadlines(capped)).await;
    for nonsense in ["5", "-1S", "soon", "123456789S", ""] {
        let (status, _) = raw(refusing.addr, "Wait", &[("grpc-timeout", nonsense)]).await;
        assert_eq!(status, "13", "{nonsense}");
        let (status, _) = raw(ignoring.addr, "Wait", &[("grpc-timeout", nonsense)]).await;
        assert_eq!(status, "4", "{nonsense}");
    }
    // And what is too much is cut down, and what is not said is the server's.
    for headers in [&[("grpc-timeout", "99999999H")][..], &[]] {
        let (status, _) = raw(ignoring.addr, "Wait", headers).await;
        assert_eq!(status, "4");
    }
}

/// By whichever server.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_the_client_reaches_the_server() {
    for mut server in [start().await, start_tonic().await] {
        let channel = channel(server.addr).await;
        let source = Source::new();
        let mut client = CountingClient::new(TokenChannel::new(channel.clone(), &source.token()));
        let mut other = client.clone();
        let wait = tokio::spawn(async move { other.wait(milliseconds(LONG)).await.map(drop) });
        server.hears(Said::Begun).await;
        let mut count = in_time(client.count(milliseconds(Duration::from_millis(5)))).await;
        let count = count.as_mut().unwrap().get_mut();
        server.hears(Said::Begun).await;
        for value in 1..=3 {
            assert_eq!(in_time(count.message()).await.unwrap(), Some(Number { value }));
        }
        source.cancel_with(Reason::Superseded);
        for status in [end_of(count).await, in_time(wait).await.unwrap().unwrap_err()] {
            assert_eq!(status.code(), Code::Cancelled);
            assert_eq!(find_cancelled(&status).unwrap().reason(), Reason::Superseded);
        }
        let told = Said::Told(Reason::Disconnected);
        server.hears_all([told, told, Said::Finished, Said::Dropped]).await;
        // The channel is as good as new.
        let mut client = CountingClient::new(TokenChannel::new(channel, &Token::never()));
        in_time(client.wait(milliseconds(Duration::ZERO))).await.unwrap();
    }
}

/// What is sent is broken off, too, and does not look like all of it: there hyper's own
/// body of a stream that is reset just ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_what_a_client_sends_reaches_the_server() {
    let mut server = start().await;
    let source = Source::new();
    let channel = TokenChannel::new(channel(server.addr).await, &source.token());
    let numbers = IntervalStream::new(tokio::time::interval(Duration::from_millis(5)));
    let numbers = numbers.map(|_| Number { value: 1 });
    let mut client = CountingClient::new(channel);
    let sum = tokio::spawn(async move { client.sum(numbers).await.map(drop) });
    server.hears(Said::Begun).await;
    source.cancel_with(Reason::Superseded);
    let status = in_time(sum).await.unwrap().unwrap_err();
    assert_eq!(find_cancelled(&status).unwrap().reason(), Reason::Superseded);
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
}

/// The answer has begun, and the request has not ended.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_is_reset_by_a_stop_and_by_its_end() {
    let (probe, said) = Probe::new();
    let gives_back = any(async move |token: RequestToken, request: axum::extract::Request| {
        probe.say(Said::Begun);
        probe.watches(&token);
        let body = request.into_body();
        axum::response::Response::builder()
            .header("content-type", "application/grpc")
            .body(body)
            .unwrap()
    });
    let app = axum::Router::new().route("/test/GivesBack", gives_back);
    let mut server = Server::of(app, said, |serve| serve).await;
    for goes in ["by a stop", "by its time", "dropped"] {
        let source = Source::new();
        if goes == "by its time" {
            source.cancel_after(WHILE);
        }
        let channel = TokenChannel::new(channel(server.addr).await, &source.token());
        let mut client = tonic::client::Grpc::new(channel);
        in_time(client.ready()).await.unwrap();
        let (sends, sent) = tokio::sync::mpsc::channel(4);
        sends.send(Number { value: 7 }).await.unwrap();
        let request = Request::new(ReceiverStream::new(sent));
        let path = http::uri::PathAndQuery::from_static("/test/GivesBack");
        let codec = tonic_prost::ProstCodec::<Number, Number>::default();
        let answer = in_time(client.streaming(request, path, codec)).await.unwrap();
        let mut numbers = answer.into_inner();
        assert_eq!(in_time(numbers.message()).await.unwrap(), Some(Number { value: 7 }));
        server.hears(Said::Begun).await;
        match goes {
            "dropped" => drop(numbers),
            _ => {
                if goes == "by a stop" {
                    source.cancel();
                }
                assert!(find_cancelled(&end_of(&mut numbers).await).is_some(), "{goes}");
            }
        }
        server.hears(Said::Told(Reason::Disconnected)).await;
        in_time(sends.closed()).await;
    }
}

/// Whoever waits for a permit holds none of it once it is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_stopped_holds_nobody_up() {
    let mut server = start().await;
    let channel = tower::limit::ConcurrencyLimit::new(channel(server.addr).await, 1);
    let (first, second) = (Source::new(), Source::new());
    let mut holds = CountingClient::new(TokenChannel::new(channel.clone(), &first.token()));
    let mut waits = CountingClient::new(TokenChannel::new(channel.clone(), &second.token()));
    let holding = tokio::spawn(async move { holds.wait(milliseconds(LONG)).await.map(drop) });
    server.hears(Said::Begun).await;
    let hour = milliseconds(LONG);
    let stops = async {
        server.hears_nothing().await;
        second.cancel();
    };
    let (stopped, ()) = tokio::join!(waits.wait(hour), stops);
    assert!(find_cancelled(&stopped.unwrap_err()).is_some());
    first.cancel();
    assert!(in_time(holding).await.unwrap().is_err());
    // It is still there, and has nothing.
    let mut third = CountingClient::new(TokenChannel::new(channel, &Token::never()));
    in_time(third.wait(milliseconds(Duration::ZERO))).await.unwrap();
    assert!(in_time(waits.wait(hour)).await.is_err());
}

/// What tonic's timer, or the server, says when the time is over is the token's to say.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_of_a_time_that_is_over_is_said_by_the_token() {
    for streams in [false, true] {
        let mut server = start().await;
        let late = Late::new();
        let channel = TokenChannel::new(channel(server.addr).await, &late.source.token());
        let mut client = CountingClient::new(channel);
        let call = if streams {
            let numbers = client.count(milliseconds(Duration::from_millis(5)));
            let mut numbers = in_time(numbers).await.unwrap().into_inner();
            assert!(in_time(numbers.message()).await.unwrap().is_some());
            tokio::spawn(async move { end_of(&mut numbers).await })
        } else {
            tokio::spawn(async move { client.wait(milliseconds(LONG)).await.unwrap_err() })
        };
        server.hears(Said::Begun).await;
        late.is_over();
        server.stop.cancel();
        server.hears(Said::Told(Reason::Shutdown)).await;
        assert!(server.ends().await.is_some());
        let status = in_time(call).await.unwrap();
        assert!(!late.source.is_cancelled(), "nobody waits until it is");
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        assert_eq!(find_cancelled(&status).unwrap().reason(), Reason::Deadline);
    }
}

/// The status that a stream ends with.
async fn end_of(stream: &mut Streaming<Number>) -> Status {
    loop {
        match in_time(stream.message()).await {
            Ok(number) => assert!(number.is_some(), "it must not look like an end"),
            Err(status) => return status,
        }
    }
}

/// Not as `CANCELLED`, as tonic's own client says it, and streams, too.
#[tokio::test(flavor = "multi_thread")]
async fn time_that_is_over_is_said_as_such() {
    for mut server in [start().await, start_tonic().await] {
        let channel = channel(server.addr).await;
        // What is left to the token, or what the request says of itself.
        for (own, time) in [(false, Some(WHILE * 2)), (true, None), (true, Some(LONG))] {
            let source = time.map_or_else(Source::new, Source::with_timeout);
            let request = |time| {
                let mut request = Request::new(milliseconds(time));
                if own {
                    request.set_timeout(WHILE);
                }
                request
            };
            let mut client =
                CountingClient::new(TokenChannel::new(channel.clone(), &source.token()));
            let begin = Instant::now();
            let mut count = in_time(client.count(request(Duration::from_millis(5)))).await;
            let count = count.as_mut().unwrap().get_mut();
            let unary = in_time(client.wait(request(LONG))).await.unwrap_err();
            assert!(begin.elapsed() >= WHILE);
            let counted = end_of(count).await;
            for status in [unary, counted] {
                assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
                assert_eq!(find_cancelled(&status).unwrap().reason(), Reason::Deadline);
            }
            assert_eq!(source.is_cancelled(), !own);
            hears_of_two_whose_time_is_over(&mut server).await;
        }
    }
}

/// A client that sees the end of its time may be gone before the server does.
async fn hears_of_two_whose_time_is_over(server: &mut Server) {
    let mut heard = Vec::new();
    while heard.len() < 6 {
        heard.push(match in_time(server.said.recv()).await.unwrap() {
            Said::Told(Reason::Disconnected) => Said::Told(Reason::Deadline),
            said => said,
        });
    }
    let count = |said| heard.iter().filter(|heard| **heard == said).count();
    assert_eq!((count(Said::Begun), count(Said::Told(Reason::Deadline))), (2, 2), "{heard:?}");
    assert_eq!((count(Said::Finished), count(Said::Dropped)), (1, 1), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channels_own_time_is_time_as_well() {
    let server = start().await;
    let endpoint = Endpoint::try_from(format!("http://{}", server.addr)).unwrap().timeout(WHILE);
    let channel = endpoint.connect().await.unwrap();
    let mut client = CountingClient::new(TokenChannel::new(channel, &Token::never()));
    let status = in_time(client.wait(milliseconds(LONG))).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(find_cancelled(&status).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_is_unavailable() {
    let mut server = start().await;
    let mut client = CountingClient::new(channel(server.addr).await);
    let wait = tokio::spawn(async move { client.wait(milliseconds(LONG)).await.map(drop) });
    server.hears(Said::Begun).await;
    server.stop.cancel();
    server.hears(Said::Told(Reason::Shutdown)).await;
    assert_eq!(in_time(wait).await.unwrap().unwrap_err().code(), Code::Unavailable);
    server.hears(Said::Finished).await;
    assert!(server.ends().await.is_some());
}

async fn left_of(
    call: impl Future<Output = Result<tonic::Response<counting::Left>, Status>>,
) -> u64 {
    in_time(call).await.unwrap().into_inner().milliseconds.expect("a time")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_remaining_time_is_sent_on() {
    let server = start().await;
    let channel = channel(server.addr).await;
    let minute = Source::with_timeout(Duration::from_secs(60)).token();
    let wait = || milliseconds(Duration::ZERO);
    let by_both = || {
        let channel = TokenChannel::new(channel.clone(), &minute);
        CountingClient::with_interceptor(channel, TokenInterceptor::new(&minute))
    };
    let by_interceptor =
        || CountingClient::with_interceptor(channel.clone(), TokenInterceptor::new(&minute));
    let by_channel = || CountingClient::new(TokenChannel::new(channel.clone(), &minute));
    for left in [
        left_of(by_channel().wait(wait())).await,
        left_of(by_interceptor().wait(wait())).await,
        left_of(by_both().wait(wait())).await,
    ] {
        assert!((50_000..=60_000).contains(&left), "{left}");
    }
    let with = |time| {
        let mut request = Request::new(wait());
        request.set_timeout(Duration::from_secs(time));
        request
    };
    for (less, more) in [
        (left_of(by_channel().wait(with(30))).await, left_of(by_channel().wait(with(90))).await),
        (
            left_of(by_interceptor().wait(with(30))).await,
            left_of(by_interceptor().wait(with(90))).await,
        ),
    ] {
        assert!((20_000..=30_000).contains(&less), "{less}");
        assert!((50_000..=60_000).contains(&more), "{more}");
    }
    let mut client = CountingClient::new(TokenChannel::new(channel.clone(), &Token::never()));
    assert_eq!(client.wait(wait()).await.unwrap().into_inner().milliseconds, None);
    // And nothing begins that was stopped.
    let stopped = TokenInterceptor::new(&Token::cancelled_with(Reason::Shutdown));
    let mut client = CountingClient::with_interceptor(channel, stopped);
    assert_eq!(client.wait(wait()).await.unwrap_err().code(), Code::Unavailable);
}

/// What holds it up, there or before.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_its_turn_is_stopped() {
    let mut server = start().await;
    let channel = tower::limit::ConcurrencyLimit::new(channel(server.addr).await, 1);
    let first = Source::new();
    let second = Source::new();
    let mut holds = CountingClient::new(TokenChannel::new(channel.clone(), &first.token()));
    let mut waits = CountingClient::new(TokenChannel::new(channel, &second.token()));
    let holding = tokio::spawn(async move { holds.wait(milliseconds(LONG)).await.map(drop) });
    server.hears(Said::Begun).await;
    let waiting = tokio::spawn(async move { waits.wait(milliseconds(LONG)).await.map(drop) });
    server.hears_nothing().await;
    second.cancel();
    let status = in_time(waiting).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    assert!(find_cancelled(&status).is_some());
    first.cancel();
    assert!(find_cancelled(&in_time(holding).await.unwrap().unwrap_err()).is_some());
}

#[tokio::test]
async fn a_call_without_a_token_says_what_is_missing() {
    let (service, _said) = counting::service();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serves = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(serves.serve_with_incoming(TcpListenerStream::new(listener)));
    let mut client = CountingClient::new(channel(addr).await);
    let status = in_time(client.wait(Span::default())).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("put a RequestLayer around it"), "{status}");
}

//! Requests, as long as nobody has answered them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::apps::{clients, pours, start, start_breaking, url};
use crate::common::{Late, Said, WHILE, in_time};
use axum::response::IntoResponse;
use desist::{Reason, Source, Token, find_cancelled};
use desist_http::{SendError, SendWith};
use http::HeaderName;
use reqwest::Client;
use reqwest::dns::{Name, Resolve, Resolving};
use tokio::sync::Notify;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_reaches_the_server_behind() {
    let mut server = start().await;
    for client in clients() {
        for path in ["/heeds", "/waits"] {
            let source = Source::new();
            let sending = client.get(url(&server, path)).send_with(&source.token());
            let sending = tokio::spawn(sending);
            server.hears(Said::Begun).await;
            source.cancel_with(Reason::Superseded);
            let error = in_time(sending).await.unwrap().unwrap_err();
            assert_eq!(error.cancelled().unwrap().reason(), Reason::Superseded);
            assert!(!error.is_timeout() && error.failure().is_none());
            if path == "/heeds" {
                server.hears(Said::Told(Reason::Disconnected)).await;
                server.hears(Said::Finished).await;
            } else {
                server.hears(Said::Dropped).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_stopped_reaches_the_server_behind() {
    let mut server = start().await;
    for client in clients() {
        let source = Source::new();
        let upload = client.post(url(&server, "/reads")).body(reqwest::Body::wrap_stream(pours()));
        let sending = tokio::spawn(upload.send_with(&source.token()));
        server.hears(Said::Begun).await;
        source.cancel();
        assert!(in_time(sending).await.unwrap().unwrap_err().cancelled().is_some());
        server.hears(Said::Told(Reason::Disconnected)).await;
        server.hears(Said::Finished).await;
    }
}

/// The token's time, the request's own, and a client's are times; a stop is none.
#[tokio::test(flavor = "multi_thread")]
async fn time_that_is_over_is_told_from_a_stop_and_from_failure() {
    let breaks = Arc::new(Notify::new());
    let mut server = start_breaking(Arc::clone(&breaks)).await;
    for client in clients() {
        let begin = Instant::now();
        let source = Source::with_timeout(WHILE);
        let late = client.get(url(&server, "/holds")).send_with(&source.token());
        let late = in_time(late.says_nothing()).await.unwrap_err();
        assert!(late.is_timeout() && begin.elapsed() >= WHILE);
        assert_eq!(late.cancelled().unwrap().reason(), Reason::Deadline);
        server.hears(Said::Begun).await;
        server.hears(Said::Told(Reason::Disconnected)).await;
        server.hears(Said::Finished).await;

        let own = client.get(url(&server, "/holds")).timeout(WHILE);
        let own = in_time(own.send_with(&Token::never()).says_nothing()).await.unwrap_err();
        assert!(own.is_timeout() && own.cancelled().is_none());
        assert!(own.to_string().starts_with("no answer of 127.0.0.1:"), "{own}");
        server.hears(Said::Begun).await;
        server.hears(Said::Told(Reason::Disconnected)).await;
        server.hears(Said::Finished).await;

        let broken = client.get(url(&server, "/breaks")).send_with(&Token::never());
        let broken = in_time(broken).await.unwrap();
        breaks.notify_one();
        let broken = in_time(broken.text()).await.unwrap_err();
        let broken = SendError::from(broken);
        assert!(broken.cancelled().is_none() && !broken.is_timeout());
        assert!(broken.to_string().contains("was broken off"), "{broken}");
    }
    let answer = |error: SendError| error.into_response().status().as_u16();
    let nobody = async |token: &Token| {
        let [client, _] = clients();
        client.get("http://127.0.0.1:1/").send_with(token).await.unwrap_err()
    };
    assert_eq!(answer(nobody(&Token::never()).await), 502);
    assert_eq!(answer(nobody(&Token::cancelled_with(Reason::Deadline)).await), 504);
    assert_eq!(answer(nobody(&Token::cancelled_with(Reason::Shutdown)).await), 503);
    let own = clients()[0].get(url(&server, "/holds")).timeout(WHILE / 10);
    assert_eq!(answer(own.send_with(&Token::never()).await.unwrap_err()), 504);
    let nonsense = Client::new().get("no url").send_with(&Token::never()).await.unwrap_err();
    assert!(nonsense.to_string().starts_with("this is no request"), "{nonsense}");
}

/// A name that is not found, whose search stops what it is for.
struct Stops(Source);

impl Resolve for Stops {
    fn resolve(&self, _: Name) -> Resolving {
        let source = self.0.clone();
        Box::pin(async move {
            source.cancel_with(Reason::Superseded);
            Err("there is no such name".into())
        })
    }
}

#[tokio::test]
async fn what_fails_after_the_stop_is_its_consequence() {
    let source = Source::new();
    let client =
        Client::builder().no_proxy().dns_resolver(Arc::new(Stops(source.clone()))).build().unwrap();
    let sending = client.get("http://nowhere.test/").send_with(&source.token());
    let error = in_time(sending).await.unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Superseded);
    // And otherwise it is what it is.
    let sending = client.get("http://nowhere.test/").send_with(&Token::never());
    let error = in_time(sending).await.unwrap_err();
    assert!(error.failure().unwrap().is_connect() && error.cancelled().is_none());
    assert!(error.to_string().contains("no connection to nowhere.test:80"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_token_is_cancelled_is_not_sent() {
    let mut server = start().await;
    let token = Token::cancelled_with(Reason::Overload);
    for client in clients() {
        let sending = client.get(url(&server, "/heeds")).send_with(&token);
        let error = in_time(sending).await.unwrap_err();
        assert_eq!(error.cancelled().unwrap().reason(), Reason::Overload);
    }
    server.hears_nothing().await;
}

/// Says how many milliseconds it says.
async fn said_of(sending: desist_http::Sending) -> (String, u64) {
    let text = in_time(in_time(sending).await.unwrap().text()).await.unwrap();
    let (name, value) = text.split_once(": ").unwrap_or_else(|| panic!("{text:?}"));
    (name.into(), value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_how_long_there_is() {
    const OTHER: HeaderName = HeaderName::from_static("x-other-ms");
    let server = start().await;
    let minute = Source::with_timeout(Duration::from_secs(60)).token();
    for client in clients() {
        let get = || client.get(url(&server, "/left"));
        for (sending, least, most) in [
            (get().send_with(&minute), 50_000, 60_000),
            // The least of all that there is.
            (get().timeout(Duration::from_secs(30)).send_with(&minute), 30_000, 30_000),
            (get().timeout(Duration::from_secs(90)).send_with(&minute), 50_000, 60_000),
            (get().timeout(Duration::from_secs(40)).send_with(&Token::never()), 40_000, 40_000),
            (get().header("x-request-timeout-ms", "9000").send_with(&minute), 9000, 9000),
            (get().header("x-request-timeout-ms", "600000").send_with(&minute), 50_000, 60_000),
            (get().header("x-request-timeout-ms", "soon").send_with(&minute), 50_000, 60_000),
            // Through a redirect, too.
            (client.get(url(&server, "/moved")).send_with(&minute), 50_000, 60_000),
        ] {
            let (name, said) = said_of(sending).await;
            assert_eq!(name, "x-request-timeout-ms");
            assert!((least..=most).contains(&said), "{said} is not in {least}..={most}");
        }
        assert_eq!(said_of(get().send_with(&minute).says_in(OTHER)).await.0, "x-other-ms");
        for nothing in [get().send_with(&minute).says_nothing(), get().send_with(&Token::never())] {
            assert_eq!(in_time(in_time(nothing).await.unwrap().text()).await.unwrap(), "");
        }
    }
}

/// However late it is polled.
#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_is_left_when_it_is_sent() {
    let server = start().await;
    let source = Source::with_timeout(LONG);
    let [client, _] = clients();
    let sending = client.get(url(&server, "/left")).send_with(&source.token());
    source.cancel_after(Duration::from_secs(30));
    assert!(said_of(sending).await.1 <= 30_000);
}

/// The server behind may be the first to see it, by a millisecond or two.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_of_a_time_that_is_over_is_said_by_the_token() {
    let breaks = Arc::new(Notify::new());
    let server = start_breaking(Arc::clone(&breaks)).await;
    for client in clients() {
        // A server that says so.
        let late = Late::new();
        let mut sending = client.get(url(&server, "/late")).send_with(&late.source.token());
        sent(&mut sending).await;
        late.is_over();
        breaks.notify_one();
        is_deadline(&late, sending).await;
        // One that goes.
        let late = Late::new();
        let mut sending = client.get(url(&server, "/goes")).send_with(&late.source.token());
        sent(&mut sending).await;
        late.is_over();
        breaks.notify_one();
        is_deadline(&late, sending).await;
        // Nothing is sent that had no time.
        let late = Late::new();
        late.is_over();
        is_deadline(&late, client.get("http://127.0.0.1:1/").send_with(&late.source.token())).await;
        // A body that breaks off.
        let late = Late::new();
        let sending = client.get(url(&server, "/breaks")).send_with(&late.source.token());
        let mut answer = in_time(sending).await.unwrap();
        assert!(in_time(answer.chunk()).await.unwrap().is_some());
        late.is_over();
        breaks.notify_one();
        let error = in_time(answer.text()).await.unwrap_err();
        assert_eq!(find_cancelled(&error).unwrap().reason(), Reason::Deadline);
    }
}

/// It is on its way when it is polled.
async fn sent(sending: &mut desist_http::Sending) {
    let polled = tokio::time::timeout(WHILE, sending).await;
    assert!(polled.is_err(), "{polled:?}");
}

/// Nobody waits until the token is told, which may have more time by then.
async fn is_deadline(late: &Late, sending: desist_http::Sending) {
    let error = in_time(sending).await.unwrap_err();
    assert!(!late.source.is_cancelled());
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
}

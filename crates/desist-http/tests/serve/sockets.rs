//! WebSockets on HTTP/2: streams of one connection, each of which lives for itself.

use bytes::Bytes;
use desist::Reason;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::io::AsyncWriteExt;

use crate::common::{Http2, PATIENCE, Said, Server, TcpServe, WHILE, frames, next_of};
use crate::streams::{server, server_with};

struct Socket {
    sends: SendStream<Bytes>,
    reads: RecvStream,
}

impl Socket {
    async fn on(connection: &mut Http2, server: &mut Server) -> Self {
        Self::at("/socket", connection, server).await
    }

    async fn at(path: &str, connection: &mut Http2, server: &mut Server) -> Self {
        // With an answer the client has what the server says of itself.
        let (answer, _) = connection.request("GET", "/nowhere", true);
        assert_eq!(answer.await.unwrap().status(), 404);
        assert!(connection.requests.is_extended_connect_protocol_enabled());
        let request = Request::builder()
            .method("CONNECT")
            .uri(format!("http://test{path}"))
            .header("sec-websocket-version", "13")
            .extension(Protocol::from_static("websocket"))
            .body(())
            .unwrap();
        let (answer, sends) = connection.requests.send_request(request, false).unwrap();
        let answer = tokio::time::timeout(PATIENCE, answer).await.expect("an answer").unwrap();
        assert_eq!(answer.status(), 200);
        server.hears(Said::Begun).await;
        Self { sends, reads: answer.into_body() }
    }

    /// A message of text and its echo; a client's is masked, here with zeros.
    async fn is_echoed(&mut self, text: &str) {
        let length = u8::try_from(text.len()).unwrap();
        let mut message = vec![0x81, 0x80 | length, 0, 0, 0, 0];
        message.extend(text.bytes());
        self.sends.send_data(message.into(), false).unwrap();
        let mut read = Vec::new();
        while !read.ends_with(text.as_bytes()) {
            read.extend(next_of(&mut self.reads).await.expect("an echo").unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_on_a_stream_is_told_and_waited_for() {
    let mut server = server(true).await;
    let mut connection = Http2::to(server.addr).await;
    let mut socket = Socket::on(&mut connection, &mut server).await;
    server.stop.drain();
    server.hears_nothing().await;
    assert!(!server.has_ended(), "it is waited for");
    socket.is_echoed("while it drains").await;
    server.stop.cancel_with(Reason::Shutdown);
    server.hears(Said::Told(Reason::Shutdown)).await;
    server.hears(Said::Finished).await;
    assert!(server.ends().await.unwrap().is_clean());
    // On axum its server waits for it, and nobody tells it.
    let mut server = self::server(false).await;
    let mut connection = Http2::to(server.addr).await;
    let mut socket = Socket::on(&mut connection, &mut server).await;
    server.stop.drain();
    server.does_not_end().await;
    socket.is_echoed("while it drains").await;
    server.hears_nothing().await;
    drop(socket);
    server.hears(Said::Finished).await;
    server.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_on_a_stream_that_goes_is_told() {
    for ours in [true, false] {
        for goes in [true, false] {
            let mut server = server(ours).await;
            let mut connection = Http2::to(server.addr).await;
            let socket = Socket::on(&mut connection, &mut server).await;
            if goes {
                connection.goes().await;
                ends_without_peer(&mut server, 1).await;
            } else {
                // Dropped, its stream is reset.
                drop(socket);
                ends_without_peer(&mut server, 1).await;
                drop(connection);
            }
        }
    }
}

/// By their streams or by their tokens, whichever they look at first.
async fn ends_without_peer(server: &mut Server, sockets: usize) {
    let mut finished = 0;
    while finished < sockets {
        let said = tokio::time::timeout(PATIENCE, server.said.recv()).await;
        match said.expect("somebody ends").unwrap() {
            Said::Told(Reason::Disconnected) => {}
            Said::Finished => finished += 1,
            said => panic!("{said:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_web_sockets_on_one_connection_are_both_told_and_waited_for() {
    let mut server = server(true).await;
    let mut connection = Http2::to(server.addr).await;
    let mut first = Socket::on(&mut connection, &mut server).await;
    let mut second = Socket::on(&mut connection, &mut server).await;
    server.hears_nothing().await;
    server.stop.drain();
    server.hears_nothing().await;
    assert!(!server.has_ended(), "they are waited for");
    first.is_echoed("the first").await;
    second.is_echoed("the second").await;
    server.stop.cancel_with(Reason::Shutdown);
    let told = Said::Told(Reason::Shutdown);
    server.hears_all([told, told, Said::Finished, Said::Finished]).await;
    assert!(server.ends().await.unwrap().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_that_ends_by_itself_does_not_end_the_other() {
    for last_ends in [false, true] {
        for ours in [true, false] {
            let mut server = server(ours).await;
            let mut connection = Http2::to(server.addr).await;
            let mut stays = Socket::on(&mut connection, &mut server).await;
            let mut ends = Socket::on(&mut connection, &mut server).await;
            if !last_ends {
                std::mem::swap(&mut stays, &mut ends);
            }
            ends.sends.send_data(Bytes::new(), true).unwrap();
            server.hears(Said::Finished).await;
            server.hears_nothing().await;
            stays.is_echoed("still here").await;
            if ours {
                server.stop.cancel_with(Reason::Shutdown);
                server.hears(Said::Told(Reason::Shutdown)).await;
                server.hears(Said::Finished).await;
                assert!(server.ends().await.unwrap().is_clean());
            }
        }
    }
}

/// Also those that read nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_goes_tells_both_of_its_web_sockets() {
    for ours in [true, false] {
        let mut server = server(ours).await;
        let mut connection = Http2::to(server.addr).await;
        let _first = Socket::at("/quiet", &mut connection, &mut server).await;
        let _second = Socket::at("/quiet", &mut connection, &mut server).await;
        server.hears_nothing().await;
        connection.goes().await;
        if ours {
            let told = Said::Told(Reason::Disconnected);
            server.hears_all([told, told, Said::Finished, Said::Finished]).await;
        } else {
            server.hears_nothing().await;
        }
    }
}

/// Three on one connection, of which that one ends by itself: what the server names that
/// has given up waiting.
async fn named_of_three(ends: Option<usize>) -> Vec<String> {
    let set_up = |serve: TcpServe| serve.drain_for(WHILE).grace(WHILE);
    let mut server = server_with(true, set_up).await;
    let mut connection = Http2::to(server.addr).await;
    let mut sockets = Vec::new();
    for number in 0..3 {
        let path = if Some(number) == ends { "/socket" } else { "/deaf" };
        sockets.push(Socket::at(path, &mut connection, &mut server).await);
    }
    if let Some(ends) = ends {
        sockets[ends].sends.send_data(Bytes::new(), true).unwrap();
        server.hears(Said::Finished).await;
    }
    server.stop.drain();
    let report = server.ends().await.unwrap();
    report.running().iter().map(|running| running.route().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_web_sockets_of_a_connection_that_do_not_end_are_named() {
    assert_eq!(named_of_three(None).await, ["/deaf"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_that_has_ended_is_not_named_beside_others_that_have_not() {
    for ends in 0..3 {
        assert_eq!(named_of_three(Some(ends)).await, ["/deaf"; 2], "the one that ended: {ends}");
    }
}

/// hyper tells nobody of these: the client breaks the protocol, or closes where half a
/// connection is as good as a whole one.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_whose_connection_the_server_ends_is_told() {
    for (half_close, last) in [(false, frames::frame(frames::DATA, 0, 0, b"x")), (true, vec![])] {
        let mut server = server_with(true, |serve| serve.half_close(half_close)).await;
        let mut client = server.connect().await;
        client.send(frames::hello()).await;
        client.send(frames::connect(1, "/quiet")).await;
        server.hears(Said::Begun).await;
        if half_close {
            client.stream.shutdown().await.unwrap();
        } else {
            client.send(last).await;
        }
        server.hears(Said::Told(Reason::Disconnected)).await;
        server.hears(Said::Finished).await;
        client.reads_to_the_end().await;
        server.stop.drain();
        assert!(server.ends().await.unwrap().is_clean());
    }
}

//! What servers are doing now, as whoever has the handle sees it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{any, get};
use desist::Reason;
use desist_http::{InFlight, Policy, PolicyLayer, RequestToken, Running};
use desist_tokio::StopSource;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::common::{
    Client, HANDSHAKE, Http2, PATIENCE, Probe, Said, Server, TcpServe, frames, in_time, until,
};
use crate::streams;

/// Behind which jobs wait, each behind that of its number.
#[derive(Clone)]
struct Doors(Arc<[Semaphore; 10]>);

impl Doors {
    fn open(&self, number: usize) {
        self.0[number].add_permits(1);
    }
}

/// It goes on until it is let go, whatever it is told.
async fn job(
    State((probe, doors)): State<(Probe, Doors)>,
    Path(number): Path<usize>,
    _token: RequestToken,
) -> &'static str {
    let handler = probe.begin();
    doors.0[number].acquire().await.unwrap().forget();
    handler.finish();
    "done"
}

/// Nobody has to hurry without his client.
fn set_up(in_flight: &InFlight) -> impl FnOnce(TcpServe) -> TcpServe {
    let policy = Policy::Cooperate { grace: PATIENCE * 3 };
    move |serve| serve.policy(policy).drain_for(PATIENCE * 3).in_flight(in_flight)
}

/// A server of jobs, and what they wait for.
async fn server(in_flight: &InFlight) -> (Server, Doors) {
    let (probe, said) = Probe::new();
    let doors = Doors(Arc::new(std::array::from_fn(|_| Semaphore::new(0))));
    let app = Router::new()
        .route("/jobs/{id}", any(job))
        .route("/detached/{id}", get(job).route_layer(PolicyLayer::new(Policy::Detach)))
        .route("/quick", get(|| async { "quick" }))
        .with_state((probe, doors.clone()));
    (Server::of(app, said, set_up(in_flight)).await, doors)
}

fn peer(client: &Client) -> String {
    client.stream.local_addr().unwrap().to_string()
}

fn peers(running: &[Running]) -> Vec<&str> {
    running.iter().map(|request| request.peer().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_runs_is_told_by_its_route_until_it_has_ended() {
    let in_flight = InFlight::new();
    let (mut server, doors) = server(&in_flight).await;
    assert!(in_flight.is_empty() && in_flight.running().is_empty());
    let mut idle = server.connect().await;
    idle.get("/quick").await;
    idle.reads("quick").await;
    until(|| in_flight.is_empty()).await;

    let sent = Instant::now();
    let mut client = server.begins("/jobs/7").await;
    let begun = Instant::now();
    let before = begun.elapsed();
    let running = in_flight.running();
    let [request] = &running[..] else { panic!("{running:?}") };
    assert_eq!((request.method().as_str(), request.route()), ("GET", "/jobs/{id}"));
    assert_eq!(request.peer(), Some(&*peer(&client)));
    assert!(request.age() >= before && request.age() <= sent.elapsed(), "{:?}", request.age());
    assert!(!request.is_rescued() && request.told().is_none() && request.told_ago().is_none());
    assert_eq!((in_flight.len(), in_flight.is_empty(), in_flight.rescued()), (1, false, 0));
    assert!(in_flight.running()[0].age() > request.age(), "it goes on");
    assert_eq!(format!("{in_flight:?}"), "InFlight { len: 1, .. }");

    doors.open(7);
    client.reads("done").await;
    until(|| in_flight.is_empty()).await;
    assert!(in_flight.running().is_empty());
    // Its connection is there, and so is the one that was idle all the time.
    for mut client in [client, idle] {
        client.get("/jobs/8").await;
        server.hears_all([Said::Finished, Said::Begun]).await;
        assert_eq!(peers(&in_flight.running()), [peer(&client)]);
        doors.open(8);
        client.reads("done").await;
        until(|| in_flight.is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_goes_on_without_its_client_is_told_as_such() {
    let in_flight = InFlight::new();
    let (mut server, doors) = server(&in_flight).await;
    let _stays = server.begins("/jobs/1").await;
    let leaves = server.begins("/jobs/2").await;
    assert_eq!((in_flight.len(), in_flight.rescued()), (2, 0));
    let left = Instant::now();
    drop(leaves);
    until(|| in_flight.rescued() == 1).await;
    let running = in_flight.running();
    let [stays, goes_on] = &running[..] else { panic!("{running:?}") };
    assert!(!stays.is_rescued() && stays.told().is_none(), "{stays:?}");
    assert!(goes_on.is_rescued(), "{goes_on:?}");
    assert_eq!(goes_on.told().unwrap().reason(), Reason::Disconnected);
    let ago = goes_on.told_ago().unwrap();
    assert!(ago <= left.elapsed(), "{goes_on:?}");
    assert!(in_flight.running()[1].told_ago().unwrap() > ago, "it was told once");

    // This one is not told at all.
    drop(server.begins("/detached/3").await);
    until(|| in_flight.rescued() == 2).await;
    let detached = &in_flight.running()[2];
    assert_eq!(detached.route(), "/detached/{id}");
    assert!(detached.is_rescued() && detached.told().is_none(), "{detached:?}");

    (1..=3).for_each(|number| doors.open(number));
    server.hears_all([Said::Finished; 3]).await;
    until(|| in_flight.is_empty()).await;
    assert_eq!(in_flight.rescued(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requests_of_one_connection_are_each_told() {
    let in_flight = InFlight::new();
    let (mut server, doors) = server(&in_flight).await;
    let mut client = Http2::to(server.addr).await;
    let (first, _) = client.request("GET", "/jobs/1", true);
    server.hears(Said::Begun).await;
    let (second, mut resets) = client.request("POST", "/jobs/2", true);
    server.hears(Said::Begun).await;
    let (third, _) = client.request("PUT", "/jobs/3", true);
    server.hears(Said::Begun).await;
    let methods = |running: &[Running]| {
        running.iter().map(|request| request.method().to_string()).collect::<Vec<_>>()
    };
    let running = in_flight.running();
    assert_eq!(methods(&running), ["GET", "POST", "PUT"]);
    assert!(running.iter().all(|request| request.peer() == running[0].peer()));
    assert!(running.iter().all(|request| request.route() == "/jobs/{id}"));
    assert_eq!((in_flight.len(), in_flight.rescued()), (3, 0));

    resets.send_reset(h2::Reason::CANCEL);
    drop(second);
    until(|| in_flight.rescued() == 1).await;
    let running = in_flight.running();
    let gone: Vec<_> = running.iter().map(Running::is_rescued).collect();
    assert_eq!(gone, [false, true, false]);
    let told: Vec<_> = running.iter().map(|request| request.told().is_some()).collect();
    assert_eq!(told, gone);

    doors.open(1);
    assert_eq!(in_time(first).await.unwrap().status(), 200);
    until(|| in_flight.len() == 2).await;
    assert_eq!(methods(&in_flight.running()), ["POST", "PUT"]);
    doors.open(2);
    doors.open(3);
    assert_eq!(in_time(third).await.unwrap().status(), 200);
    until(|| in_flight.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_of_two_servers_tells_of_both() {
    let in_flight = InFlight::new();
    let (mut one, of_one) = server(&in_flight).await;
    // A clone is as good.
    let (mut other, of_other) = server(&in_flight.clone()).await;
    let clients =
        [one.begins("/jobs/1").await, other.begins("/jobs/2").await, one.begins("/jobs/3").await];
    let addrs = clients.each_ref().map(peer);
    assert_eq!(peers(&in_flight.running()), addrs);
    assert_eq!(in_flight.len(), 3);
    of_one.open(1);
    of_one.open(3);
    one.stop.drain();
    assert!(one.ends().await.unwrap().is_clean());
    assert_eq!(peers(&in_flight.running()), [&*addrs[1]], "of the one that has ended nothing");

    // Another one begins in its place.
    let (mut next, of_next) = server(&in_flight).await;
    let client = next.begins("/jobs/4").await;
    assert_eq!(peers(&in_flight.running()), [&*addrs[1], &*peer(&client)]);
    for (server, doors, number) in [(other, of_other, 2), (next, of_next, 4)] {
        doors.open(number);
        server.stop.drain();
        assert!(server.ends().await.unwrap().is_clean());
    }
    assert!(in_flight.is_empty() && in_flight.running().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_runs_for_as_long_as_it_is_there() {
    for is_http2 in [false, true] {
        let in_flight = InFlight::new();
        let mut server = streams::server_with(true, set_up(&in_flight)).await;
        let mut client = server.connect().await;
        if is_http2 {
            client.send(frames::hello()).await;
            client.send(frames::connect(1, "/socket")).await;
        } else {
            client.send(HANDSHAKE).await;
        }
        server.hears(Said::Begun).await;
        let running = in_flight.running();
        let [socket] = &running[..] else { panic!("{running:?}") };
        assert_eq!((socket.route(), socket.is_rescued()), ("/socket", false));
        assert_eq!(socket.peer(), Some(&*peer(&client)));
        assert_eq!(in_flight.len(), 1);
        drop(client);
        until(|| in_flight.is_empty()).await;
        assert!(in_flight.running().is_empty());
    }
}

/// Nobody can end a thread: it is told of until it ends by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_is_left_of_a_server_is_told_until_it_has_ended() {
    let in_flight = InFlight::new();
    let ((probe, said), (opens, door)) = (Probe::new(), mpsc::channel::<()>());
    let door = Arc::new(Mutex::new(door));
    let blocks = get(move || async move {
        let handler = probe.begin();
        let _ = door.lock().unwrap().recv_timeout(PATIENCE);
        handler.finish();
    });
    let app = Router::new().route("/blocks", blocks);
    let set_up = |serve: TcpServe| {
        serve.drain_for(Duration::ZERO).grace(Duration::ZERO).in_flight(&in_flight)
    };
    let mut server = Server::of(app, said, set_up).await;
    let _client = server.begins("/blocks").await;
    server.stop.drain();
    let report = server.ends().await.unwrap();
    assert_eq!(report.running().len(), 1, "{report}");
    assert_eq!(report.running()[0].told().unwrap().reason(), Reason::Shutdown);
    let running = in_flight.running();
    assert_eq!((running.len(), running[0].route()), (1, "/blocks"));
    assert_eq!(running[0].told(), report.running()[0].told());
    opens.send(()).unwrap();
    until(|| in_flight.is_empty()).await;
}

/// A client that shows how long it is kept, and perhaps does not like to be named.
#[derive(Clone)]
struct Peer {
    _alive: Arc<()>,
    panics: bool,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!self.panics, "it has no name");
        f.write_str("somebody")
    }
}

struct Listens(TcpListener, Peer);

impl axum::serve::Listener for Listens {
    type Io = TcpStream;
    type Addr = Peer;

    async fn accept(&mut self) -> (TcpStream, Peer) {
        (self.0.accept().await.unwrap().0, self.1.clone())
    }

    fn local_addr(&self) -> std::io::Result<Peer> {
        Ok(self.1.clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_keeps_neither_server_nor_connection_nor_request() {
    let (in_flight, alive, of_app) = (InFlight::new(), Arc::new(()), Arc::new(()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr: SocketAddr = listener.local_addr().unwrap();
    let listener = Listens(listener, Peer { _alive: Arc::clone(&alive), panics: false });
    let kept = Arc::clone(&of_app);
    let waits = get(async move |_token: RequestToken| {
        std::future::pending::<()>().await;
        drop(kept);
    });
    let app = Router::new().route("/waits", waits);
    let serves = desist_http::serve(listener, app).in_flight(&in_flight);
    let serves = tokio::spawn(async move { serves.await });
    let mut client = Client::to(addr).await;
    client.get("/waits").await;
    until(|| in_flight.running().iter().any(|request| request.route() == "/waits")).await;
    let seen = in_flight.running();
    assert_eq!(seen[0].peer(), Some("somebody"));
    assert!(Arc::strong_count(&alive) > 1 && Arc::strong_count(&of_app) > 1);
    serves.abort();
    until(|| Arc::strong_count(&alive) == 1 && Arc::strong_count(&of_app) == 1).await;
    // Both are there all the time.
    assert_eq!(seen.len(), 1);
    assert!(in_flight.is_empty() && in_flight.running().is_empty());
}

/// Here and in a report.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_cannot_be_named_hides_no_request() {
    let in_flight = InFlight::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr: SocketAddr = listener.local_addr().unwrap();
    let listener = Listens(listener, Peer { _alive: Arc::default(), panics: true });
    let (probe, mut said) = Probe::new();
    let waits = get(async move || {
        let _handler = probe.begin();
        std::future::pending::<()>().await;
    });
    let stop = StopSource::new();
    let serves = desist_http::serve(listener, Router::new().route("/waits", waits))
        .drain_for(Duration::ZERO)
        .grace(Duration::ZERO)
        .until(stop.stop())
        .in_flight(&in_flight);
    let serves = tokio::spawn(async move { serves.await });
    let mut client = Client::to(addr).await;
    client.get("/waits").await;
    assert_eq!(in_time(said.recv()).await, Some(Said::Begun));
    let running = in_flight.running();
    assert_eq!((running.len(), running[0].route(), running[0].peer()), (1, "/waits", None));
    stop.drain();
    let report = in_time(serves).await.unwrap();
    assert_eq!((report.running().len(), report.running()[0].peer()), (1, None), "{report}");
}

/// From another thread, as often as it can.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_all_the_time_spoils_nothing() {
    let in_flight = InFlight::new();
    let (server, _doors) = server(&in_flight).await;
    let (looks, over) = (in_flight.clone(), Arc::new(AtomicBool::new(false)));
    let is_over = Arc::clone(&over);
    let looking = std::thread::spawn(move || {
        // Ordering: it says no more than that.
        while !is_over.load(Ordering::Relaxed) {
            let (_, _) = (looks.len(), looks.rescued());
            assert!(looks.running().iter().all(|request| request.route() == "/quick"));
        }
    });
    let mut client = server.connect().await;
    let mut other = Http2::to(server.addr).await;
    for _ in 0..200 {
        client.get("/quick").await;
        let (answer, _) = other.request("GET", "/quick", true);
        let (another, _) = other.request("GET", "/quick", true);
        client.reads_another("quick").await;
        assert_eq!(in_time(answer).await.unwrap().status(), 200);
        assert_eq!(in_time(another).await.unwrap().status(), 200);
    }
    until(|| in_flight.is_empty()).await;
    over.store(true, Ordering::Relaxed);
    looking.join().unwrap();
    server.stop.drain();
    assert!(server.ends().await.unwrap().is_clean());
}

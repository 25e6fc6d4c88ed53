//! Ten thousand requests, half of them abandoned at any moment.

#[path = "many/books.rs"]
mod books;
#[path = "many/http1.rs"]
mod http1;
#[path = "many/http2.rs"]
mod http2;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use self::books::{Books, Plan, REQUESTS};
use crate::common::{PATIENCE, Server};

/// So many are there at once.
const CLIENTS: usize = 128;

/// The sockets of this process at that port, at either end; others are of other tests.
fn sockets(port: u16) -> usize {
    let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    let links: HashSet<_> = descriptors
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    let is_ours = |line: &&str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let ports = fields[1].ends_with(&port) || fields[2].ends_with(&port);
        ports && links.contains(&format!("socket:[{}]", fields[9]))
    };
    table.lines().skip(1).filter(is_ours).count()
}

/// Waits until there are no more of them than that.
async fn comes_down_to(most: usize, what: &str, count: impl Fn() -> usize) {
    let begin = Instant::now();
    while count() > most {
        assert!(begin.elapsed() < PATIENCE, "{} {what}, and not {most}", count());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

async fn joins(mut clients: JoinSet<()>) {
    let joins = async {
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE * 3, joins).await.expect("all clients have what they wait for");
}

/// What that client asks for, in pairs of one that it waits for and one that it abandons.
fn pairs_of(client: usize) -> impl Iterator<Item = usize> {
    (client..REQUESTS / 2).step_by(CLIENTS)
}

async fn server(books: &std::sync::Arc<Books>) -> Server {
    let (_says, said) = tokio::sync::mpsc::unbounded_channel();
    Server::of(books.app(), said, |serve| serve).await
}

/// The clients are gone: so is all that was there for them.
async fn assert_nothing_is_left(server: Server, books: &Books, tasks_before: usize) {
    let port = server.addr.port();
    assert!(tasks() > tasks_before && (sockets(port) > 0 || cfg!(not(target_os = "linux"))));
    server.stop.drain();
    let report = server.ends().await.unwrap();
    assert!(report.is_clean() && report.asked().is_none(), "{report}");
    books.assert_balanced();
    comes_down_to(tasks_before, "tasks", tasks).await;
    comes_down_to(0, "descriptors", || sockets(port)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_leaks_and_nobody_is_answered_by_halves() {
    let tasks_before = tasks();
    let books = Books::new();
    let server = server(&books).await;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        // On the same connection, or on one of its own.
        let ids = pairs_of(client).flat_map(|pair| match pair % 3 {
            0 => [2 * pair + 1, 2 * pair],
            _ => [2 * pair, 2 * pair + 1],
        });
        clients.spawn(http1::client(server.addr, books.clone(), ids));
    }
    joins(clients).await;
    assert_nothing_is_left(server, &books, tasks_before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_leaks_and_nobody_is_answered_by_halves_on_shared_connections() {
    const CONNECTIONS: usize = 8;
    let tasks_before = tasks();
    let books = Books::new();
    let server = server(&books).await;
    let goes_with_all = |id: &usize| Plan::is_endless(*id) && id / 10 % 10 == 0;
    let mut clients = JoinSet::new();
    let mut connections = Vec::new();
    for first in 0..CONNECTIONS {
        let (requests, drives) = http2::connect(server.addr).await;
        for client in (first..CLIENTS).step_by(CONNECTIONS) {
            // Between two that it abandons it waits for one: whoever resets more than 20
            // that were not accepted yet is sent away.
            let ids = pairs_of(client).flat_map(|pair| [2 * pair + 1, 2 * pair]);
            let ids = ids.filter(move |id| !goes_with_all(id));
            clients.spawn(http2::client(requests.clone(), books.clone(), ids));
        }
        connections.push(drives);
    }
    let go: Vec<_> = (0..REQUESTS).filter(goes_with_all).collect();
    for ids in go.chunks(10) {
        http2::goes_with_all(server.addr, books.clone(), ids.to_vec()).await;
    }
    joins(clients).await;
    for drives in connections {
        drives.await.unwrap().unwrap();
    }
    assert_nothing_is_left(server, &books, tasks_before).await;
}

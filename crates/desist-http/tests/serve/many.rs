//! Ten thousand requests, half of them abandoned at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use desist_http::{RequestToken, Stopped};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::common::{PATIENCE, Server};

const REQUESTS: usize = 10_000;

#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    /// Came to its end, asked to stop or not.
    ended: AtomicUsize,
    told: AtomicUsize,
    live: AtomicUsize,
    slots: Option<Semaphore>,
}

struct Live<'a>(&'a Counts);

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, SeqCst);
    }
}

async fn work(
    State(counts): State<Arc<Counts>>,
    token: RequestToken,
    body: axum::body::Bytes,
) -> Result<String, Stopped> {
    counts.begun.fetch_add(1, SeqCst);
    counts.live.fetch_add(1, SeqCst);
    let _live = Live(&counts);
    let slots = counts.slots.as_ref().expect("there are slots");
    let worked = async {
        let _slot = token.run(slots.acquire()).await?.expect("they are open");
        desist_tokio::sleep(Duration::from_micros(body.len() as u64 * 50), &token).await
    };
    let worked = worked.await;
    counts.ended.fetch_add(1, SeqCst);
    if worked.is_err() {
        counts.told.fetch_add(1, SeqCst);
    }
    worked?;
    Ok(format!("worked for {}", body.len()))
}

/// Same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_leaks_and_nobody_is_answered_by_halves() {
    let counts = Arc::new(Counts { slots: Some(Semaphore::new(64)), ..Counts::default() });
    let (_says, said) = tokio::sync::mpsc::unbounded_channel();
    let app = Router::new().route("/", post(work)).with_state(Arc::clone(&counts));
    let server = Server::of(app, said, |serve| serve).await;
    let before = descriptors();
    let (answered, before_end, after_end) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let room = Arc::new(Semaphore::new(128));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..REQUESTS {
        let room = Arc::clone(&room).acquire_owned().await.unwrap();
        let (addr, answered) = (server.addr, Arc::clone(&answered));
        let (before_end, after_end) = (Arc::clone(&before_end), Arc::clone(&after_end));
        clients.spawn(async move {
            let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ (number as u64 + 1) << 17);
            let size = random.below(60) as usize + 1;
            let mut stream = TcpStream::connect(addr).await.unwrap();
            let head = format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&vec![b'x'; size]).await.unwrap();
            let mut answer = Vec::new();
            if number % 2 == 0 {
                stream.read_to_end(&mut answer).await.unwrap();
                let answer = String::from_utf8(answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                assert!(answer.ends_with(&format!("worked for {size}")), "{answer}");
                answered.fetch_add(1, SeqCst);
            } else {
                // It goes at any moment, early or late.
                let patience = Duration::from_micros(random.below(12_000));
                let read = tokio::time::timeout(patience, stream.read_to_end(&mut answer)).await;
                if read.is_ok() {
                    after_end.fetch_add(1, SeqCst);
                } else {
                    before_end.fetch_add(1, SeqCst);
                }
            }
            drop(stream);
            drop(room);
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let (before_end, after_end) = (before_end.load(SeqCst), after_end.load(SeqCst));
    assert_eq!(answered.load(SeqCst), REQUESTS / 2);
    let a_fifth = REQUESTS / 2 / 5;
    assert!(
        before_end >= a_fifth && after_end >= a_fifth,
        "all on one side: {before_end} before the end, {after_end} after it"
    );
    let begin = std::time::Instant::now();
    while counts.live.load(SeqCst) > 0 {
        assert!(begin.elapsed() < PATIENCE, "handlers are left");
        tokio::task::yield_now().await;
    }
    assert_eq!(counts.slots.as_ref().unwrap().available_permits(), 64);
    // Every one that began came to its end by itself: none was dropped in the middle.
    assert_eq!(counts.begun.load(SeqCst), counts.ended.load(SeqCst));
    assert!(counts.told.load(SeqCst) > 0);
    server.stop.drain();
    assert!(server.ends().await.unwrap().is_clean());
    let begin = std::time::Instant::now();
    while descriptors() > before {
        assert!(begin.elapsed() < PATIENCE, "{} descriptors, once {before}", descriptors());
        tokio::task::yield_now().await;
    }
}

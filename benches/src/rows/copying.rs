//! Rows O: bytes that are copied, for each MB: how little the token and the progress
//! cost.

use desist::Source;
use desist_tokio::io::copy;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, repeat, sink};
use tokio::net::UnixStream;
use tokio::runtime::Builder;

use crate::measure::{Batch, Row};
use crate::sample::{Sample, timed};

const MEGABYTES: u64 = 16;
const BYTES: u64 = MEGABYTES << 20;

pub(super) const ROWS: &[Row] = &[
    Row::new("o1", "copy in memory, ns for each MB", "≤ 1.02 × tokio", |entries| {
        entries.add(OURS, || each(async || ours(repeat(7).take(BYTES), sink(), None).await));
        entries.add(OURS_SMALL, || {
            each(async || ours(repeat(7).take(BYTES), sink(), Some(TOKIOS)).await)
        });
        entries.add(TOKIO, || each(async || theirs(repeat(7).take(BYTES), sink()).await));
    }),
    Row::new("o2", "copy through a socket, ns for each MB", "≤ 1.02 × tokio", |entries| {
        entries.add(OURS, || {
            each(async || {
                let (near, far) = UnixStream::pair().expect("a pair of sockets");
                let sends = tokio::spawn(ours(repeat(7).take(BYTES), near, None));
                ours(far, sink(), None).await;
                sends.await.expect("it does not panic");
            })
        });
        entries.add(OURS_SMALL, || {
            each(async || {
                let (near, far) = UnixStream::pair().expect("a pair of sockets");
                let sends = tokio::spawn(ours(repeat(7).take(BYTES), near, Some(TOKIOS)));
                ours(far, sink(), Some(TOKIOS)).await;
                sends.await.expect("it does not panic");
            })
        });
        entries.add(TOKIO, || {
            each(async || {
                let (near, far) = UnixStream::pair().expect("a pair of sockets");
                let sends = tokio::spawn(theirs(repeat(7).take(BYTES), near));
                theirs(far, sink()).await;
                sends.await.expect("it does not panic");
            })
        });
    }),
];

const OURS: &str = "desist copy";
/// With the buffer that tokio's has, which is the smaller one.
const OURS_SMALL: &str = "desist copy, 8 kB at once";
const TOKIO: &str = "tokio io::copy";
const TOKIOS: usize = 8 * 1024;

async fn ours(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    buffer: Option<usize>,
) {
    let source = Source::new();
    let token = source.token();
    let mut last = 0;
    let copies = copy(reader, writer, &token, |progress| last = progress.bytes());
    let copies = if let Some(size) = buffer { copies.buffer(size) } else { copies };
    let copied = copies.await.expect("nobody stops it");
    assert_eq!((copied, last), (BYTES, BYTES));
}

async fn theirs(mut reader: impl AsyncRead + Unpin, mut writer: impl AsyncWrite + Unpin) {
    let copied = tokio::io::copy(&mut reader, &mut writer).await.expect("it does not fail");
    assert_eq!(copied, BYTES);
}

fn each(work: impl AsyncFn() + 'static) -> Batch {
    let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
    Batch::latency(move || {
        let sample = timed(|| runtime.block_on(work()));
        Sample { ns: sample.ns / MEGABYTES as f64, ..sample }
    })
}

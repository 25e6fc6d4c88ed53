//! An upload that is there whole, or not at all. Every line that this prints was asserted
//! first.
//!
//! `cargo run -p desist-examples --bin 04-upload`; with `-- serve` at the end it serves
//! until Ctrl-C, to be tried by hand.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod trial;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::post};
use desist::find_cancelled;
use desist_http::{RequestToken, Stopped, serve};
use desist_tokio::io::{AtomicFile, copy};
use desist_tokio::signals;
use tokio_stream::StreamExt;
use tokio_util::io::StreamReader;

use self::trial::{Curl, Failure, Folder, Heard, Log, Said, proved};

#[derive(Clone)]
struct Store {
    target: PathBuf,
    log: Log,
}

async fn upload(
    State(store): State<Store>,
    token: RequestToken,
    body: Body,
) -> Result<String, Response> {
    store.log.says(Said::Begun);
    match save(&store, &token, body).await {
        Ok(bytes) => {
            store.log.says(Said::Finished);
            Ok(format!("{bytes} bytes are safe\n"))
        }
        Err(error) => Err(match find_cancelled(&error) {
            Some(cancelled) => {
                store.log.stopped(cancelled);
                Stopped::from(cancelled.clone()).into_response()
            }
            None => {
                store.log.says(Said::Failed(error.to_string()));
                (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
            }
        }),
    }
}

/// Without the commit, which comes when all is written, nothing is left of it.
async fn save(store: &Store, token: &RequestToken, body: Body) -> io::Result<u64> {
    let mut file = AtomicFile::create(&store.target, token).await?;
    let pieces = body.into_data_stream().map(|piece| piece.map_err(io::Error::other));
    let copied = copy(StreamReader::new(pieces), &mut file, token, |progress| {
        store.log.says(Said::Progress(progress.bytes()));
    });
    let bytes = copied.await?;
    file.commit().await?;
    Ok(bytes)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let is_by_hand = trial::is_by_hand()?;
    let listener = trial::listen(is_by_hand).await?;
    let url = format!("http://{}/upload", listener.local_addr()?);
    let (log, mut heard) = trial::log();
    let folder = Folder::new("upload")?;
    let target = folder.path().join("upload");
    let app = Router::new()
        .route("/upload", post(upload))
        .with_state(Store { target: target.clone(), log });

    let stop = signals().child();
    let server = tokio::spawn(serve(listener, app).until(stop.stop()).into_future());
    if is_by_hand {
        let upload = "curl --limit-rate 1M --data-binary @-";
        println!("try `head -c 20M /dev/zero | {upload} {url}`, and Ctrl-C there, or here;");
        println!("it is written to {}", target.display());
        heard.print().await;
    } else {
        let source = Folder::new("source")?;
        let (old, new) = (source.path().join("old"), source.path().join("new"));
        fs::write(&old, content(b'o'))?;
        fs::write(&new, content(b'n'))?;

        let late = an_interrupt(&url, &new, &folder, &mut heard).await?;
        assert!(folder.names()?.is_empty());
        proved("an upload cut short", format_args!("{}, and left nothing", heard_after(late)));

        an_upload(&url, &old, &mut heard).await?;
        assert_eq!(fs::read(&target)?, content(b'o'));
        assert_eq!(folder.names()?, ["upload"]);
        proved("a whole upload", "is there, every byte of it, with nothing beside it");

        let late = an_interrupt(&url, &new, &folder, &mut heard).await?;
        assert_eq!(fs::read(&target)?, content(b'o'));
        assert_eq!(folder.names()?, ["upload"]);
        proved("another cut short", format_args!("{}, and left that file", heard_after(late)));
        stop.drain();
    }
    trial::ended(&server.await?)
}

fn heard_after(late: Duration) -> String {
    format!("heard `disconnected` {late:.1?} after the SIGINT")
}

/// A megabyte, of numbered lines.
fn content(of: u8) -> Vec<u8> {
    let lines = (0..100_000).map(|number| format!("{}{number:08}\n", char::from(of)));
    lines.collect::<String>().into_bytes()
}

async fn an_upload(url: &str, file: &Path, heard: &mut Heard) -> Result<(), Failure> {
    let body = format!("@{}", file.display());
    let answer = Curl::start(["--data-binary", &body, url])?.answer().await?;
    assert_eq!(answer, "1000000 bytes are safe\n");
    heard.begun().await?;
    heard.finished().await?;
    Ok(())
}

/// Interrupts it when a part of it is written, aside.
async fn an_interrupt(
    url: &str,
    file: &Path,
    folder: &Folder,
    heard: &mut Heard,
) -> Result<Duration, Failure> {
    let body = format!("@{}", file.display());
    // It takes ten seconds.
    let curl = Curl::start(["--limit-rate", "100k", "--data-binary", &body, url])?;
    heard.begun().await?;
    let bytes = heard.progress().await?;
    assert!(0 < bytes && bytes < 1_000_000);
    assert!(folder.names()?.iter().any(|name| name.ends_with(".tmp")));
    let interrupted = curl.interrupt().await?;
    Ok(heard.disconnected(interrupted).await?)
}

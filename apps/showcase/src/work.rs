//! Work of every kind, each of which takes its request's token.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use desist::{Cancelled, find_cancelled};
use desist_http::{RequestToken, Stopped};
use desist_tokio::io::{AtomicFile, copy};
use desist_tokio::{StreamExt as _, sleep};
use serde::Deserialize;
use tokio_stream::wrappers::IntervalStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::io::StreamReader;

use crate::log::{Asker, Log, Work};
use crate::uploads::remove;

/// What .NET's introductions show: a loop that takes its time.
pub(crate) async fn long_running_task(
    State(log): State<Log>,
    asker: Asker,
    token: RequestToken,
) -> Result<&'static str, Stopped> {
    let mut work = log.begin("long-running task", asker);
    for i in 1..=20 {
        if let Err(cancelled) = sleep(Duration::from_secs(1), &token).await {
            work.heard(&cancelled);
            return Err(cancelled.into());
        }
        work.progress(i, Some(20));
    }
    work.finish();
    Ok("long-running task completed\n")
}

#[derive(Clone)]
pub(crate) struct Uploads {
    pub(crate) log: Log,
    pub(crate) folder: Arc<Path>,
}

/// Written aside, and in its place whole or not at all. Nobody needs it after that.
pub(crate) async fn upload(
    State(Uploads { log, folder }): State<Uploads>,
    asker: Asker,
    token: RequestToken,
    headers: HeaderMap,
    request: Request,
) -> Result<String, Response> {
    let mut work = log.begin("upload", asker);
    let total =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let target = folder.join(format!("upload-{}", work.number()));
    let saved = save(&work, &target, &token, total, request.into_body()).await;
    // A commit may fail with the file in its place.
    let removed = remove(&target).await;
    match saved {
        Ok(bytes) => {
            work.finish();
            let target = target.display();
            Ok(match removed {
                Ok(()) => format!("{bytes} bytes were safe in {target}, and are removed again\n"),
                Err(error) => format!(
                    "{bytes} bytes are safe in {target} until the server stops: \
                     they could not be removed: {error}\n"
                ),
            })
        }
        Err(error) => match find_cancelled(&error).cloned().or_else(|| token.cancellation()) {
            Some(cancelled) => {
                work.heard(&cancelled);
                let stopped = Stopped::from(cancelled);
                Err(stopped.into_response_with(|why| Body::from(format!("{why}{NOTHING_KEPT}"))))
            }
            None => {
                let answer = format!("{error}\n{NOTHING_KEPT}");
                work.fail(&error);
                Err((StatusCode::INTERNAL_SERVER_ERROR, answer).into_response())
            }
        },
    }
}

const NOTHING_KEPT: &str = "nothing of it is kept\n";

async fn save(
    work: &Work,
    target: &Path,
    token: &RequestToken,
    total: Option<u64>,
    body: Body,
) -> io::Result<u64> {
    let bytes = body.into_data_stream().map(|piece| piece.map_err(io::Error::other));
    let mut file = AtomicFile::create(target, token).await?;
    let mut told = 0;
    let mut copied = copy(StreamReader::new(bytes), &mut file, token, |progress| {
        // Now and then: the page has other things to do.
        if progress.bytes() - told >= 256 * 1024 {
            told = progress.bytes();
            work.progress(told, progress.total());
        }
    });
    if let Some(total) = total {
        copied = copied.total(total);
    }
    let copied = copied.await?;
    file.commit().await?;
    Ok(copied)
}

/// What is asked for would take for ever, or is no size at all.
type TooMuch = (StatusCode, String);

fn at_most(most: u64, name: &str, asked: u64) -> Result<(), TooMuch> {
    if asked <= most {
        return Ok(());
    }
    let advice = format!("{name}={asked} is too much; ask for at most {name}={most}\n");
    Err((StatusCode::BAD_REQUEST, advice))
}

#[derive(Deserialize)]
pub(crate) struct Size {
    #[serde(default = "twenty")]
    megabytes: u64,
}

fn twenty() -> u64 {
    20
}

/// A megabyte every half second, until the reader has enough.
pub(crate) async fn download(
    State(log): State<Log>,
    asker: Asker,
    token: RequestToken,
    Query(Size { megabytes }): Query<Size>,
) -> Result<Response, TooMuch> {
    at_most(10_000, "megabytes", megabytes)?;
    let (pieces, body) = tokio::sync::mpsc::channel::<Result<Vec<u8>, Cancelled>>(1);
    let mut work = log.begin("download", asker);
    // It outlives the handler: it is the answer, and has the token for as long.
    tokio::spawn(async move {
        for piece in 1..=megabytes {
            let sent = async {
                sleep(Duration::from_millis(500), &token).await?;
                token.run(pieces.send(Ok(vec![b'd'; 1 << 20]))).await
            };
            match sent.await {
                Ok(Ok(())) => work.progress(piece, Some(megabytes)),
                // The reader is gone, and the token is about to say so.
                Ok(Err(_)) => {
                    work.heard(&token.cancelled().await);
                    return;
                }
                Err(cancelled) => {
                    work.heard(&cancelled);
                    // It has ended, whether or not anybody reads that.
                    drop(work);
                    let _ = pieces.send(Err(cancelled)).await;
                    return;
                }
            }
        }
        work.finish();
    });
    let body = Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(body));
    let length = (megabytes << 20).to_string();
    Ok(([(header::CONTENT_LENGTH, length)], body).into_response())
}

/// A tick every second, until the reader goes or the server drains.
pub(crate) async fn events(
    State(log): State<Log>,
    asker: Asker,
    token: RequestToken,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let work = log.begin("events", asker);
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
    let mut watched = Watched { work: Some(work), token: token.clone(), ticks: 0 };
    let ticks = ticks.map(move |_| Ok(watched.tick()));
    Sse::new(ticks.until_cancelled(token.draining()))
}

/// Says why the stream ended: it is dropped with it.
struct Watched {
    work: Option<Work>,
    token: RequestToken,
    ticks: u64,
}

impl Watched {
    fn tick(&mut self) -> Event {
        self.ticks += 1;
        if let Some(work) = &self.work {
            work.progress(self.ticks, None);
        }
        Event::default().data(self.ticks.to_string())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Some(mut work) = self.work.take() else { return };
        match self.token.cancellation().or_else(|| self.token.draining().cancellation()) {
            Some(cancelled) => work.heard(&cancelled),
            None => work.finish(),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Limit {
    #[serde(default = "forty_million")]
    below: u64,
}

fn forty_million() -> u64 {
    40_000_000
}

/// Counts on a thread of its own, which nothing can stop but its own look at the token.
pub(crate) async fn primes(
    State(log): State<Log>,
    asker: Asker,
    token: RequestToken,
    Query(Limit { below }): Query<Limit>,
) -> Result<String, Response> {
    at_most(1_000_000_000, "below", below).map_err(IntoResponse::into_response)?;
    let mut work = log.begin("primes on a thread", asker);
    let counts = tokio::task::spawn_blocking(move || {
        let counted = count(below, &token, |done| work.progress(done, Some(below)));
        match &counted {
            Ok(_) => work.finish(),
            Err(cancelled) => work.heard(cancelled),
        }
        counted
    });
    match counts.await {
        Ok(Ok(primes)) => Ok(format!("{primes} primes below {below}\n")),
        Ok(Err(cancelled)) => Err(Stopped::from(cancelled).into_response()),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn count(below: u64, token: &RequestToken, tell: impl Fn(u64)) -> Result<u64, Cancelled> {
    let mut primes = 0;
    for number in 2..below {
        // One load: it costs nothing to look every time.
        token.check()?;
        if number % 100_000 == 0 {
            tell(number);
        }
        let mut divisors = (2..).take_while(|divisor| divisor * divisor <= number);
        primes += u64::from(divisors.all(|divisor| number % divisor != 0));
    }
    Ok(primes)
}

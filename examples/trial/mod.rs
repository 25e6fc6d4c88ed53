//! What the examples of a server have in common: it is served for a reader who uses
//! curl by hand, or tried by a curl of their own.

// No example takes all of it.
#![allow(dead_code, unused_imports)]

mod curl;
mod folder;
mod log;

use std::error::Error;
use std::fmt::{self, Display};
use std::io;
use std::time::Duration;

use desist_http::ServeReport;
use tokio::net::TcpListener;

pub(crate) use self::curl::{Curl, has_http2};
pub(crate) use self::folder::Folder;
pub(crate) use self::log::{Heard, Log, Said, log};

/// What went wrong, in the words in which `main` prints it.
pub(crate) struct Failure(String);

/// Nothing that is waited for takes so long, however busy the machine is.
const LONG: Duration = Duration::from_secs(30);

pub(crate) fn failure(said: impl Into<String>) -> Failure {
    Failure(said.into())
}

pub(crate) fn proved(what: &str, how: impl Display) {
    println!("{what:<22}{how}");
}

/// Whether a reader asked for the server, to try it by hand.
pub(crate) fn is_by_hand() -> Result<bool, Failure> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [] => Ok(false),
        [serve] if serve == "serve" => Ok(true),
        _ => Err(failure("give it no argument to see its proof, or `serve` to try it by hand")),
    }
}

/// On port 3000 for a reader, on any for a proof.
pub(crate) async fn listen(is_by_hand: bool) -> Result<TcpListener, Failure> {
    let port = if is_by_hand { 3000 } else { 0 };
    TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| {
        failure(format!("cannot listen on 127.0.0.1:{port}: {error}; stop what listens there"))
    })
}

/// What came of the server, which has to have left nothing.
pub(crate) fn ended(report: &ServeReport) -> Result<(), Failure> {
    println!("{report}");
    if report.is_clean() { Ok(()) } else { Err(failure("the server has left something behind")) }
}

/// Waits for it, but not for ever.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> io::Result<F::Output> {
    tokio::time::timeout(LONG, future).await.map_err(|_| {
        let said = format!("{what} did not come within {LONG:?}");
        io::Error::new(io::ErrorKind::TimedOut, said)
    })
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

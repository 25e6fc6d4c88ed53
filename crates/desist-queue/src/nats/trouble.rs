//! What the server objects to, in words that say what would help.

use async_nats::jetstream::context::{
    ConsumerInfoError, ConsumerInfoErrorKind, CreateStreamError, CreateStreamErrorKind,
    PublishError, PublishErrorKind,
};
use async_nats::jetstream::stream::{ConsumerError, ConsumerErrorKind};
use async_nats::jetstream::{self, ErrorCode};

use async_nats::{ConnectError, ConnectErrorKind};

use crate::Error;

const NO_JETSTREAM: &str = "the server has no JetStream, or has just begun; start it with `-js`";

pub(super) fn of_connecting(url: &str, error: ConnectError) -> Error {
    // Nobody reads a password here.
    let url = match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, address))) => format!("{scheme}://{address}"),
        (None, Some((_, address))) => address.to_owned(),
        _ => url.to_owned(),
    };
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            Error::lasting(format!(
                "the server of NATS at {url} does not let this user in; give credentials with \
                 `connect_with`"
            ))
        }
        ConnectErrorKind::ServerParse => Error::lasting(format!(
            "`{url}` is no address of a server of NATS; give one like nats://127.0.0.1:4222"
        )),
        ConnectErrorKind::Tls => Error::lasting(format!(
            "no TLS with the server of NATS at {url}; see its certificate, and the options of \
             `connect_with`"
        )),
        _ => Error::passing(format!(
            "no server of NATS at {url}; start one with `nats-server -js`, or give the address of \
             one that runs"
        )),
    }
    .because(error)
}

pub(super) fn no_jetstream() -> Error {
    Error::passing(NO_JETSTREAM)
}

/// That JetStream was asked for in a server, or an account, without it.
fn is_off(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT)
}

pub(super) fn no_stream(stream: &str) -> Error {
    Error::lasting(format!(
        "there is no stream `{stream}`; make it with `Nats::ensure_stream`, or `nats stream add \
         {stream}`"
    ))
}

pub(super) fn of_making(stream: &str, error: CreateStreamError) -> Error {
    match error.kind() {
        CreateStreamErrorKind::JetStreamUnavailable => no_jetstream(),
        CreateStreamErrorKind::TimedOut | CreateStreamErrorKind::Response => Error::passing(
            format!("the server did not answer when asked for the stream `{stream}`"),
        ),
        CreateStreamErrorKind::JetStream(code) if is_off(code.error_code()) => {
            Error::lasting(NO_JETSTREAM)
        }
        _ => Error::lasting(format!(
            "the stream `{stream}` cannot be made; see that no other has one of its subjects, \
             and that this user may"
        )),
    }
    .because(error)
}

/// Of looking at a consumer; `Ok`: there is none, and its stream is there.
pub(super) fn of_looking(stream: &str, name: &str, error: ConsumerInfoError) -> Result<(), Error> {
    Err(match error.kind() {
        ConsumerInfoErrorKind::NotFound => return Ok(()),
        ConsumerInfoErrorKind::StreamNotFound => no_stream(stream),
        ConsumerInfoErrorKind::InvalidName => {
            let what = "cannot be names of a stream and its consumer; leave out spaces and dots";
            Error::lasting(format!("`{stream}` and `{name}` {what}"))
        }
        ConsumerInfoErrorKind::NoResponders => no_jetstream(),
        ConsumerInfoErrorKind::JetStream(code) if is_off(code.error_code()) => {
            Error::lasting(NO_JETSTREAM)
        }
        _ => {
            let what = "did not answer when asked for the consumer";
            Error::passing(format!("the server {what} `{name}` of `{stream}`"))
        }
    }
    .because(error))
}

pub(super) fn of_making_consumer(stream: &str, name: &str, error: ConsumerError) -> Error {
    match error.kind() {
        ConsumerErrorKind::TimedOut => {
            Error::passing(format!("the server did not answer when asked to make `{name}`"))
        }
        ConsumerErrorKind::JetStream(code) if code.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            no_stream(stream)
        }
        _ => Error::lasting(format!(
            "the consumer `{name}` of `{stream}` cannot be made; see its settings, and that this \
             user may"
        )),
    }
    .because(error)
}

pub(super) fn of_publishing(subject: &str, error: PublishError) -> Error {
    match error.kind() {
        PublishErrorKind::StreamNotFound => Error::lasting(format!(
            "no stream has the subject `{subject}`; make one with `Nats::ensure_stream`"
        )),
        PublishErrorKind::MaxPayloadExceeded => {
            Error::lasting(format!("too much for one message of `{subject}`; make it smaller"))
        }
        PublishErrorKind::Other if is_refusal(&error) => Error::lasting(format!(
            "the stream of the subject `{subject}` refuses a message; see its settings and limits"
        )),
        _ => Error::passing(format!(
            "`{subject}` is not known to be published; publish it again under its identity"
        )),
    }
    .because(error)
}

/// The stream says no, and would the next time.
fn is_refusal(error: &PublishError) -> bool {
    let source = std::error::Error::source(error);
    let said = source.and_then(|source| source.downcast_ref::<jetstream::Error>());
    said.is_some_and(|said| (400..500).contains(&said.code()))
}

use std::sync::Arc;

use desist::Cancelled;
use tonic::{Code, Status, TimeoutExpired};

use crate::layer::BoxError;
use crate::request::MissingToken;
use crate::rpc;
use crate::stopped::Stopped;

/// What gRPC calls a stop; the same as a server says that has no handler to say it.
pub(super) fn status_of(why: &Cancelled) -> Status {
    let (code, message) = rpc::code_of(why.reason());
    let mut status = Status::new(Code::from_bytes(code.as_bytes()), message);
    status.set_source(Arc::new(why.clone()));
    status
}

/// `DEADLINE_EXCEEDED`, `UNAVAILABLE` where the server stops or has no room, otherwise
/// `CANCELLED`.
impl From<Stopped> for Status {
    fn from(stopped: Stopped) -> Self {
        status_of(stopped.cancelled())
    }
}

impl From<MissingToken> for Status {
    fn from(missing: MissingToken) -> Self {
        Self::internal(missing.to_string())
    }
}

/// What a call failed of that was not stopped.
pub(super) fn failed(error: BoxError) -> BoxError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
    while let Some(cause) = source {
        if cause.is::<TimeoutExpired>() {
            // The channel's own time, which tonic has as `CANCELLED`.
            let mut status = Status::deadline_exceeded("the channel's own time is over");
            status.set_source(error.into());
            return status.into();
        }
        source = cause.source();
    }
    error
}

#[cfg(test)]
mod tests {
    use desist::{Reason, Token, find_cancelled};

    use super::*;

    #[test]
    fn each_reason_has_its_code_and_stays_in_reach() {
        for (reason, code) in [
            (Reason::Deadline, Code::DeadlineExceeded),
            (Reason::Shutdown, Code::Unavailable),
            (Reason::Overload, Code::Unavailable),
            (Reason::LeaseLost, Code::Unavailable),
            (Reason::Disconnected, Code::Cancelled),
            (Reason::Superseded, Code::Cancelled),
        ] {
            let why = Token::cancelled_with(reason).check().unwrap_err();
            let status = Status::from(Stopped::from(why));
            assert_eq!(status.code(), code, "{reason:?}");
            assert_eq!(find_cancelled(&status).unwrap().reason(), reason);
        }
    }
}

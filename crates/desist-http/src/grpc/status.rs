use std::sync::Arc;

use desist::{Cancelled, Reason};
use tonic::{Code, Status};

use crate::request::MissingToken;
use crate::stopped::Stopped;

/// What gRPC calls a stop; the same as a server says that has no handler to say it.
pub(super) fn status_of(why: &Cancelled) -> Status {
    let (code, message) = match why.reason() {
        Reason::Deadline => (Code::DeadlineExceeded, "the deadline is over"),
        reason @ (Reason::Shutdown | Reason::Overload | Reason::LeaseLost) => {
            (Code::Unavailable, reason.as_str())
        }
        reason => (Code::Cancelled, reason.as_str()),
    };
    let mut status = Status::new(code, message);
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

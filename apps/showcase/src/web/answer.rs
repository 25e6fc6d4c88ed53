//! What HTTP says when there is no response.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use desist_http::{SendError, Stopped};
use desist_mediator::Error;

use crate::data::is_away;
use crate::mediator::why;

/// An answer made of why there is no other.
pub(crate) struct Failed {
    error: Error,
    and: &'static str,
}

impl Failed {
    /// One more line for whoever reads it.
    pub(crate) fn and(self, and: &'static str) -> Self {
        Self { and, ..self }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, and: "" }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self { error, and } = self;
        if let Some(cancelled) = error.cancelled() {
            let stopped = Stopped::from(cancelled.clone());
            return stopped.into_response_with(|why| Body::from(format!("{why}{and}")));
        }
        let Some(invalid) = error.invalid() else {
            return (status(&error), format!("{}\n{and}", why(&error))).into_response();
        };
        let advice: String = invalid.fields().map(|(_, advice)| format!("{advice}\n")).collect();
        (StatusCode::BAD_REQUEST, format!("{advice}{and}")).into_response()
    }
}

/// Of a fault: ours, or of another service, or of a database that is away and comes back.
fn status(error: &Error) -> StatusCode {
    let failure = error.failure();
    match failure.and_then(|failure| failure.downcast_ref::<SendError>()) {
        None if failure.is_some_and(|failure| is_away(failure)) => StatusCode::SERVICE_UNAVAILABLE,
        None => StatusCode::INTERNAL_SERVER_ERROR,
        Some(late) if late.is_timeout() => StatusCode::GATEWAY_TIMEOUT,
        Some(_) => StatusCode::BAD_GATEWAY,
    }
}

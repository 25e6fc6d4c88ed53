//! What went wrong, as RFC 9457 has it.

use std::collections::HashMap;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};

use crate::Error;
use crate::error::chain;

/// An answer that says what is wrong, and what to do.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Where somebody is known, and may not, this is what they may not.
    pub(super) fn saying_what(self, detail: &str) -> Self {
        if self.status != StatusCode::FORBIDDEN {
            return self;
        }
        Self { detail: detail.to_owned(), ..self }
    }

    #[cfg(feature = "console")]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    #[cfg(feature = "console")]
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such operation, or it is not yours to see")
    }
}

/// What is asked for in the address.
pub(super) type Asked = Result<Query<Vec<(String, String)>>, QueryRejection>;

pub(super) fn pairs(asked: Asked) -> Result<Vec<(String, String)>, Problem> {
    let Query(pairs) = asked.map_err(|error| Problem::bad(error.body_text()))?;
    Ok(pairs)
}

/// Which operation is meant. The path that these routes are nested at may have parameters, too.
pub(super) type Named = Result<Path<HashMap<String, String>>, PathRejection>;

pub(super) fn named(id: Named) -> Result<String, Problem> {
    let Path(mut named) = id.map_err(|error| Problem::bad(error.body_text()))?;
    Ok(named.remove("id").unwrap_or_default())
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        if error.is_not_found() {
            return Self::new(StatusCode::NOT_FOUND, error.to_string());
        }
        if error.is_taken() {
            return Self::new(StatusCode::CONFLICT, error.to_string());
        }
        if error.is_too_large() {
            return Self::new(StatusCode::PAYLOAD_TOO_LARGE, chain(&error));
        }
        if error.is_bad_input() || error.is_unknown_kind() {
            return Self::new(StatusCode::UNPROCESSABLE_ENTITY, chain(&error));
        }
        // What is behind it is for those who run it, and says more than strangers should know.
        crate::measure::trouble("answer a request", &error);
        let detail = if error.is_in_doubt() {
            "the database went away in the middle of it; whether it was done is not known, look \
             before you ask again"
        } else {
            "the database does not answer; nothing was done, ask again in a moment"
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }
}

/// Some of these routes are for asking, some for changing.
pub(super) async fn no_such_method() -> Problem {
    let says = "this is asked for with GET, or changed with POST, and not this way";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, says)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, body.to_string()).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

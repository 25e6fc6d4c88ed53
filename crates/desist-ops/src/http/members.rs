//! What a request says, as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde_core::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::problem::Problem;
use crate::{CancelMode, CancelRequest, OperationId};

/// The members of a JSON object, each as it was written, and each taken once.
pub(super) struct Members(BTreeMap<String, Box<RawValue>>);

impl Members {
    /// Nothing is an object without members, where that is enough.
    pub(super) async fn read(request: &Parts, body: Body, most: usize) -> Result<Self, Problem> {
        let bytes = bytes(body, most).await?;
        if bytes.is_empty() {
            return Ok(Self(BTreeMap::new()));
        }
        let kind = request.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let says = "the body is to be JSON, with `content-type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, says));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::bad(format!("the body is not a JSON object: {error}")))
    }

    /// Whatever it is, as it was written.
    pub(super) fn json(&mut self, name: &str) -> String {
        self.0.remove(name).map_or_else(|| "null".to_owned(), |json| json.get().to_owned())
    }

    fn maybe<T: DeserializeOwned>(&mut self, name: &str, is: &str) -> Result<Option<T>, Problem> {
        serde_json::from_str(&self.json(name))
            .map_err(|_| Problem::bad(format!("`{name}` is to be {is}")))
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        self.maybe(name, "a text")
    }

    pub(super) fn millis(&mut self, name: &str) -> Result<Duration, Problem> {
        let millis = self.maybe(name, "a whole number of milliseconds")?;
        Ok(Duration::from_millis(millis.unwrap_or_default()))
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        Ok(self.maybe(name, "true or false")?.unwrap_or_default())
    }

    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        Ok(self.maybe(name, "a list of texts")?.unwrap_or_default())
    }

    pub(super) fn id(&mut self, name: &str) -> Result<Option<OperationId>, Problem> {
        let parse = |text: String| {
            text.parse().map_err(|error| Problem::bad(format!("`{name}` is no operation: {error}")))
        };
        self.text(name)?.map(parse).transpose()
    }

    pub(super) fn request(&mut self) -> Result<CancelRequest, Problem> {
        let mut request = match self.text("mode")?.as_deref() {
            None => CancelRequest::new(),
            Some(mode) => match CancelMode::parse(mode) {
                Some(CancelMode::Drain) => CancelRequest::drain(),
                Some(CancelMode::Cancel) => CancelRequest::new(),
                None => return Err(Problem::bad("`mode` is to be `drain` or `cancel`")),
            },
        };
        if let Some(reason) = self.text("reason")? {
            let known = crate::cancel::reason(&reason);
            if known.as_str() != reason {
                let says = "`reason` is to be one of those that code knows, as `requested`, \
                            `superseded`, `overload`, `other`; words for people are its `message`";
                return Err(Problem::bad(says));
            }
            request = request.because(known);
        }
        if let Some(message) = self.text("message")? {
            request = request.message(message);
        }
        Ok(request)
    }

    /// What nobody knows was meant as something else.
    pub(super) fn nothing_else(&self) -> Result<(), Problem> {
        match self.0.keys().next() {
            Some(name) => Err(Problem::bad(format!("`{name}` is not known here"))),
            None => Ok(()),
        }
    }
}

async fn bytes(body: Body, most: usize) -> Result<Bytes, Problem> {
    to_bytes(body, most).await.map_err(|_| {
        let says = format!("the body has more than {most} bytes, or has not come to its end");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, says)
    })
}

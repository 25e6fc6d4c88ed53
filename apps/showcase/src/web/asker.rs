//! Who asks, as HTTP knows it.

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::numbers::Numbers;
use crate::log::{Asker, Whom};

#[derive(Deserialize)]
struct Mark {
    mark: Option<u64>,
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let client = ConnectInfo::from_request_parts(parts, state).await;
        let ConnectInfo(client) = client.map_err(IntoResponse::into_response)?;
        let mark = Numbers::from_request_parts(parts, state).await;
        let Numbers(Mark { mark }) = mark.map_err(IntoResponse::into_response)?;
        Ok(Self { whom: Whom::Client(client), mark, operation: None })
    }
}

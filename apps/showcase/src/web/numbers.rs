//! Numbers in a query.

use std::error::Error;

use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// What a query says, where all that can be said are whole numbers.
pub(crate) struct Numbers<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Numbers<T> {
    type Rejection = (StatusCode, String);

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(numbers)) => Ok(Self(numbers)),
            Err(rejection) => {
                // The innermost names the field and what is wrong with it.
                let mut why: &dyn Error = &rejection;
                while let Some(cause) = why.source() {
                    why = cause;
                }
                let query = parts.uri.query().unwrap_or_default();
                let advice = "a value is a whole number, as in megabytes=20 or mark=7";
                Err((StatusCode::BAD_REQUEST, format!("cannot read `?{query}`: {why}; {advice}\n")))
            }
        }
    }
}

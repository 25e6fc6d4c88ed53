//! Requests that heed a token, over real sockets.
#![cfg(all(feature = "axum", feature = "reqwest"))]

#[path = "sending/answers.rs"]
mod answers;
#[path = "sending/apps.rs"]
mod apps;
mod common;
#[path = "sending/requests.rs"]
mod requests;

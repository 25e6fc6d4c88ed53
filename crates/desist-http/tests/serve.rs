//! Real clients on real sockets that go away, in every way that there is; beside each
//! what `axum::serve` does.
#![cfg(feature = "axum")]

#[path = "serve/apps.rs"]
mod apps;
#[path = "serve/bodies.rs"]
mod bodies;
mod common;
#[path = "serve/controls.rs"]
mod controls;
#[path = "serve/forms.rs"]
mod forms;
#[path = "serve/http1.rs"]
mod http1;
#[path = "serve/http2.rs"]
mod http2;
#[path = "serve/http2_ends.rs"]
mod http2_ends;
#[path = "serve/in_flight.rs"]
mod in_flight;
#[path = "serve/makes.rs"]
mod makes;
#[path = "serve/many.rs"]
mod many;
#[path = "serve/slow.rs"]
mod slow;
#[path = "serve/sockets.rs"]
mod sockets;
#[path = "serve/stopping.rs"]
mod stopping;
#[path = "serve/streaming.rs"]
mod streaming;
#[path = "serve/streams.rs"]
mod streams;

//! HTTP in and out. Nothing here does any work: it asks the mediator.

mod answer;
mod asker;
mod exports;
mod guard;
mod numbers;
mod page;
mod routes;

use axum::Router;
use axum::middleware::from_fn_with_state;

pub(crate) use self::routes::{About, requires, router};

/// All of an app, for those who may ask.
pub(crate) fn guarded(app: Router, here_alone: bool) -> Router {
    app.layer(from_fn_with_state(here_alone, guard::guard))
}

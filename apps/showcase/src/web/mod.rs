//! HTTP in and out. Nothing here does any work: it asks the mediator.

mod answer;
mod asker;
mod exports;
mod guard;
mod numbers;
mod page;
mod routes;
mod told;

use axum::Router;
use axum::middleware::from_fn_with_state;

pub(crate) use self::routes::{requires, router};
pub(crate) use self::told::About;

/// All of an app, for those who may ask.
pub(crate) fn guarded(app: Router, here_alone: bool) -> Router {
    app.layer(from_fn_with_state(here_alone, guard::guard))
}

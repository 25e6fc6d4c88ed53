//! HTTP in and out. Nothing here does any work: it asks the mediator.

mod answer;
mod asker;
mod exports;
mod numbers;
mod page;
mod routes;

pub(crate) use self::routes::{About, requires, router};

//! What a group of tasks promises.

#[path = "group/bad_input.rs"]
mod bad_input;
mod common;
#[path = "group/outcomes.rs"]
mod outcomes;
#[path = "group/settings.rs"]
mod settings;
#[path = "group/stopping.rs"]
mod stopping;

use common::on_both;

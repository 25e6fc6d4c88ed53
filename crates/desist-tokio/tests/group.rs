//! What a group of tasks promises.

#[path = "group/bad_input.rs"]
mod bad_input;
#[path = "group/causes.rs"]
mod causes;
mod common;
#[path = "group/hostile.rs"]
mod hostile;
#[path = "group/nested.rs"]
mod nested;
#[path = "group/outcomes.rs"]
mod outcomes;
#[path = "group/running.rs"]
mod running;
#[path = "group/settings.rs"]
mod settings;
#[path = "group/stopping.rs"]
mod stopping;

use common::on_both;

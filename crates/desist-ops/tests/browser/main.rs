//! The console in a real browser: each test is a scenario of `scenarios/`, which drives a Chromium
//! of its own before a service of its own, a process that can be killed.
//!
//! `DESIST_SCREENS` names a folder that pictures of the page are put into.
#![cfg(unix)]
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // How two processes talk.

mod kinds;
mod orders;
mod page;
mod programs;
mod scenario;
mod service;

use std::time::Duration;

/// How long anything is waited for that should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

macro_rules! scenarios {
    ($(fn $name:ident() = $file:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                scenario::runs($file).await;
            }
        )*
    };
}

scenarios! {
    fn an_operation_is_watched_and_cancelled() = "watch";
    fn a_tree_is_cancelled_as_a_whole() = "tree";
    fn a_tree_whose_parent_has_ended_is_cancelled_through_it() = "ended";
    fn what_does_not_stop_is_named_the_worst_first() = "overdue";
    fn a_server_that_dies_is_noticed_and_found_again() = "restart";
    fn a_server_that_says_nothing_is_not_called_live() = "frozen";
    fn a_database_that_does_not_answer_is_told_of() = "down";
    fn what_a_proxy_answers_is_no_refusal() = "proxy";
    fn what_the_process_does_is_shown() = "process";
    fn what_there_was_is_found() = "past";
    fn how_long_cancels_take_is_drawn() = "plot";
    fn nobody_sees_or_changes_what_they_may_not() = "rights";
    fn all_of_it_goes_by_keyboard() = "keyboard";
    fn nobody_is_shut_out() = "axe";
    fn little_room_is_enough() = "narrow";
    fn what_others_wrote_is_shown_and_never_run() = "hostile";
    fn ten_thousand_that_run_are_no_burden() = "many";
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_are_taken_where_they_are_asked_for() {
    if std::env::var_os("DESIST_SCREENS").is_some() {
        scenario::runs("screens").await;
    }
}

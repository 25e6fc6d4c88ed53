//! The page in a real browser: each test is a scenario of `scenarios/`, which drives a Chromium of
//! its own before a showcase of its own, the program as a user runs it.
#![cfg(unix)]
#![forbid(unsafe_code)]

#[path = "../../../../crates/desist-ops/tests/browser/programs.rs"]
mod programs;
mod scenario;

macro_rules! scenarios {
    ($(fn $name:ident() = $file:literal;)*) => {
        $(
            #[test]
            fn $name() {
                scenario::runs($file);
            }
        )*
    };
}

scenarios! {
    fn whatever_is_started_is_stopped_and_the_log_says_how() = "requests";
    fn a_newer_search_and_a_request_below_another_one_are_told_apart() = "pairs";
    fn an_operation_outlives_its_tab_and_is_cancelled_from_another_one() = "operations";
    fn what_ran_in_a_tab_that_is_closed_is_stopped() = "closed";
    fn what_does_not_stop_is_asked_then_overdue_then_in_the_report() = "deaf";
    fn tabs_of_one_browser_share_its_connections() = "tabs";
    fn tabs_that_cannot_share_connections_count_their_own() = "alone";
    fn what_came_while_the_connections_were_cut_is_caught_up_with() = "cut";
    fn a_server_that_dies_is_noticed_and_found_again() = "restart";
    fn an_interrupt_ends_what_runs_and_a_second_one_does_not_wait() = "interrupt";
    fn nobody_is_shut_out() = "axe";
    fn all_of_it_goes_by_keyboard_and_in_little_room() = "room";
    fn messages_are_worked_on_where_there_is_a_queue() = "messages";
}

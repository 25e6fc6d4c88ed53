//! The promises of the signal, one module for each, each test named by what is promised.

#[path = "../common/mod.rs"]
mod common;

mod p01_one_way;
mod p02_marked_woken_called;
mod p02_wide_trees;
mod p03_one_winner;
mod p04_callbacks;
mod p05_unregister;
mod p05_while_registered;
mod p06_foreign_code;
mod p06_timer_goes_on;
mod p07_panics;
mod p08_visibility;
mod p09_no_leak;
mod p10_no_recursion;
mod p11_arming;
mod p11_deadlines;
mod p11_real_time;
mod p12_run;
mod p13_timeout_or_cancel;
mod p14_cheap_handles;

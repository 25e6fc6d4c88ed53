//! Tasks that belong together, and how they end. Every line that this prints was
//! asserted first.
//!
//! `cargo run -p desist-examples --bin 02-tasks`

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::future::pending;
use std::time::{Duration, Instant};

use desist::{Cancelled, FutureExt, Reason, Token};
use desist_tokio::{Grace, Outcome, TaskGroup, current, shield, sleep, timeout, with_current};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() {
    outcomes().await;
    a_failure_stops_the_others().await;
    drain_then_stop().await;
    a_straggler().await;
    a_timeout().await;
    a_channel().await;
    a_cleanup().await;
    the_ambient_token().await;
}

fn proved(what: &str, how: impl std::fmt::Display) {
    println!("{what:<22}{how}");
}

/// Every task has one.
async fn outcomes() {
    let squares = TaskGroup::new().returning::<u32>().max_concurrent(2);
    for number in 1..=4 {
        squares.spawn(format!("square of {number}"), move |_stop| async move { number * number });
    }
    let ended = squares.join().await;
    assert_eq!(ended.len(), 4);
    let sum: u32 = ended.into_iter().filter_map(|end| end.into_outcome().finished()).sum();
    assert_eq!(sum, 30);
    proved("outcomes", format_args!("four tasks, two at a time, gave {sum} together"));
}

/// Unless it is told not to.
async fn a_failure_stops_the_others() {
    let group = TaskGroup::new();
    group.spawn("heartbeat", |stop| async move { sleep(Duration::from_secs(3600), &stop).await });
    group.spawn("importer", |_stop| async { Err("the file has no header") });
    let ended = group.join().await;
    let cause = group.signal().cancellation().expect("the others were asked");
    assert_eq!(cause.reason(), Reason::SiblingFailed);
    assert_eq!(ended[0].to_string(), "task `importer` failed: the file has no header");
    proved("a failure", format_args!("{}; the other one was asked to stop", ended[0]));
}

/// No new work; what is in hand goes on.
async fn drain_then_stop() {
    let group = TaskGroup::new().returning::<usize>();
    let (orders, mut received) = mpsc::channel(8);
    for order in 0..3 {
        orders.send(order).await.expect("there is room");
    }
    group.spawn("worker", move |stop| async move {
        stop.draining().await;
        received.close();
        let mut done = 0;
        while received.recv().await.is_some() {
            done += 1;
        }
        done
    });
    let second = Duration::from_secs(1);
    let report = group.stop(Grace::new(second).drain_for(second)).await;
    assert!(report.is_clean());
    let done = report.into_outcomes().remove(0).into_outcome();
    assert!(matches!(done, Outcome::Finished(3)));
    proved("drain", "the orders in hand were finished before the stop");
}

/// It is named, with its place.
async fn a_straggler() {
    let group = TaskGroup::new();
    let (tell, mut told) = mpsc::channel(1);
    group.spawn("deaf", move |_stop| async move {
        tell.send(()).await.expect("somebody listens");
        pending::<()>().await;
    });
    told.recv().await;
    let report = group.stop(Duration::from_millis(20)).await;
    let straggler = &report.stragglers()[0];
    assert_eq!(straggler.name(), "deaf");
    assert!(straggler.place().file().ends_with("02_tasks.rs"));
    proved("a straggler", straggler);
}

/// Told from any other stop by its reason.
async fn a_timeout() {
    let begin = Instant::now();
    let late = timeout(Duration::from_millis(20), &Token::never(), |token| async move {
        assert!(token.remaining().is_some(), "whoever works sees how long it has");
        pending::<()>().await;
    });
    let cancelled = late.await.expect_err("it never ends by itself");
    assert_eq!(cancelled.reason(), Reason::Deadline);
    assert!(begin.elapsed() >= Duration::from_millis(20));
    proved("a timeout", cancelled);
}

/// Nothing that was received is lost.
async fn a_channel() {
    let (sender, mut receiver) = mpsc::channel(8);
    sender.send("a message").await.expect("there is room");
    let stopped = Token::cancelled_with(Reason::Shutdown);
    assert!(receiver.recv().or_cancelled(&stopped).await.is_err());
    assert_eq!(receiver.recv().await, Some("a message"));
    proved("a channel", "what was not taken when the stop came is still there");
}

/// It finishes, although its task is gone.
async fn a_cleanup() {
    let (tell, mut told) = mpsc::channel(1);
    let work = timeout(Duration::from_millis(20), &Token::never(), |_token| {
        shield(async move {
            sleep(Duration::from_millis(60), &Token::never()).await?;
            tell.send("rolled back").await.expect("somebody listens");
            Ok::<_, Cancelled>(())
        })
    });
    assert!(work.await.is_err(), "the time is over before the cleanup is");
    assert_eq!(told.recv().await, Some("rolled back"));
    proved("a cleanup", "finished, although the task it was in was not");
}

/// For code that cannot be given one.
async fn the_ambient_token() {
    async fn deep_below() -> Result<(), Cancelled> {
        current().check()
    }
    let stopped = Token::cancelled_with(Reason::Disconnected);
    let cancelled = with_current(stopped, deep_below()).await.expect_err("it is around it");
    assert!(deep_below().await.is_ok());
    proved("the ambient token", cancelled);
}

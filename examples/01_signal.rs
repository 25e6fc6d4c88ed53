//! The signal, step by step. Every line that this prints was asserted first.
//!
//! `cargo run -p desist-examples`

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use desist::{Cancelled, Cause, Reason, Source, Token, find_cancelled};

fn main() {
    source_and_token();
    the_cause();
    children();
    linked();
    deadlines();
    callbacks();
    taking_a_callback_back();
    a_thread_that_stops();
    a_future_that_stops();
    told_from_failure();
}

fn proved(what: &str, how: impl std::fmt::Display) {
    println!("{what:<22}{how}");
}

/// The source may ask for the stop, the token is asked.
fn source_and_token() {
    let source = Source::new();
    let token = source.token();
    assert!(!token.is_cancelled());
    assert_eq!(token.check().map_err(|c| c.reason()), Ok(()));

    let first = source.cancel();
    let second = source.cancel();
    assert!(first && !second);
    assert!(token.is_cancelled());
    proved("source and token", "the token saw it; one of two calls of cancel() won");
}

/// Why, in whose words, from where and when.
fn the_cause() {
    let source = Source::new();
    let before = Instant::now();
    let line = line!() + 1;
    source.cancel_with(Cause::new(Reason::Disconnected).message("the tab was closed"));

    let cancelled = source.token().cancellation().expect("it was cancelled above");
    assert_eq!(cancelled.reason(), Reason::Disconnected);
    let detail = cancelled.detail().expect("it was given a message");
    assert_eq!(detail.to_string(), "the tab was closed");
    let origin = cancelled.origin();
    assert!(origin.file().ends_with("01_signal.rs"));
    assert_eq!(origin.line(), line);
    assert!((before..=Instant::now()).contains(&cancelled.at()));

    assert!(!source.cancel_with(Reason::Shutdown));
    assert_eq!(source.token().reason(), Some(Reason::Disconnected));
    proved(
        "the cause",
        format_args!(
            "{cancelled}, \"{detail}\", asked for in line {line}; a later one changes nothing"
        ),
    );
}

/// A stop goes down the tree and never up.
fn children() {
    let request = Source::new();
    let query = request.child();
    let row = query.token().child();
    let sibling = request.token().child();

    query.cancel_with(Reason::Superseded);
    assert!(row.is_cancelled());
    assert!(!request.is_cancelled() && !sibling.is_cancelled());

    request.cancel_with(Reason::Shutdown);
    assert_eq!(sibling.token().reason(), Some(Reason::Shutdown));
    assert_eq!(row.token().reason(), Some(Reason::Superseded));
    assert_eq!(request.token().child().token().reason(), Some(Reason::Shutdown));
    proved("children", "down, not up and not across; who comes late is born cancelled");
}

/// Several causes, one token.
fn linked() {
    let shutdown = Source::new();
    let request = Source::new();
    let work = Source::linked([shutdown.token(), request.token()]);
    assert!(!work.is_cancelled());
    shutdown.cancel_with(Reason::Shutdown);
    assert_eq!(work.token().reason(), Some(Reason::Shutdown));
    assert!(!request.is_cancelled());

    assert_eq!(Token::any([Token::never(), request.token()]), request.token());
    assert!(!Token::never().can_be_cancelled());
    proved("linked", "either of two parents stops the work; never() takes no part");
}

/// The callee sees the deadline of the caller and cannot outlive it.
fn deadlines() {
    let request = Source::with_timeout(Duration::from_millis(40));
    let due = request.token().deadline().expect("it was armed");
    let longer = request.token().child_with_timeout(Duration::from_secs(60));
    assert_eq!(longer.token().deadline(), Some(due));
    let shorter = request.token().child_with_timeout(Duration::from_millis(5));
    assert!(shorter.token().deadline() < Some(due));

    let cancelled = longer.token().blocking_wait();
    let late = Instant::now().saturating_duration_since(due);
    assert_eq!(cancelled.reason(), Reason::Deadline);
    assert!(cancelled.at() >= due);
    assert_eq!(longer.token().remaining(), Some(Duration::ZERO));
    assert_eq!(request.child().token().reason(), Some(Reason::Deadline));
    proved(
        "deadlines",
        format_args!("a child asked for 60 s, inherited 40 ms, ended {late:.1?} after"),
    );
}

/// Newest first, and a child's before its parent's.
fn callbacks() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let say = |token: &Token, what: &'static str| {
        let said = Arc::clone(&said);
        token.on_cancel(move |_| said.lock().expect("nobody panics").push(what))
    };
    let parent = Source::new();
    let child = parent.child();
    let _opened = say(&parent.token(), "parent, opened");
    let _began = say(&parent.token(), "parent, began");
    let _row = say(&child.token(), "child");

    assert!(parent.cancel());
    let said = said.lock().expect("nobody panics").join("; ");
    assert_eq!(said, "child; parent, began; parent, opened");
    proved("callbacks", format_args!("ran before cancel() returned: {said}"));
}

/// `unregister` says whether it came in time.
fn taking_a_callback_back() {
    let source = Source::new();
    let (sender, called) = mpsc::channel();
    let early = source.token().on_cancel(move |_| panic!("it was taken back"));
    let late = source.token().on_cancel(move |cancelled| {
        sender.send(cancelled.reason()).expect("the receiver is below");
    });

    assert!(early.unregister());
    source.cancel();
    assert!(!late.unregister());
    assert_eq!(called.try_recv(), Ok(Reason::Requested));
    proved("taking one back", "true before the cancel, false after it had run");
}

/// A loop on a thread looks at the token where it is safe to stop.
fn a_thread_that_stops() {
    fn rows(token: &Token, first: &mpsc::Sender<()>) -> Result<u64, Cancelled> {
        let mut rows = 0;
        loop {
            token.check()?;
            rows += 1;
            if rows == 3 {
                first.send(()).expect("somebody listens");
            }
            token.blocking_sleep(Duration::from_millis(1))?;
        }
    }

    let source = Source::new();
    let token = source.token();
    let (sender, three) = mpsc::channel();
    let worker = thread::spawn(move || rows(&token, &sender));
    three.recv().expect("the worker is at work");
    source.cancel_with(Reason::Superseded);
    let ended = worker.join().expect("the worker did not panic");
    let cancelled = ended.expect_err("it runs until it is asked to stop");
    assert_eq!(cancelled.reason(), Reason::Superseded);
    proved("a thread", format_args!("left its loop through `?`: {cancelled}"));
}

/// `run` is the future or the stop, whichever is first; a value is never lost.
fn a_future_that_stops() {
    let source = Source::new();
    let token = source.token();
    assert_eq!(block_on(token.run(async { 7 })).ok(), Some(7));

    let canceller = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        source.cancel_with("the user pressed Stop")
    });
    let endless = std::future::pending::<()>();
    let cancelled = block_on(token.run(endless)).expect_err("it has no end of its own");
    assert!(canceller.join().expect("it did not panic"));
    let detail = cancelled.detail().expect("it was given a message");
    assert_eq!(detail.to_string(), "the user pressed Stop");

    let again = block_on(async { (&token).await });
    assert_eq!(again.reason(), Reason::Requested);
    assert!(block_on(token.run(async { 7 })).is_err());
    proved("a future", format_args!("without a runtime, woken from another thread: {detail}"));
}

/// A stop that went through other people's errors is still known as one.
fn told_from_failure() {
    fn copy(token: &Token) -> io::Result<u64> {
        token.check()?;
        Err(io::Error::other("the disk is full"))
    }

    let source = Source::new();
    let failed = copy(&source.token()).expect_err("the disk is full");
    assert!(find_cancelled(&failed).is_none());

    source.cancel_with(Reason::Shutdown);
    let stopped: Box<dyn Error> = copy(&source.token()).expect_err("it was cancelled").into();
    let found = find_cancelled(stopped.as_ref()).expect("it is in the chain");
    assert_eq!(found.reason(), Reason::Shutdown);

    let late: io::Error = Source::with_timeout(Duration::ZERO)
        .token()
        .check()
        .expect_err("no time at all is over at once")
        .into();
    assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    proved("told from failure", format_args!("found in an io::Error: {found}; not in: {failed}"));
}

/// The smallest executor: polls, and parks the thread until it is woken.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

//! Promise 14: handles are one pointer, and `Debug` never blocks.

use std::mem::size_of;
use std::thread;
use std::time::Duration;

use desist::{Cancelled, Reason, Source, Token};

use crate::common::wakers::on_wake;
use crate::common::{Gate, Log, no_deadlock, poll_with};

#[test]
fn token_source_and_cancelled_are_one_pointer() {
    assert_eq!(size_of::<Token>(), size_of::<*const ()>());
    assert_eq!(size_of::<Source>(), size_of::<*const ()>());
    assert_eq!(size_of::<Cancelled>(), size_of::<*const ()>());
}

#[test]
fn the_result_of_a_check_is_one_word() {
    assert_eq!(size_of::<Result<(), Cancelled>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Cancelled>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Source>>(), size_of::<usize>());
}

#[test]
fn a_reason_is_one_byte() {
    assert_eq!(size_of::<Reason>(), 1);
}

/// The text of everything that can be printed.
fn print(source: &Source) -> String {
    let token = source.token();
    let child = token.child();
    let registration = token.on_cancel(|_| ());
    let text = format!(
        "{source:?} {token:?} {child:?} {registration:?} {:?} {:?} {:?} {:?}",
        token.cancelled(),
        token.run(std::future::ready(1)),
        token.cancellation(),
        token.on_cancel(|_| ()).unregistered(),
    );
    assert!(!text.is_empty());
    text
}

#[test]
fn debug_never_blocks_inside_a_callback() {
    no_deadlock(|| {
        let root = Source::new();
        let child = root.child();
        let log = Log::new();
        for source in [&root, &child] {
            let (to, all) = (log.clone(), [root.clone(), child.clone()]);
            source
                .token()
                .on_cancel(move |_| all.iter().for_each(|source| to.push(print(source))))
                .detach();
        }
        root.cancel();
        assert_eq!(log.take().len(), 4);
    });
}

#[test]
fn debug_never_blocks_while_another_thread_is_inside_a_callback() {
    no_deadlock(|| {
        let root = Source::new();
        let child = root.child();
        let (entered, leave) = (Gate::new(), Gate::new());
        let (inside, wait) = (entered.clone(), leave.clone());
        let held = child.token().on_cancel(move |_| {
            inside.open();
            wait.wait();
        });
        thread::scope(|scope| {
            scope.spawn(|| root.cancel());
            entered.wait();
            print(&root);
            print(&child);
            assert!(!format!("{held:?}").is_empty());
            leave.open();
        });
    });
}

#[test]
fn debug_never_blocks_inside_a_waker() {
    no_deadlock(|| {
        let root = Source::new();
        let child = root.child();
        let (log, token) = (Log::new(), root.clone());
        let (to, other) = (log.clone(), child.clone());
        let waker = on_wake(move || {
            to.push(print(&token));
            to.push(print(&other));
        });
        let mut wait = Box::pin(child.token().cancelled_owned());
        assert!(poll_with(wait.as_mut(), &waker).is_pending());
        root.cancel();
        assert_eq!(log.take().len(), 2);
    });
}

#[test]
fn debug_never_blocks_while_others_work_on_the_token() {
    no_deadlock(|| {
        let root = Source::new();
        let stop = Source::new();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.is_cancelled() {
                        let child = root.child();
                        drop(child.token().on_cancel(|_| ()));
                        root.cancel_after(Duration::from_secs(3_600));
                    }
                });
            }
            for _ in 0..300 {
                print(&root);
            }
            stop.cancel();
        });
    });
}

#[test]
fn tokens_are_equal_if_they_are_of_the_same_signal() {
    let (source, other) = (Source::new(), Source::new());
    let token = source.token();
    assert_eq!(token, source.token());
    assert_eq!(token, token.clone());
    assert_eq!(token, source.clone().token());
    assert_ne!(token, other.token());
    assert_ne!(token, source.child().token());
    assert_eq!(Token::never(), Token::default());
    assert_ne!(token, Token::never());
}

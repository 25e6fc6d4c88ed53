//! The two stages.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use desist::testing::ManualClock;
use desist::{Reason, Source, Token};
use desist_tokio::{Stop, StopSource};

#[test]
fn a_cancel_implies_the_drain_and_a_drain_no_cancel() {
    let source = StopSource::new();
    let stop = source.stop();
    assert!(source.drain());
    assert!(stop.draining().is_cancelled() && !stop.is_cancelled());
    let source = StopSource::new();
    let stop = source.stop();
    assert!(source.cancel_with(Reason::LeaseLost));
    assert_eq!(stop.draining().reason(), Some(Reason::LeaseLost));
    assert!(!source.drain(), "it drains already");
}

#[test]
fn whoever_is_asked_to_stop_finds_that_it_drains_as_well() {
    let source = StopSource::new();
    let stop = source.stop();
    let order = Arc::new(Mutex::new(Vec::new()));
    for (name, token) in [("stop", stop.token()), ("drain", stop.draining())] {
        let (order, draining) = (Arc::clone(&order), stop.draining().clone());
        token
            .on_cancel(move |_| {
                assert!(draining.is_cancelled());
                order.lock().unwrap().push(name);
            })
            .detach();
    }
    source.cancel();
    assert_eq!(*order.lock().unwrap(), ["drain", "stop"]);
}

#[test]
fn a_child_has_both_stages_of_its_parent_and_its_own() {
    let parent = StopSource::new();
    let (first, second) = (parent.stop().child(), parent.stop().child());
    first.drain_with(Reason::Superseded);
    assert_eq!(first.stop().draining().reason(), Some(Reason::Superseded));
    assert!(!second.stop().draining().is_cancelled());
    parent.drain();
    assert_eq!(second.stop().draining().reason(), Some(Reason::Shutdown));
    second.cancel();
    assert!(!parent.stop().is_cancelled());
    parent.cancel_with(Reason::Disconnected);
    assert_eq!(first.stop().reason(), Some(Reason::Disconnected));
    assert_eq!(first.stop().child().stop().reason(), Some(Reason::Disconnected));
}

#[test]
fn a_plain_token_is_a_stop_whose_stages_come_together() {
    let source = Source::new();
    let stop = Stop::from(source.token());
    assert_eq!(stop, Stop::from(&source.token()));
    source.cancel();
    assert!(stop.draining().is_cancelled() && stop.is_cancelled());
    assert!(!Stop::never().draining().can_be_cancelled());
}

#[test]
fn its_deadline_is_the_tokens() {
    let clock = ManualClock::new();
    let source = StopSource::with_clock(clock.clock());
    let stop = source.stop();
    source.cancel_after(Duration::from_secs(5));
    assert!(stop.deadline().is_some());
    clock.advance(Duration::from_secs(5));
    assert_eq!(stop.reason(), Some(Reason::Deadline));
    assert_eq!(stop.draining().reason(), Some(Reason::Deadline));
}

#[test]
fn it_goes_wherever_a_token_goes() {
    fn by_reference(token: &Token) -> bool {
        token.is_cancelled()
    }
    fn generic(token: impl AsRef<Token>) -> bool {
        token.as_ref().is_cancelled()
    }
    let source = StopSource::default();
    let stop = source.stop();
    assert!(!by_reference(&stop) && !generic(&stop) && !generic(stop.clone()));
    assert!(format!("{stop:?} {source:?}").contains("live"));
}

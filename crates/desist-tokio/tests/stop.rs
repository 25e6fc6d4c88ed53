//! The two stages.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use desist::testing::ManualClock;
use desist::{Reason, Source, Token};
use desist_tokio::{Grace, OnFailure, Outcome, Stop, StopSource, TaskGroup};

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

#[test]
fn only_a_look_at_the_drain_is_noted() {
    let source = StopSource::new().noting_drain();
    let stop = source.stop();
    let child = stop.child();
    assert!(!stop.is_cancelled() && !stop.token().is_cancelled() && !child.stop().is_cancelled());
    assert_eq!((stop.clone(), Stop::from(&stop)), (source.stop(), stop.clone()));
    assert!(format!("{stop:?} {source:?} {child:?}").contains("live"));
    assert!(child.drain() && child.cancel() && source.drain() && source.cancel());
    assert!(Stop::from(stop.token()).draining().is_cancelled(), "a token has no drain of its own");
    assert!(!source.drain_noted());
    assert!(stop.draining().is_cancelled());
    assert!(source.drain_noted());
}

#[test]
fn a_look_at_any_depth_is_noted_by_all_above_that_note() {
    let root = StopSource::new().noting_drain();
    let between = root.stop().child();
    let (left, right) = (between.stop().child().noting_drain(), between.stop().child());
    let right = right.noting_drain();
    let noted = || [&root, &between, &left, &right].map(StopSource::drain_noted);
    let mut deep = left.stop().child();
    for _ in 0..10 {
        deep = deep.stop().child();
    }
    assert_eq!(noted(), [false; 4]);
    assert!(!deep.stop().draining().is_cancelled());
    assert_eq!(noted(), [true, false, true, false], "who does not note says no");
    // What was noted above already is news to one below.
    assert!(!right.stop().draining().is_cancelled());
    assert_eq!(noted(), [true, false, true, true]);
}

#[test]
fn a_clone_shares_what_is_noted_and_stops_of_before_are_not_noted() {
    let plain = StopSource::new();
    let before = plain.stop();
    let noting = plain.clone().noting_drain();
    assert!(!before.draining().is_cancelled());
    assert!(!before.child().stop().draining().is_cancelled());
    assert!(!plain.stop().draining().is_cancelled());
    assert!(!noting.drain_noted());
    let clone = noting.clone();
    let stop = noting.stop();
    // Asked for twice, it is what it was.
    let again = noting.noting_drain();
    assert!(!stop.draining().is_cancelled());
    assert_eq!([&plain, &clone, &again].map(StopSource::drain_noted), [false, true, true]);
}

#[test]
fn whoever_notes_is_no_other_source() {
    let plain = StopSource::new();
    let noting = plain.clone().noting_drain();
    assert_eq!((&plain, plain.stop()), (&noting, noting.stop()));
    assert_eq!(format!("{plain:?}"), format!("{noting:?}"));
    assert!(HashSet::from([plain.stop()]).contains(&noting.stop()));
    assert!(HashSet::from([plain]).contains(&noting));
    assert_ne!(StopSource::new().noting_drain(), noting);
}

/// Deeper than a stack could follow link by link.
#[test]
fn many_below_each_other_that_note_are_freed() {
    let root = StopSource::new().noting_drain();
    let mut all = vec![root.clone()];
    for _ in 0..100_000 {
        all.push(all.last().unwrap().stop().child().noting_drain());
    }
    assert!(!all.last().unwrap().stop().draining().is_cancelled());
    assert!(all.iter().all(StopSource::drain_noted));
    drop(all);
    assert!(root.drain_noted());
}

#[tokio::test(start_paused = true)]
async fn what_a_group_does_by_itself_is_no_look() {
    let source = StopSource::new().noting_drain();
    let group = TaskGroup::under(source.stop()).on_failure(OnFailure::Continue);
    group.spawn("asked", |stop| async move { Err::<(), _>(stop.token().await) });
    group.spawn_blocking("blocking", |stop| stop.token().check());
    group.spawn("fails", |_| async { Err::<(), _>("no disk") });
    group.spawn("panics", |_| async { panic!("no ink") });
    let inner = group.signal().clone();
    group.spawn("outer", move |stop| async move {
        let group = TaskGroup::under(&inner).max_concurrent(1);
        group.spawn("inner", |stop| async move { stop.token().check() });
        drop(TaskGroup::new());
        stop.token().await;
        group.wait().await
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let report = group.stop(Grace::new(Duration::from_secs(1)).drain_for(Duration::from_secs(1)));
    let outcomes = report.await.into_outcomes();
    assert!(outcomes.iter().any(|ended| matches!(ended.outcome(), Outcome::Cancelled(_))));
    assert!(!source.drain_noted());
}

#[tokio::test(start_paused = true)]
async fn a_look_of_a_task_is_noted() {
    for which in 0..4 {
        let source = StopSource::new().noting_drain();
        let group = TaskGroup::under(source.stop()).max_concurrent(2);
        let look = |stop: &Stop| assert!(!stop.draining().is_cancelled());
        match which {
            0 => drop(group.spawn("async", move |stop| async move { look(&stop) })),
            1 => drop(group.spawn_blocking("blocking", move |stop| look(&stop))),
            2 => drop(group.spawn("outer", move |stop| async move {
                let inner = TaskGroup::under(&stop);
                inner.spawn("inner", move |stop| async move { look(&stop) });
                inner.wait().await.unwrap();
            })),
            _ => look(group.spawner().signal()),
        }
        group.wait().await.unwrap();
        assert!(source.drain_noted(), "{which}");
    }
}

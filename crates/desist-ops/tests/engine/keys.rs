//! Tags and keys.

use desist::Reason;
use desist_ops::{Duplicates, Filter, Kind, Operations, State, Store};

use crate::bench::*;
use crate::world::{World, on_both};

on_both!(
    one_that_is_born_cancelled_supersedes_nobody,
    all_with_a_tag_are_cancelled_and_no_others,
    however_many_have_a_tag_all_are_cancelled,
    the_same_key_joins_what_waits_or_runs,
    the_same_key_does_not_join_what_was_asked_to_stop,
    the_same_key_supersedes_what_waits_or_runs,
    the_same_key_can_be_allowed,
    a_key_is_one_of_its_kind,
    of_many_starts_with_one_key_one_is_new,
    of_many_starts_that_supersede_each_other_one_survives,
);

async fn all_with_a_tag_are_cancelled_and_no_others<W: World>(world: &W) {
    let kinds =
        || [stays("runs"), stays("waits").concurrency(0), counts("short", &Count::default())];
    let (here, there) = (process(world, kinds()).await, process(world, kinds()).await);
    let run = runs(&there);
    let tag = "tenant:7' OR 1=1 --";
    let start = async |kind| here.start(kind, &()).tag("all").tag(tag).await.unwrap().id();
    let (runs, waits, short) = (start("runs").await, start("waits").await, start("short").await);
    let other = here.start("runs", &()).tag("all").tag("tenant:77").await.unwrap().id();
    soon(here.until_running(runs)).await.unwrap();
    soon(here.until_running(other)).await.unwrap();
    ended(&here, short).await;
    let answers = here.cancel_tagged(tag, by("ada")).await.unwrap();

    // What is over is not asked about.
    assert_eq!((answers.len(), answers.requested(), answers.before_start()), (2, 1, 1));
    assert_eq!(answers.iter().map(|(id, _)| id).collect::<Vec<_>>(), [runs, waits]);
    for id in [runs, waits] {
        assert_eq!(ended(&here, id).await.state, CANCELLED);
    }
    assert_eq!(now(&here, short).await.state, SUCCEEDED);
    assert_eq!(now(&here, other).await.state, State::Running);
    assert!(here.cancel_tagged("nobody's", by("ada")).await.unwrap().is_empty());
    assert_eq!(here.count(&Filter::new().tag(tag)).await.unwrap(), 3);
    assert_eq!(here.count(&Filter::new().tag("all")).await.unwrap(), 4);
    run.end().await;
}

async fn however_many_have_a_tag_all_are_cancelled<W: World>(world: &W) {
    // More than are asked at a time, and not a multiple of that.
    const ALL: u32 = 2500;
    let all = process(world, [stays("waits")]).await;
    waiting(world, "waits", ALL).await;
    world.sql("INSERT INTO desist_ops_tag SELECT 'all', id FROM desist_ops").await;
    let other = begun(&all, "waits").await;
    let answers = soon(all.cancel_tagged("all", by("ada"))).await.unwrap();

    assert_eq!((answers.len(), answers.before_start()), (ALL as usize, ALL as usize));
    let distinct: std::collections::HashSet<_> = answers.iter().map(|(id, _)| id).collect();
    assert_eq!(distinct.len(), ALL as usize);
    let cancelled = all.count(&Filter::new().state(CANCELLED).tag("all")).await.unwrap();
    assert_eq!(cancelled, u64::from(ALL));
    assert_eq!(now(&all, other).await.state, State::Waiting);
}

async fn the_same_key_joins_what_waits_or_runs<W: World>(world: &W) {
    let gate = Gate::default();
    let kinds = || [waits("one", &gate)];
    let (here, there) = (process(world, kinds()).await, process(world, kinds()).await);
    let first = here.start("one", &()).key("k").await.unwrap();
    assert!(!first.is_joined());
    let id = first.id();
    let again = there.start("one", &()).key("k").await.unwrap();
    assert!(again.is_joined() && again.id() == id);
    let run = runs(&there);
    gate.came().await;
    let again = here.start("one", &()).key("k").tag("x").await.unwrap();
    assert!(again.is_joined() && again.id() == id);
    assert!(!here.start("one", &()).key("other").await.unwrap().is_joined());

    gate.open(2);
    ended(&here, id).await;
    let next = here.start("one", &()).key("k").await.unwrap();
    assert!(!next.is_joined() && next.id() != id, "the first one is over");
    assert_eq!(here.find("one", "k").await.unwrap().unwrap().id, next.id());
    assert!(here.find("one", "nobody's").await.unwrap().is_none());
    gate.open(1);
    ended(&here, next.id()).await;
    run.end().await;
}

async fn the_same_key_does_not_join_what_was_asked_to_stop<W: World>(world: &W) {
    let gate = Gate::default();
    let all = process(world, [waits("one", &gate)]).await;
    let run = runs(&all);
    let id = all.start("one", &()).key("k").await.unwrap().id();
    gate.came().await;
    all.cancel(id, by("ada")).await.unwrap();

    let next = all.start("one", &()).key("k").await.unwrap();
    assert!(!next.is_joined() && next.id() != id);
    gate.came().await;
    // They run beside each other.
    gate.open(2);
    assert!(ended(&all, id).await.succeeded_in_spite_of_a_cancel());
    assert_eq!(ended(&all, next.id()).await.state, SUCCEEDED);
    run.end().await;
}

fn supersedes<S: Store>() -> [Kind<S>; 2] {
    let policy = Duplicates::Superseded;
    [stays("runs").duplicates(policy), stays("waits").duplicates(policy).concurrency(0)]
}

async fn the_same_key_supersedes_what_waits_or_runs<W: World>(world: &W) {
    let (here, there) = (process(world, supersedes()).await, process(world, supersedes()).await);
    let run = runs(&there);
    for kind in ["runs", "waits"] {
        let id = here.start(kind, &()).key("k").await.unwrap().id();
        if kind == "runs" {
            soon(here.until_running(id)).await.unwrap();
        }
        let next = here.start(kind, &()).key("k").await.unwrap();
        assert!(!next.is_joined() && next.id() != id);
        let old = ended(&here, id).await;
        assert_eq!(old.state, CANCELLED);
        let why = old.cancel.unwrap();
        assert_eq!(why.reason(), Reason::Superseded);
        assert!(why.told().unwrap().contains(&next.id().to_string()), "{why}");
        let new = now(&here, next.id()).await;
        assert!(!new.state.is_finished() && new.cancel.is_none(), "{new:?}");
    }
    run.end().await;
}

async fn the_same_key_can_be_allowed<W: World>(world: &W) {
    let all = process(world, [stays("one").duplicates(Duplicates::Allowed)]).await;
    let first = all.start("one", &()).key("k").await.unwrap();
    let second = all.start("one", &()).key("k").await.unwrap();
    assert!(!second.is_joined() && second.id() != first.id());
    for id in [first.id(), second.id()] {
        let one = now(&all, id).await;
        assert_eq!((one.state, one.key.as_deref()), (State::Waiting, Some("k")));
    }
    assert_eq!(all.find("one", "k").await.unwrap().unwrap().id, second.id());
}

async fn a_key_is_one_of_its_kind<W: World>(world: &W) {
    let all = process(world, [stays("one"), stays("other")]).await;
    let first = all.start("one", &()).key("k").await.unwrap();
    let second = all.start("other", &()).key("k").await.unwrap();
    assert!(!second.is_joined());
    assert_eq!(all.find("one", "k").await.unwrap().unwrap().id, first.id());
}

/// Ten at once, from two processes.
pub(crate) async fn ten<S: Store>(
    one: &Operations<S>,
    other: &Operations<S>,
    key: &'static str,
) -> Vec<desist_ops::Started> {
    let starts = (0..10).map(|n| {
        let operations = if n % 2 == 0 { one.clone() } else { other.clone() };
        tokio::spawn(async move { operations.start("waits", &()).key(key).await.unwrap() })
    });
    let mut all = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        all.push(soon(start).await.unwrap());
    }
    all
}

async fn of_many_starts_with_one_key_one_is_new<W: World>(world: &W) {
    let (one, other) =
        (process(world, [stays("waits")]).await, process(world, [stays("waits")]).await);
    for key in ["a", "b", "c"] {
        let all = ten(&one, &other, key).await;
        let new: Vec<_> = all.iter().filter(|started| !started.is_joined()).collect();
        assert_eq!(new.len(), 1, "{all:?}");
        assert!(all.iter().all(|started| started.id() == new[0].id()), "{all:?}");
    }
    assert_eq!(one.count(&Filter::new()).await.unwrap(), 3);
}

async fn of_many_starts_that_supersede_each_other_one_survives<W: World>(world: &W) {
    let (one, other) = (process(world, supersedes()).await, process(world, supersedes()).await);
    for key in ["a", "b", "c"] {
        let all = ten(&one, &other, key).await;
        assert!(all.iter().all(|started| !started.is_joined()));
    }
    assert_eq!(one.count(&Filter::new().state(State::Waiting)).await.unwrap(), 3);
    let gone = Filter::new().state(CANCELLED).reason(Reason::Superseded);
    assert_eq!(one.count(&gone).await.unwrap(), 27);
}

async fn one_that_is_born_cancelled_supersedes_nobody<W: World>(world: &W) {
    let kind = stays("one").duplicates(Duplicates::Superseded).concurrency(0);
    let all = process(world, [kind]).await;
    let lives = all.start("one", &()).key("k").await.unwrap().id();
    let root = begun(&all, "one").await;
    all.cancel_tree(root, by("ada")).await.unwrap();
    let late = all.start("one", &()).parent(root).key("k").await.unwrap();
    assert!(late.is_cancelled());
    assert_eq!(now(&all, lives).await.state, State::Waiting, "nobody does its work otherwise");
}

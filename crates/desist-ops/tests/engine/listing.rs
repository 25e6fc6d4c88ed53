//! Finding operations, and removing old ones.

use std::time::Duration;

use desist::Reason;
use desist_ops::{CancelRequest, Filter, Operation, OperationId, State};

use crate::bench::*;
use crate::world::{World, on_both};

on_both!(
    what_is_asked_for_is_found_and_nothing_else,
    a_list_goes_on_where_a_page_ended,
    what_is_old_is_removed_with_all_that_belongs_to_it,
    what_has_not_ended_is_never_removed,
    of_a_tree_the_root_is_not_removed_while_something_below_is_there,
    nothing_is_removed_if_it_is_to_be_kept_for_ever,
);

fn ids(operations: &[Operation]) -> Vec<OperationId> {
    operations.iter().map(|operation| operation.id).collect()
}

async fn what_is_asked_for_is_found_and_nothing_else<W: World>(world: &W) {
    let all = process(world, [stays("a").concurrency(0), counts("b", &Count::default())]).await;
    let run = runs(&all);
    let first = all.start("a", &()).actor("ada").tag("x").tag("y").await.unwrap().id();
    let second = all.start("a", &()).actor("bob").tag("x").parent(first).await.unwrap().id();
    let third = all.start("b", &()).actor("ada").parent(second).await.unwrap().id();
    let fourth = all.start("a", &()).actor("ada").await.unwrap().id();
    ended(&all, third).await;
    let request = CancelRequest::new().actor("cleo").because(Reason::Overload);
    all.cancel(fourth, request).await.unwrap();

    let cases = [
        (Filter::new(), vec![fourth, third, second, first]),
        (Filter::default().kind("a"), vec![fourth, second, first]),
        (Filter::new().kind("c"), vec![]),
        (Filter::new().state(State::Waiting), vec![second, first]),
        (Filter::new().state(SUCCEEDED), vec![third]),
        (Filter::new().state(CANCELLED), vec![fourth]),
        (Filter::new().state(State::Running), vec![]),
        (Filter::new().tag("x"), vec![second, first]),
        (Filter::new().tag("y"), vec![first]),
        (Filter::new().tag("X"), vec![]),
        (Filter::new().parent(first), vec![second]),
        (Filter::new().tree(first), vec![third, second, first]),
        (Filter::new().tree(OperationId::random()), vec![]),
        (Filter::new().actor("ada"), vec![fourth, third, first]),
        (Filter::new().reason(Reason::Overload), vec![fourth]),
        (Filter::new().reason(Reason::Requested), vec![]),
        (Filter::new().cancelled_by("cleo"), vec![fourth]),
        (Filter::new().actor("ada").kind("a").state(State::Waiting).tag("x"), vec![first]),
        (Filter::new().tree(first).kind("a").actor("bob"), vec![second]),
    ];
    for (filter, expected) in cases {
        assert_eq!(ids(&all.list(&filter).await.unwrap()), expected, "{filter:?}");
        assert_eq!(all.count(&filter).await.unwrap(), expected.len() as u64, "{filter:?}");
    }
    run.end().await;
}

async fn a_list_goes_on_where_a_page_ended<W: World>(world: &W) {
    let all = process(world, [stays("a")]).await;
    let mut expected = Vec::new();
    for _ in 0..10 {
        expected.insert(0, begun(&all, "a").await);
    }
    let (mut found, mut filter) = (Vec::new(), Filter::new().most(4));
    loop {
        let page = all.list(&filter).await.unwrap();
        assert!(page.len() <= 4);
        let Some(last) = page.last() else { break };
        filter = filter.before(last.sequence);
        found.extend(ids(&page));
    }
    assert_eq!(found, expected);
    // A page does not change how many there are.
    assert_eq!(all.count(&Filter::new().most(4)).await.unwrap(), 10);
    assert!(all.list(&Filter::new().most(0)).await.unwrap().is_empty());
}

async fn what_is_old_is_removed_with_all_that_belongs_to_it<W: World>(world: &W) {
    let kinds = || [counts("short", &Count::default()), stays("long").concurrency(0)];
    let all = process(world, kinds()).await;
    let run = runs(&all);
    let mut old = Vec::new();
    for _ in 0..3 {
        let id = all.start("short", &()).tag("old").await.unwrap().id();
        old.push(ended(&all, id).await.id);
    }
    let new = all.start("short", &()).tag("new").await.unwrap().id();
    ended(&all, new).await;
    run.end().await;
    let ages = "UPDATE desist_ops SET finished_at = finished_at - 3600000000 \
                WHERE id IN (SELECT id FROM desist_ops_tag WHERE tag = 'old')";
    world.sql(ages).await;
    // More than it removes at a time, a minute apart.
    let many = "INSERT INTO desist_ops (id, kind, state, input, created_at, run_at, finished_at) \
                SELECT 'op_' || substr('00000000000000000000000000' || n, length('' || n) + 1), 'short', 'failed', 'null', 1, 1, 1 FROM \
                (WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1100) \
                SELECT n FROM n) numbers";
    world.sql(many).await;
    let there = builder(world, kinds()).await.keep_finished(Duration::from_secs(1800));
    let run = runs(&there.open().await.unwrap());

    soon(async {
        while all.count(&Filter::new()).await.unwrap() > 1 {
            tokio::time::sleep(millis(20)).await;
        }
    })
    .await;
    for id in old {
        assert!(all.get(id).await.unwrap().is_none());
        assert!(all.events(id, 0).await.unwrap().is_empty());
    }
    assert_eq!(world.sql("SELECT DISTINCT tag FROM desist_ops_tag").await, [["new"]]);
    assert_eq!(story(&all, new).await.len(), 3);
    run.end().await;
}

async fn what_has_not_ended_is_never_removed<W: World>(world: &W) {
    let kinds =
        || [stays("long"), stays("waits").concurrency(0), counts("short", &Count::default())];
    let all = builder(world, kinds()).await.keep_finished(Duration::ZERO).open().await.unwrap();
    let waits = all.start("waits", &()).tag("old").await.unwrap().id();
    let run = runs(&all);
    let runs_on = running(&all, "long").await;
    let ages = "UPDATE desist_ops SET created_at = 1, run_at = 1, started_at = 1";
    world.sql(ages).await;
    run.dies().await;
    // What is old is removed when a process begins; whoever ends as that is over goes.
    let short = process(world, kinds()).await;
    let run = runs(&short);
    let gone = begun(&short, "short").await;
    ended(&short, gone).await;
    run.end().await;
    let run = runs(&all);
    soon(async {
        while all.get(gone).await.unwrap().is_some() {
            tokio::time::sleep(millis(20)).await;
        }
    })
    .await;

    assert_eq!(now(&all, waits).await.state, State::Waiting);
    assert_eq!(now(&all, runs_on).await.state, State::Running);
    assert_eq!(all.count(&Filter::new().tag("old")).await.unwrap(), 1);
    run.end().await;
}

async fn nothing_is_removed_if_it_is_to_be_kept_for_ever<W: World>(world: &W) {
    let kinds = || [counts("short", &Count::default())];
    let all = builder(world, kinds()).await.keep_finished(None).open().await.unwrap();
    let run = runs(&all);
    let id = ended(&all, begun(&all, "short").await).await.id;
    run.end().await;
    world.sql("UPDATE desist_ops SET finished_at = 1").await;
    let run = runs(&all);
    ended(&all, begun(&all, "short").await).await;
    assert_eq!(now(&all, id).await.state, SUCCEEDED);
    run.end().await;
}

async fn of_a_tree_the_root_is_not_removed_while_something_below_is_there<W: World>(world: &W) {
    let kinds = || [counts("short", &Count::default()), stays("long")];
    let here = process(world, kinds()).await;
    let run = runs(&here);
    let root = ended(&here, begun(&here, "short").await).await.id;
    let child = here.start("long", &()).parent(root).await.unwrap().id();
    soon(here.until_running(child)).await.unwrap();
    // What has ended after it, alone, goes when it would go.
    let alone = ended(&here, begun(&here, "short").await).await.id;
    let there = builder(world, kinds()).await.keep_finished(Duration::ZERO);
    let run_there = runs(&there.open().await.unwrap());
    soon(async {
        while here.get(alone).await.unwrap().is_some() {
            tokio::time::sleep(millis(10)).await;
        }
    })
    .await;

    assert_eq!(now(&here, root).await.state, SUCCEEDED);
    assert_eq!(here.cancel_tree(root, by("ada")).await.unwrap().requested(), 1);
    assert_eq!(ended(&here, child).await.state, CANCELLED);
    run_there.end().await;
    run.end().await;
}

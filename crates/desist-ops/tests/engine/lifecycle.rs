//! From the start of one to its output.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use desist_ops::{BoxError, Context, Filter, Kind, State};
use tokio::sync::Barrier;

use crate::bench::*;
use crate::world::{World, on_both, on_both_at_once};

on_both!(
    one_runs_and_its_output_is_kept,
    an_output_that_is_too_large_is_not_kept_and_that_is_said,
    much_progress_is_written_seldom_and_the_last_of_it_always,
    so_many_of_a_kind_run_at_a_time,
    one_kind_that_is_full_does_not_keep_another_one_waiting,
    a_kind_without_room_here_is_run_by_others,
    they_are_taken_in_the_order_of_their_start,
    a_kind_that_only_a_newer_process_knows_waits_for_it,
    many_that_are_due_are_not_kept_back_by_one_that_is_not,
    a_handler_knows_what_it_runs,
);

on_both_at_once!(progress_is_seen_while_it_runs, one_that_is_delayed_does_not_run_before,);

async fn one_runs_and_its_output_is_kept<W: World>(world: &W) {
    let double = || Kind::new("double", |_: Context<_>, n: u64| async move { ok(n * 2) });
    let nothing = || Kind::new("nothing", |_: Context<_>, _: ()| async { ok(()) });
    let here = process(world, [double(), nothing()]).await;
    let there = builder(world, [double(), nothing()]).await.label("there").open().await.unwrap();
    let run = runs(&there);

    let done = ended(&here, here.start("double", &21).await.unwrap().id()).await;
    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("42")), "{done:?}");
    assert_eq!((done.attempt, done.attempts, done.generation), (1, 1, 1));
    assert_eq!(done.ran_on.as_deref(), Some("there"));
    assert_eq!(done.error, None);
    assert!(done.created_at <= done.started_at.unwrap(), "{done:?}");
    assert!(done.started_at <= done.finished_at, "{done:?}");
    assert_eq!(story(&here, done.id).await, ["started", "claimed", "finished"]);

    let done = ended(&here, begun(&here, "nothing").await).await;
    assert_eq!((done.state, done.output), (SUCCEEDED, None));
    assert_eq!(run.end().await.succeeded(), 2);
}

fn ok<T>(value: T) -> Result<T, BoxError> {
    Ok(value)
}

async fn an_output_that_is_too_large_is_not_kept_and_that_is_said<W: World>(world: &W) {
    let text = Kind::new("text", |_: Context<_>, n: usize| async move { ok("x".repeat(n)) });
    let all = builder(world, [text]).await.max_output(100).open().await.unwrap();
    let run = runs(&all);

    // With its quotes it has 100 bytes, and 101.
    let done = ended(&all, all.start("text", &98).await.unwrap().id()).await;
    assert_eq!(done.output.map(|text| text.len()), Some(100));
    assert_eq!(done.error, None);
    let done = ended(&all, all.start("text", &99).await.unwrap().id()).await;
    assert_eq!((done.state, done.output), (SUCCEEDED, None));
    let said = done.error.unwrap();
    assert!(said.contains("101 bytes") && said.contains("100 at most"), "{said}");
    run.end().await;
}

async fn progress_is_seen_while_it_runs<W: World>(world: &W) {
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("steps", move |ctx: Context<_>, _: ()| {
        let gate = at.clone();
        async move {
            ctx.progress(5, 10, "half of it");
            gate.pass().await;
            ctx.progress(7, None, "more of it");
            gate.pass().await;
            ok(())
        }
    });
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let id = begun(&all, "steps").await;

    let seen = until(&all, id, |operation| operation.progress.is_some()).await;
    let progress = seen.progress.unwrap();
    assert_eq!((progress.done, progress.total), (5, Some(10)));
    assert_eq!(progress.message, "half of it");
    assert_eq!(progress.fraction(), Some(0.5));
    gate.open(1);
    let seen = until(&all, id, |operation| {
        operation.progress.as_ref().is_some_and(|progress| progress.done == 7)
    })
    .await;
    assert_eq!((seen.state, seen.progress.unwrap().total), (State::Running, None));
    gate.open(1);
    ended(&all, id).await;
    run.end().await;
}

async fn much_progress_is_written_seldom_and_the_last_of_it_always<W: World>(world: &W) {
    const STEPS: u64 = 20_000;
    let kind = Kind::new("steps", |ctx: Context<_>, _: ()| async move {
        for step in 1..=STEPS {
            ctx.progress(step, STEPS, format!("step {step}"));
            if step % 100 == 0 {
                tokio::time::sleep(millis(1)).await;
            }
        }
        ok(())
    });
    let all = process(world, [kind]).await;
    let run = runs(&all);

    let done = ended(&all, begun(&all, "steps").await).await;
    let progress = done.progress.unwrap();
    assert_eq!((progress.done, progress.message.as_str()), (STEPS, "step 20000"));
    // Once a second, however long it has taken.
    let took = done.finished_at.unwrap().duration_since(done.started_at.unwrap()).unwrap();
    let most = 5 + i64::try_from(took.as_secs()).unwrap();
    assert!(done.version <= most, "{} versions in {took:?}", done.version);
    run.end().await;
}

async fn one_that_is_delayed_does_not_run_before<W: World>(world: &W) {
    let count = Count::default();
    let all = process(world, [counts("soon", &count), stays("never")]).await;
    let run = runs(&all);
    let delay = millis(600);
    let id = all.start("soon", &()).delay(delay).await.unwrap().id();
    let never = all.start("never", &()).delay(HOUR).await.unwrap().id();

    let done = ended(&all, id).await;
    let waited = done.started_at.unwrap().duration_since(done.created_at).unwrap();
    assert!(waited >= delay, "{waited:?}");
    assert_eq!(count.get(), 1);
    assert_eq!(now(&all, never).await.state, State::Waiting);
    run.end().await;
}

async fn so_many_of_a_kind_run_at_a_time<W: World>(world: &W) {
    let (now, most, pairs) =
        (Count::default(), Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(2)));
    let left = Count::default();
    let kind = {
        let (now, left, most) = (now.clone(), left.clone(), Arc::clone(&most));
        Kind::new("pair", move |_: Context<_>, _: ()| {
            let (now, left, most) = (now.clone(), left.clone(), Arc::clone(&most));
            let pairs = Arc::clone(&pairs);
            async move {
                let inside = now.one() + 1 - left.get();
                most.fetch_max(inside, Ordering::Relaxed);
                // Each goes on with another one: two at a time are needed.
                pairs.wait().await;
                left.one();
                ok(())
            }
        })
    };
    let all = process(world, [kind.concurrency(2)]).await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(begun(&all, "pair").await);
    }
    let run = runs(&all);

    for id in ids {
        assert_eq!(ended(&all, id).await.state, SUCCEEDED);
    }
    assert_eq!(most.load(Ordering::Relaxed), 2);
    run.end().await;
}

async fn one_kind_that_is_full_does_not_keep_another_one_waiting<W: World>(world: &W) {
    let count = Count::default();
    let all = process(world, [stays("long").concurrency(1), counts("short", &count)]).await;
    let run = runs(&all);
    running(&all, "long").await;
    let waits = begun(&all, "long").await;

    for _ in 0..3 {
        assert_eq!(ended(&all, begun(&all, "short").await).await.state, SUCCEEDED);
    }
    assert_eq!(now(&all, waits).await.state, State::Waiting);
    run.end().await;
}

async fn a_kind_without_room_here_is_run_by_others<W: World>(world: &W) {
    let (mine, theirs) = (Count::default(), Count::default());
    let here = process(world, [counts("one", &mine).concurrency(0)]).await;
    let run = runs(&here);
    let id = begun(&here, "one").await;
    let there = process(world, [counts("one", &theirs)]).await;
    let other = runs(&there);

    assert_eq!(ended(&here, id).await.state, SUCCEEDED);
    assert_eq!((mine.get(), theirs.get()), (0, 1));
    run.end().await;
    other.end().await;
}

async fn they_are_taken_in_the_order_of_their_start<W: World>(world: &W) {
    let order = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&order);
    let kind = Kind::new("one", move |_: Context<_>, n: usize| {
        notes.lock().unwrap().push(n);
        async { ok(()) }
    });
    let all = process(world, [kind.concurrency(1)]).await;
    let mut last = None;
    for n in 0..20 {
        last = Some(all.start("one", &n).await.unwrap().id());
    }
    let run = runs(&all);

    ended(&all, last.unwrap()).await;
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    run.end().await;
}

async fn a_kind_that_only_a_newer_process_knows_waits_for_it<W: World>(world: &W) {
    let (old, new) = (Count::default(), Count::default());
    let before = process(world, [counts("old", &old)]).await;
    let after = process(world, [counts("old", &old), counts("new", &new)]).await;
    let run = runs(&before);
    let of_new = begun(&after, "new").await;

    // The old process looks for work, and leaves that one.
    for _ in 0..3 {
        ended(&after, begun(&after, "old").await).await;
    }
    assert_eq!(now(&after, of_new).await.state, State::Waiting);
    // What it does not know it can cancel, list and wait for all the same.
    assert_eq!(before.list(&Filter::new().kind("new")).await.unwrap().len(), 1);
    let other = runs(&after);
    assert_eq!(ended(&before, of_new).await.state, SUCCEEDED);
    assert_eq!((old.get(), new.get()), (3, 1));
    run.end().await;
    other.end().await;
}

async fn many_that_are_due_are_not_kept_back_by_one_that_is_not<W: World>(world: &W) {
    const ALL: usize = 250;
    let together = Arc::new(Barrier::new(ALL));
    let kind = Kind::new("many", move |_: Context<_>, _: ()| {
        let together = Arc::clone(&together);
        async move {
            together.wait().await;
            ok(())
        }
    });
    let many = kind.concurrency(ALL);
    let all = builder(world, [many, stays("later")]).await.look_every(HOUR).open().await.unwrap();
    let _ = all.start("later", &()).delay(HOUR).await.unwrap();
    let mut last = None;
    for _ in 0..ALL {
        last = Some(begun(&all, "many").await);
    }
    let run = runs(&all);

    // They end when all of them run.
    assert_eq!(ended(&all, last.unwrap()).await.state, SUCCEEDED);
    run.end().await;
}

async fn a_handler_knows_what_it_runs<W: World>(world: &W) {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let kind = Kind::new("one", |ctx: Context<_>, _: ()| async move {
        ok(format!(
            "{} {} {}/{} {:?} {:?} {:?} {:?}",
            ctx.id(),
            ctx.generation(),
            ctx.attempt(),
            ctx.attempts(),
            ctx.actor(),
            ctx.traceparent(),
            ctx.tags(),
            ctx.parent()
        ))
    });
    let all = process(world, [kind.attempts(3), stays("above").concurrency(0)]).await;
    let above = begun(&all, "above").await;
    let run = runs(&all);
    let start = all.start("one", &()).actor("ada").traceparent(TRACE).tag("a").tag("b");
    let done = ended(&all, start.parent(above).await.unwrap().id()).await;

    let id = done.id;
    let said: String = serde_json::from_str(done.output.as_deref().unwrap()).unwrap();
    let expected =
        format!("{id} 1 1/3 Some(\"ada\") Some(\"{TRACE}\") [\"a\", \"b\"] Some({above})");
    assert_eq!(said, expected);
    assert_eq!((done.tags, done.parent), (vec!["a".to_owned(), "b".to_owned()], Some(above)));
    assert_eq!((done.actor.as_deref(), done.traceparent.as_deref()), (Some("ada"), Some(TRACE)));
    run.end().await;
}

//! Operations below others.

use std::sync::Arc;

use desist::Reason;
use desist_ops::{
    BoxError, CancelAnswer, Context, Filter, Kind, OperationId, Operations, Outcome, State, Store,
};
use tokio::sync::Notify;

use crate::bench::*;
use crate::world::{World, on_both};

on_both!(
    a_tree_is_cancelled_with_all_that_is_below,
    what_is_started_later_below_is_born_cancelled,
    what_is_started_below_one_that_has_finished_is_born_cancelled_too,
    what_a_handler_starts_below_its_cancelled_tree_is_born_cancelled,
    one_that_is_cancelled_alone_leaves_those_below_it,
    a_tree_that_is_not_there_is_not_found,
    nothing_can_be_started_below_what_is_not_there,
    what_a_handler_starts_is_below_it,
    no_child_slips_through_a_storm,
);

async fn below<S: Store>(
    operations: &Operations<S>,
    kind: &str,
    above: OperationId,
) -> OperationId {
    let started = operations.start(kind, &()).parent(above).await.unwrap();
    assert!(!started.is_cancelled());
    started.id()
}

fn kinds<S: Store>() -> [Kind<S>; 3] {
    [stays("runs"), stays("waits").concurrency(0), counts("short", &Count::default())]
}

async fn a_tree_is_cancelled_with_all_that_is_below<W: World>(world: &W) {
    let (here, there) = (process(world, kinds()).await, process(world, kinds()).await);
    let run = runs(&there);
    let root = running(&here, "runs").await;
    let child = below(&here, "runs", root).await;
    let done = ended(&here, below(&here, "short", root).await).await.id;
    let waits = below(&here, "waits", child).await;
    // Also below one that has finished.
    let deep = below(&here, "runs", done).await;
    let (other, other_child) = (running(&here, "runs").await, begun(&here, "waits").await);
    for id in [child, deep] {
        soon(here.until_running(id)).await.unwrap();
    }
    let answers = here.cancel_tree(root, by("ada").message("all of it")).await.unwrap();

    assert_eq!((answers.before_start(), answers.requested(), answers.finished()), (1, 3, 0));
    let mut asked: Vec<_> = answers.iter().map(|(id, _)| id).collect();
    asked.sort_unstable();
    let mut expected = vec![root, child, waits, deep];
    expected.sort_unstable();
    assert_eq!(asked, expected);
    for id in expected {
        let end = ended(&here, id).await;
        assert_eq!((end.state, end.cancel.unwrap().by()), (CANCELLED, Some("ada")));
    }
    assert_eq!(now(&here, done).await.state, SUCCEEDED);
    assert_eq!(now(&here, other).await.state, State::Running);
    assert_eq!(now(&here, other_child).await.state, State::Waiting);
    assert_eq!(here.count(&Filter::new().tree(root)).await.unwrap(), 5);
    run.end().await;
}

async fn what_is_started_later_below_is_born_cancelled<W: World>(world: &W) {
    let all = process(world, kinds()).await;
    let root = begun(&all, "waits").await;
    let child = below(&all, "waits", root).await;
    let request = by("ada").because(Reason::Overload).message("all of it");
    all.cancel_tree(root, request).await.unwrap();

    for above in [root, child] {
        let started = all.start("runs", &()).parent(above).tag("late").await.unwrap();
        assert!(started.is_cancelled() && !started.is_joined());
        let born = now(&all, started.id()).await;
        assert_eq!((born.state, born.parent), (CANCELLED, Some(above)));
        assert!(born.cancelled_before_start() && born.finished_at.is_some());
        let why = born.cancel.unwrap();
        assert_eq!((why.by(), why.told()), (Some("ada"), Some("all of it")));
        assert_eq!(why.reason(), Reason::Overload);
        // Its own are born so, too.
        assert!(all.start("runs", &()).parent(born.id).await.unwrap().is_cancelled());
        assert_eq!(story(&all, born.id).await, ["finished"]);
    }
    assert_eq!(all.count(&Filter::new().tag("late")).await.unwrap(), 2);
    // Others are not.
    let other = begun(&all, "waits").await;
    assert!(!all.start("runs", &()).parent(other).await.unwrap().is_cancelled());
}

async fn what_is_started_below_one_that_has_finished_is_born_cancelled_too<W: World>(world: &W) {
    let all = process(world, kinds()).await;
    let run = runs(&all);
    let root = ended(&all, begun(&all, "short").await).await.id;
    let child = ended(&all, below(&all, "short", root).await).await.id;
    let answers = all.cancel_tree(root, by("ada")).await.unwrap();

    let finished = CancelAnswer::AlreadyFinished(Outcome::Succeeded);
    assert_eq!(answers.iter().collect::<Vec<_>>(), [(root, &finished)]);
    assert!(all.start("runs", &()).parent(child).await.unwrap().is_cancelled());
    assert!(all.start("runs", &()).parent(root).await.unwrap().is_cancelled());
    assert_eq!(now(&all, root).await.state, SUCCEEDED, "what is over stays as it is");
    run.end().await;
}

async fn what_a_handler_starts_below_its_cancelled_tree_is_born_cancelled<W: World>(world: &W) {
    let kind = Kind::new("late", |ctx: Context<_>, _: ()| async move {
        ctx.token().cancelled().await;
        let started = ctx.start("waits", &()).await?;
        Ok::<_, BoxError>(started.is_cancelled())
    });
    let [first, second, third] = kinds();
    let all = process(world, [first, second, third, kind]).await;
    let run = runs(&all);
    let root = begun(&all, "waits").await;
    let late = below(&all, "late", root).await;
    soon(all.until_running(late)).await.unwrap();
    all.cancel_tree(root, by("ada")).await.unwrap();

    let done = ended(&all, late).await;
    // Its handler may have been told before it began.
    assert!(matches!(done.output.as_deref(), Some("true") | None), "{done:?}");
    assert_eq!(all.count(&Filter::new().state(State::Waiting)).await.unwrap(), 0);
    run.end().await;
}

async fn one_that_is_cancelled_alone_leaves_those_below_it<W: World>(world: &W) {
    let all = process(world, kinds()).await;
    let run = runs(&all);
    let root = running(&all, "runs").await;
    let (child, waits) = (below(&all, "runs", root).await, below(&all, "waits", root).await);
    soon(all.until_running(child)).await.unwrap();
    all.cancel(root, by("ada")).await.unwrap();

    assert_eq!(ended(&all, root).await.state, CANCELLED);
    assert_eq!(now(&all, child).await.state, State::Running);
    assert_eq!(now(&all, waits).await.state, State::Waiting);
    assert!(now(&all, child).await.cancel.is_none());
    assert!(!all.start("waits", &()).parent(root).await.unwrap().is_cancelled());
    run.end().await;
}

async fn a_tree_that_is_not_there_is_not_found<W: World>(world: &W) {
    let all = process(world, kinds()).await;
    let nobody = OperationId::random();
    let answers = all.cancel_tree(nobody, by("ada")).await.unwrap();
    assert_eq!(answers.iter().collect::<Vec<_>>(), [(nobody, &CancelAnswer::NotFound)]);
}

async fn nothing_can_be_started_below_what_is_not_there<W: World>(world: &W) {
    let all = process(world, kinds()).await;
    let nobody = OperationId::random();
    let error = all.start("runs", &()).parent(nobody).tag("a").await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    assert!(error.to_string().contains(&nobody.to_string()), "{error}");
    assert_eq!(all.count(&Filter::new()).await.unwrap(), 0);
}

async fn what_a_handler_starts_is_below_it<W: World>(world: &W) {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let kind = Kind::new("starts", |ctx: Context<_>, _: ()| async move {
        Ok::<_, BoxError>(ctx.start("waits", &()).await?.id().to_string())
    });
    let [first, second, third] = kinds();
    let all = process(world, [first, second, third, kind]).await;
    let run = runs(&all);
    let root = all.start("starts", &()).actor("ada").traceparent(TRACE).await.unwrap().id();
    let done = ended(&all, root).await;

    let child: String = serde_json::from_str(&done.output.unwrap()).unwrap();
    let child = now(&all, child.parse().unwrap()).await;
    assert_eq!((child.parent, child.actor.as_deref()), (Some(root), Some("ada")));
    assert_eq!(child.traceparent.as_deref(), Some(TRACE));
    let below = all.list(&Filter::new().parent(root)).await.unwrap();
    assert_eq!(below.iter().map(|it| it.id).collect::<Vec<_>>(), [child.id]);
    run.end().await;
}

/// Starts others below itself as long as it can, and does not listen.
fn breeds<S: Store>(born: &Count, enough: &Arc<Notify>) -> Kind<S> {
    let (born, enough) = (born.clone(), Arc::clone(enough));
    Kind::new("breeds", move |ctx: Context<S>, depth: u32| {
        let (born, enough) = (born.clone(), Arc::clone(&enough));
        async move {
            while depth < 4 && !ctx.start("breeds", &(depth + 1)).await?.is_cancelled() {
                if born.one() == 60 {
                    enough.notify_one();
                }
            }
            ctx.token().cancelled().await;
            ctx.token().check()?;
            Ok::<_, BoxError>(())
        }
    })
}

async fn no_child_slips_through_a_storm<W: World>(world: &W) {
    let (born, enough) = (Count::default(), Arc::new(Notify::new()));
    let one = process(world, [breeds(&born, &enough).concurrency(12)]).await;
    let other = process(world, [breeds(&born, &enough).concurrency(12)]).await;
    let (run_one, run_other) = (runs(&one), runs(&other));
    let root = one.start("breeds", &0).await.unwrap().id();
    soon(enough.notified()).await;
    // Neither waits for those who start: there are always some.
    assert!(soon(one.cancel(root, by("bob"))).await.unwrap().is_requested());
    let answers = soon(one.cancel_tree(root, by("ada"))).await.unwrap();
    assert!(answers.requested() > 1, "{answers}");

    // Who runs learns of it as it starts the next one, which is born cancelled.
    for (id, _) in answers.iter() {
        assert_eq!(ended(&one, id).await.state, CANCELLED);
    }
    assert!(one.start("breeds", &0).parent(root).await.unwrap().is_cancelled());
    for state in [State::Waiting, State::Running, FAILED, SUCCEEDED] {
        let left = one.list(&Filter::new().state(state).tree(root)).await.unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
    run_one.end().await;
    run_other.end().await;
}

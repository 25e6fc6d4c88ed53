//! Processes that are asked to stop.

use std::time::Duration;

use desist::Reason;
use desist_ops::{BoxError, Context, Kind, State, WhenOverdue};
use desist_tokio::{StopSource, sleep};

use crate::bench::*;
use crate::world::{World, on_both, on_both_at_once};

on_both!(
    who_drains_lets_work_end_and_takes_none,
    who_drains_for_too_long_gives_back_and_somebody_else_goes_on,
    work_that_heeds_the_drain_goes_back_at_once,
    what_is_given_back_and_was_asked_to_stop_is_cancelled,
    what_succeeds_while_its_process_stops_has_succeeded,
    one_that_does_not_stop_can_be_dropped,
    the_same_operations_are_run_once_at_a_time,
    a_report_counts_what_was_done,
);

on_both_at_once!(one_that_does_not_stop_is_overdue_and_named_in_the_end,);

async fn who_drains_lets_work_end_and_takes_none<W: World>(world: &W) {
    let gate = Gate::default();
    let all = process(world, [waits("slow", &gate)]).await;
    let run = runs(&all);
    let id = running(&all, "slow").await;
    gate.came().await;
    run.stop.drain();
    let next = begun(&all, "slow").await;
    // It is told of that one, and leaves it.
    gate.open(1);
    let report = run.ended().await;

    assert_eq!((report.succeeded(), report.given_back()), (1, 0), "{report}");
    assert!(report.is_clean());
    assert_eq!(now(&all, id).await.state, SUCCEEDED);
    assert_eq!(now(&all, next).await.state, State::Waiting);
    assert_eq!(world.number("SELECT count(*) FROM desist_ops_node").await, 0, "it has left");
}

async fn who_drains_for_too_long_gives_back_and_somebody_else_goes_on<W: World>(world: &W) {
    let kind = || {
        Kind::new("long", |ctx: Context<_>, _: ()| async move {
            if ctx.generation() == 1 {
                let stopped = sleep(HOUR, ctx.token()).await;
                assert_eq!(ctx.token().reason(), Some(Reason::Shutdown));
                stopped?;
            }
            Ok::<_, BoxError>((ctx.attempt(), ctx.generation()))
        })
    };
    let here = builder(world, [kind()]).await.drain_for(millis(300)).open().await.unwrap();
    let there = process(world, [kind()]).await;
    let run = runs(&here);
    let id = running(&here, "long").await;
    run.stop.drain();
    let report = run.ended().await;
    assert_eq!((report.given_back(), report.failed(), report.cancelled()), (1, 0, 0));
    assert!(report.is_clean());
    let back = now(&there, id).await;
    assert_eq!((back.state, back.attempt, back.error), (State::Waiting, 0, None));
    assert_eq!(world.number("SELECT count(*) FROM desist_ops_node").await, 0);
    let run = runs(&there);
    let done = ended(&there, id).await;

    // It is the first attempt, of one at most.
    assert_eq!((done.state, done.attempts), (SUCCEEDED, 1));
    assert_eq!(done.output.as_deref(), Some("[1,2]"));
    assert_eq!(
        story(&there, id).await,
        ["started", "claimed", "given_back", "claimed", "finished"]
    );
    run.end().await;
}

async fn work_that_heeds_the_drain_goes_back_at_once<W: World>(world: &W) {
    let kind = Kind::new("heeds", |ctx: Context<_>, _: ()| async move {
        sleep(HOUR, ctx.draining()).await?;
        Ok::<_, BoxError>(())
    });
    let all = builder(world, [kind]).await.drain_for(HOUR).open().await.unwrap();
    let run = runs(&all);
    let id = running(&all, "heeds").await;
    run.stop.drain();
    // A claim that was on its way may have taken it again.
    assert!(run.ended().await.given_back() >= 1);
    let back = now(&all, id).await;
    assert_eq!((back.state, back.attempt), (State::Waiting, 0));
}

async fn what_is_given_back_and_was_asked_to_stop_is_cancelled<W: World>(world: &W) {
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("long", move |ctx: Context<_>, _: ()| {
        let gate = at.clone();
        async move {
            gate.pass().await;
            ctx.token().check()?;
            Ok::<_, BoxError>(())
        }
    });
    // It does not hear of the request before it ends.
    let all = builder(world, [kind]).await.look_every(HOUR).lease(HOUR).open().await.unwrap();
    let run = runs(&all);
    let id = running(&all, "long").await;
    gate.came().await;
    run.stop.cancel();
    let asks = format!(
        "UPDATE desist_ops SET cancel_mode = 'cancel', cancel_reason = 'requested', \
         cancel_at = run_at, version = version + 1 WHERE id = '{id}'"
    );
    world.sql(&asks).await;
    gate.open(1);
    let report = run.ended().await;

    assert_eq!((report.cancelled(), report.given_back()), (1, 0), "{report}");
    let done = now(&all, id).await;
    assert_eq!((done.state, done.error), (CANCELLED, None));
}

async fn what_succeeds_while_its_process_stops_has_succeeded<W: World>(world: &W) {
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("last", move |ctx: Context<_>, _: ()| {
        at.here();
        async move {
            ctx.token().cancelled().await;
            Ok::<_, BoxError>("done")
        }
    });
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let id = begun(&all, "last").await;
    gate.came().await;
    let report = run.end().await;

    assert_eq!((report.succeeded(), report.given_back()), (1, 0), "{report}");
    assert_eq!(now(&all, id).await.state, SUCCEEDED);
}

async fn one_that_does_not_stop_is_overdue_and_named_in_the_end<W: World>(world: &W) {
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("deaf", move |ctx: Context<_>, _: ()| {
        let gate = at.clone();
        async move {
            ctx.progress(3, 4, "in the third part");
            gate.pass().await;
            Ok::<_, BoxError>(())
        }
    });
    let kind = kind.grace(millis(50));
    let here = builder(world, [kind]).await.drain_for(Duration::ZERO).open().await.unwrap();
    let there = process(world, [stays("other")]).await;
    let run = runs(&here);
    let id = begun(&here, "deaf").await;
    gate.came().await;
    assert!(there.overdue().await.unwrap().is_empty(), "nobody has asked it");
    until(&there, id, |it| it.progress.is_some()).await;
    there.cancel(id, by("ada")).await.unwrap();
    let overdue = soon(async {
        loop {
            let overdue = there.overdue().await.unwrap();
            if !overdue.is_empty() {
                return overdue;
            }
            tokio::time::sleep(millis(10)).await;
        }
    });
    let overdue = overdue.await;
    assert_eq!(overdue.iter().map(|it| it.id).collect::<Vec<_>>(), [id]);
    assert!(overdue[0].is_overdue() && overdue[0].stopping_for().unwrap() > millis(50));
    assert_eq!(overdue[0].progress.as_ref().unwrap().message, "in the third part");
    assert_eq!(overdue[0].state, State::Running, "what is said to have ended has ended");

    let report = run.end().await;
    assert_eq!(report.stragglers(), [(id, "deaf".to_owned())]);
    assert!(!report.is_clean());
    assert!(report.to_string().contains(&id.to_string()), "{report}");
    // Its node stays, for it may still do something; whoever looks takes it over later.
    assert_eq!(world.number("SELECT count(*) FROM desist_ops_node").await, 1);
    assert_eq!(now(&there, id).await.state, State::Running);
    world.sql("UPDATE desist_ops_node SET lease_until = 1").await;
    let run = runs(&there);
    assert_eq!(ended(&there, id).await.state, CANCELLED);
    assert!(there.overdue().await.unwrap().is_empty());
    run.end().await;
}

async fn one_that_does_not_stop_can_be_dropped<W: World>(world: &W) {
    struct Dropped(Gate);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.here();
        }
    }
    let (gate, dropped) = (Gate::default(), Gate::default());
    let (at, is_dropped) = (gate.clone(), dropped.clone());
    let kind = Kind::new("deaf", move |_: Context<_>, _: ()| {
        let (gate, dropped) = (at.clone(), Dropped(is_dropped.clone()));
        async move {
            gate.pass().await;
            drop(dropped);
            Ok::<_, BoxError>(())
        }
    });
    let kind = kind.grace(millis(50)).when_overdue(WhenOverdue::Drop).attempts(5);
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let id = begun(&all, "deaf").await;
    gate.came().await;
    all.cancel(id, by("ada")).await.unwrap();
    let done = ended(&all, id).await;

    dropped.came().await;
    assert_eq!((done.state, done.attempt), (CANCELLED, 1));
    let said = done.error.unwrap();
    assert!(said.contains("did not stop within 50ms") && said.contains("dropped"), "{said}");
    let report = run.end().await;
    assert!(report.is_clean() && report.cancelled() == 1, "{report}");
}

async fn the_same_operations_are_run_once_at_a_time<W: World>(world: &W) {
    let all = process(world, [counts("one", &Count::default())]).await;
    let run = runs(&all);
    ended(&all, begun(&all, "one").await).await;
    let again = all.clone();
    let error = again.run(&StopSource::new().stop()).await.unwrap_err();
    assert!(error.to_string().contains("are run already"), "{error}");
    assert_eq!(run.end().await.succeeded(), 1);

    // What was ended, or has died, may be run again.
    let run = runs(&again);
    ended(&all, begun(&all, "one").await).await;
    run.dies().await;
    let run = runs(&all);
    ended(&all, begun(&all, "one").await).await;
    assert_eq!(run.end().await.succeeded(), 1);
}

async fn a_report_counts_what_was_done<W: World>(world: &W) {
    let fails = Kind::new("fails", |_: Context<_>, _: ()| async {
        Err::<(), BoxError>("it is broken".into())
    });
    let fails = fails.attempts(2).backoff(millis(1), millis(1));
    let all = process(world, [fails, stays("long"), counts("short", &Count::default())]).await;
    let run = runs(&all);
    let (fails, short) = (begun(&all, "fails").await, begun(&all, "short").await);
    let (stops, back) = (running(&all, "long").await, running(&all, "long").await);
    all.cancel(stops, by("ada")).await.unwrap();
    for id in [fails, short, stops] {
        ended(&all, id).await;
    }
    let report = soon(run.end()).await;

    let counts = (report.succeeded(), report.failed(), report.cancelled());
    assert_eq!(counts, (1, 1, 1));
    assert_eq!((report.tried_again(), report.lost()), (1, 0));
    // A claim that was on its way may have taken it again, and given it back again.
    assert!(report.is_clean() && report.given_back() >= 1, "{report}");
    let back_again = report.given_back();
    let said = format!("1 succeeded, 1 failed, 1 cancelled, {back_again} given back, 0 lost");
    assert_eq!(report.to_string(), said);
    assert_eq!(all.wait(back, Duration::ZERO).await.unwrap().state, State::Waiting);
}

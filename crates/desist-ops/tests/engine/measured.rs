//! What is measured of runs and of their stops.

use desist_ops::{AfterDeath, BoxError, Context, Kind, OperationId};

use crate::bench::*;
use crate::recorder::told;
use crate::world::{World, on_both, on_both_at_once};

on_both!(a_stop_is_measured_in_its_parts, what_was_taken_over_is_counted);
on_both_at_once!(what_runs_and_what_is_overdue_is_shown);

/// A kind that no other test has: all of them share what is told.
fn own(name: &str) -> String {
    format!("{name} {}", OperationId::random())
}

async fn a_stop_is_measured_in_its_parts<W: World>(world: &W) {
    let told = told();
    let (stops, short) = (own("stops"), own("short"));
    let gate = Gate::default();
    let kinds = || [waits(&stops, &gate), counts(&short, &Count::default())];
    let (here, there) = (process(world, kinds()).await, process(world, kinds()).await);
    let run = runs(&there);
    let id = running(&here, &stops).await;
    gate.came().await;
    here.cancel(id, by("ada")).await.unwrap();
    until(&here, id, |it| it.heard_at.is_some()).await;
    // Between that it was told and that it has stopped.
    tokio::time::sleep(millis(100)).await;
    gate.open(1);
    ended(&here, id).await;
    ended(&here, begun(&here, &short).await).await;
    run.end().await;

    let one = |meter: &str| {
        let told = told.of(&format!("desist_ops_{meter} kind={stops}"));
        assert_eq!(told.len(), 1, "{meter}");
        told[0]
    };
    let (heard, seen) = (one("cancel_heard_seconds"), one("cancel_seen_seconds"));
    let (stopped, whole) = (one("cancel_stopped_seconds"), one("cancel_seconds"));
    assert!(seen >= 0.0 && stopped >= 0.1, "{seen} {stopped}");
    // What its handler took is not in what came before; and the whole has all of it.
    assert!(heard < whole - 0.09 && whole >= heard + stopped - 0.01, "{heard} {stopped} {whole}");
    // What the row says is the same: when it was heard, by the database's clock.
    let row = now(&here, id).await;
    let asked = row.cancel.as_ref().unwrap().at().unwrap();
    let by_row = row.heard_at.unwrap().duration_since(asked).unwrap().as_secs_f64();
    assert!(heard <= by_row + 0.01, "{heard} {by_row}");
    let of = |meter: &str| told.of(&format!("desist_ops_{meter}"));
    let labels = format!("kind={stops}, outcome=succeeded");
    assert_eq!(of(&format!("ended_total {labels}")), [1.0]);
    assert!(of(&format!("run_seconds {labels}"))[0] >= 0.1);
    // One that nobody has cancelled has no such times.
    assert_eq!(of(&format!("ended_total kind={short}, outcome=succeeded")), [1.0]);
    assert!(of(&format!("cancel_seconds kind={short}")).is_empty());
}

async fn what_runs_and_what_is_overdue_is_shown<W: World>(world: &W) {
    let told = told();
    let (deaf, gate) = (own("deaf"), Gate::default());
    let all = process(world, [waits(&deaf, &gate).grace(millis(10))]).await;
    let run = runs(&all);
    // One that runs nothing says nothing of it.
    let idle = runs(&process(world, [stays("nothing")]).await);
    let ids = [running(&all, &deaf).await, running(&all, &deaf).await];
    gate.came().await;
    gate.came().await;
    let last = |meter: &str| told.of(&format!("desist_ops_{meter} kind={deaf}")).last().copied();
    let shows = async |meter: &str, value: f64| {
        soon(async {
            while last(meter) != Some(value) {
                tokio::time::sleep(millis(20)).await;
            }
        })
        .await;
    };
    shows("running", 2.0).await;
    all.cancel(ids[0], by("ada")).await.unwrap();
    shows("overdue", 1.0).await;
    let running = told.of(&format!("desist_ops_running kind={deaf}"));
    assert!(!running.contains(&0.0), "{running:?}");
    gate.open(2);
    for id in ids {
        ended(&all, id).await;
    }
    shows("running", 0.0).await;
    shows("overdue", 0.0).await;
    run.end().await;
    idle.end().await;
}

async fn what_was_taken_over_is_counted<W: World>(world: &W) {
    let told = told();
    let count = || told.of("desist_ops_taken_over_total").iter().sum::<f64>();
    let lost = own("lost");
    let kind = || {
        let kind = Kind::new(&*lost, |ctx: Context<_>, _: ()| async move {
            if ctx.attempt() == 1 {
                std::future::pending::<()>().await;
            }
            Ok::<_, BoxError>(())
        });
        kind.after_death(AfterDeath::Restart)
    };
    let all = process(world, [kind()]).await;
    let run = runs(&all);
    let id = running(&all, &lost).await;
    run.dies().await;
    world.sql("UPDATE desist_ops_node SET lease_until = 1").await;
    let before = count();
    let run = runs(&all);
    ended(&all, id).await;
    assert!(count() > before);
    run.end().await;
}

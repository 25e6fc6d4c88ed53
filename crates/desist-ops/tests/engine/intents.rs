//! A request to stop on its way: kept, raised, heard.

use std::sync::{Arc, Mutex};

use desist::Reason;
use desist_ops::{BoxError, CancelAnswer, CancelMode, CancelRequest, Context, Kind, Store};
use desist_tokio::sleep;

use crate::bench::*;
use crate::world::{World, on_both, on_both_at_once};

on_both!(
    the_first_request_stays_and_later_ones_are_kept_beside_it,
    of_very_many_requests_not_all_are_kept,
    draining_after_a_cancel_changes_nothing,
    one_that_heeds_the_drain_has_stopped_without_an_error,
    a_handler_sees_who_asked_and_why,
    the_reason_goes_along,
    an_intent_is_seen_that_came_between_the_claim_and_the_run,
    an_intent_that_nobody_announced_is_heard_at_the_next_look,
);

on_both_at_once!(one_can_be_drained_and_then_cancelled,);

async fn the_first_request_stays_and_later_ones_are_kept_beside_it<W: World>(world: &W) {
    let gate = Gate::default();
    let all = process(world, [waits("deaf", &gate)]).await;
    let run = runs(&all);
    let id = running(&all, "deaf").await;
    gate.came().await;
    all.cancel(id, by("ada").message("first").because(Reason::Overload)).await.unwrap();
    for actor in ["bob", "cleo"] {
        let answer = all.cancel(id, by(actor).message("me too")).await.unwrap();
        let CancelAnswer::AlreadyRequested(first) = answer else { panic!("{answer:?}") };
        assert_eq!((first.by(), first.told()), (Some("ada"), Some("first")));
        assert_eq!(first.reason(), Reason::Overload);
    }
    gate.open(1);
    let request = ended(&all, id).await.cancel.unwrap();
    assert_eq!((request.by(), request.reason()), (Some("ada"), Reason::Overload));
    let events = all.events(id, 0).await.unwrap();
    let asked = events.iter().filter(|event| event.what == "cancel_requested");
    let asked: Vec<_> = asked.map(|event| event.detail.as_str()).collect();
    assert_eq!(asked.len(), 3, "{events:?}");
    assert!(asked[0].contains("\"ada\"") && asked[0].contains("\"first\":true"), "{asked:?}");
    assert!(asked[1].contains("\"bob\"") && asked[1].contains("\"first\":false"), "{asked:?}");
    assert!(asked[2].contains("\"cleo\""), "{asked:?}");
    run.end().await;
}

async fn of_very_many_requests_not_all_are_kept<W: World>(world: &W) {
    let gate = Gate::default();
    let all = process(world, [waits("deaf", &gate)]).await;
    let run = runs(&all);
    let id = running(&all, "deaf").await;
    gate.came().await;
    for n in 0..110 {
        let answer = all.cancel(id, by(&format!("number {n}"))).await.unwrap();
        assert_eq!(answer == CancelAnswer::Requested, n == 0, "{answer:?}");
    }
    let events = all.events(id, 0).await.unwrap();
    let asked = events.iter().filter(|event| event.what == "cancel_requested").count();
    assert_eq!(asked, 100);
    gate.open(1);
    assert_eq!(ended(&all, id).await.cancel.unwrap().by(), Some("number 0"));
    run.end().await;
}

/// Waits to be drained, and then to be cancelled, and says each.
fn twice<S: Store>(said: &Arc<Mutex<Vec<&'static str>>>) -> Kind<S> {
    let said = Arc::clone(said);
    Kind::new("twice", move |ctx: Context<S>, _: ()| {
        let said = Arc::clone(&said);
        async move {
            ctx.draining().cancelled().await;
            said.lock().unwrap().push(if ctx.token().is_cancelled() { "both" } else { "drain" });
            ctx.progress(1, None, "drains");
            ctx.token().cancelled().await;
            said.lock().unwrap().push("cancel");
            ctx.token().check()?;
            Ok::<_, BoxError>(())
        }
    })
}

async fn one_can_be_drained_and_then_cancelled<W: World>(world: &W) {
    let said = Arc::default();
    let (here, there) =
        (process(world, [twice(&said)]).await, process(world, [twice(&said)]).await);
    let run = runs(&there);
    let id = running(&here, "twice").await;
    let drain = CancelRequest::drain().actor("ada").message("when it suits");
    assert_eq!(here.cancel(id, drain.clone()).await.unwrap(), CancelAnswer::Requested);
    until(&here, id, |it| it.progress.is_some()).await;
    let seen = now(&here, id).await;
    assert_eq!(seen.cancel.unwrap().mode(), CancelMode::Drain);
    // Once more does nothing.
    assert!(matches!(
        here.cancel(id, drain).await.unwrap(),
        CancelAnswer::AlreadyRequested(first) if first.mode() == CancelMode::Drain
    ));
    assert!(matches!(
        here.cancel(id, by("bob")).await.unwrap(),
        CancelAnswer::AlreadyRequested(first) if first.by() == Some("ada")
    ));

    let done = ended(&here, id).await;
    assert_eq!((done.state, done.error), (CANCELLED, None));
    let request = done.cancel.unwrap();
    assert_eq!((request.mode(), request.by()), (CancelMode::Cancel, Some("ada")));
    assert_eq!(*said.lock().unwrap(), ["drain", "cancel"]);
    run.end().await;
}

async fn draining_after_a_cancel_changes_nothing<W: World>(world: &W) {
    let gate = Gate::default();
    let all = process(world, [waits("deaf", &gate)]).await;
    let run = runs(&all);
    let id = running(&all, "deaf").await;
    gate.came().await;
    all.cancel(id, by("ada")).await.unwrap();
    assert!(matches!(
        all.cancel(id, CancelRequest::drain().actor("bob")).await.unwrap(),
        CancelAnswer::AlreadyRequested(first) if first.mode() == CancelMode::Cancel
    ));
    let request = now(&all, id).await.cancel.unwrap();
    assert_eq!((request.mode(), request.by()), (CancelMode::Cancel, Some("ada")));
    gate.open(1);
    ended(&all, id).await;
    run.end().await;
}

async fn one_that_heeds_the_drain_has_stopped_without_an_error<W: World>(world: &W) {
    let kind = Kind::new("heeds", |ctx: Context<_>, _: ()| async move {
        sleep(HOUR, ctx.draining()).await?;
        Ok::<_, BoxError>(())
    });
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let id = running(&all, "heeds").await;
    all.cancel(id, CancelRequest::drain()).await.unwrap();
    let done = ended(&all, id).await;

    assert_eq!((done.state, done.error.as_deref()), (CANCELLED, None));
    run.end().await;
}

async fn a_handler_sees_who_asked_and_why<W: World>(world: &W) {
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("asks", move |ctx: Context<_>, _: ()| {
        at.here();
        async move {
            ctx.token().cancelled().await;
            let why = ctx.token().cancellation().unwrap();
            let request = why.detail().and_then(|detail| detail.downcast_ref::<CancelRequest>());
            let request = request.unwrap();
            let said = (request.by(), request.told(), request.mode().as_str());
            Ok::<_, BoxError>(format!("{} {said:?} {}", why.reason(), request.at().is_some()))
        }
    });
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let id = running(&all, "asks").await;
    gate.came().await;
    let request = by("ada").message("the wrong table").because(Reason::Overload);
    all.cancel(id, request).await.unwrap();
    let done = ended(&all, id).await;

    let said: String = serde_json::from_str(&done.output.unwrap()).unwrap();
    let expected = "(Some(\"ada\"), Some(\"the wrong table\"), \"cancel\") true";
    assert_eq!(said, format!("{} {expected}", Reason::Overload));
    run.end().await;
}

async fn the_reason_goes_along<W: World>(world: &W) {
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("asks", move |ctx: Context<_>, _: ()| {
        at.here();
        async move {
            ctx.token().cancelled().await;
            Ok::<_, BoxError>(ctx.token().reason().unwrap().as_str())
        }
    });
    let all = process(world, [kind]).await;
    let run = runs(&all);
    for reason in [Reason::Overload, Reason::Deadline, Reason::Shutdown, Reason::Disconnected] {
        let id = running(&all, "asks").await;
        gate.came().await;
        all.cancel(id, CancelRequest::new().because(reason)).await.unwrap();
        let done = ended(&all, id).await;
        assert_eq!(done.output.unwrap(), format!("{:?}", reason.as_str()));
        assert_eq!(done.cancel.unwrap().reason(), reason);
    }
    run.end().await;
}

async fn an_intent_is_seen_that_came_between_the_claim_and_the_run<W: World>(world: &W) {
    let count = Count::default();
    let all = builder(world, [counts("one", &count)]).await;
    let all = all.lease(HOUR).look_every(HOUR).open().await.unwrap();
    // It is written as soon as the claim is, and nobody is told.
    world.cancels_what_is_claimed().await;
    let run = runs(&all);
    let done = ended(&all, begun(&all, "one").await).await;

    assert_eq!((done.state, count.get()), (CANCELLED, 0));
    assert_eq!(done.generation, 1, "it was claimed");
    assert_eq!(run.end().await.cancelled(), 1);
}

async fn an_intent_that_nobody_announced_is_heard_at_the_next_look<W: World>(world: &W) {
    let all = process(world, [stays("long")]).await;
    let run = runs(&all);
    let id = running(&all, "long").await;
    let asks = format!(
        "UPDATE desist_ops SET cancel_mode = 'cancel', cancel_reason = 'requested', \
         cancel_at = run_at, version = version + 1 WHERE id = '{id}'"
    );
    world.sql(&asks).await;

    assert_eq!(ended(&all, id).await.state, CANCELLED);
    run.end().await;
}

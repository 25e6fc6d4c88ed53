//! Asking one to stop, and what is answered.

use desist_ops::{BoxError, CancelAnswer, Context, Kind, OperationId, Outcome, State, Store};

use crate::bench::*;
use crate::world::{World, on_both};

on_both!(
    there_are_five_answers,
    one_that_was_cancelled_before_its_start_never_runs,
    one_that_waits_to_be_tried_again_is_cancelled_at_once,
    one_that_was_given_back_is_cancelled_at_once,
    a_plain_stop_has_no_error,
    what_succeeds_in_spite_of_a_cancel_has_succeeded_and_says_so,
    what_fails_while_it_is_cancelled_is_cancelled_and_not_tried_again,
    a_failure_that_comes_before_the_request_is_heard_is_cancelled_all_the_same,
);

async fn there_are_five_answers<W: World>(world: &W) {
    let gate = Gate::default();
    let kinds = || [waits("deaf", &gate), stays("later"), counts("short", &Count::default())];
    let (here, there) = (process(world, kinds()).await, process(world, kinds()).await);
    let run = runs(&there);

    let nobody = OperationId::random();
    assert_eq!(here.cancel(nobody, by("ada")).await.unwrap(), CancelAnswer::NotFound);
    let short = ended(&here, begun(&here, "short").await).await.id;
    let finished = CancelAnswer::AlreadyFinished(Outcome::Succeeded);
    assert_eq!(here.cancel(short, by("ada")).await.unwrap(), finished);
    assert!(now(&here, short).await.cancel.is_none(), "it is over, and nothing is written");

    let later = here.start("later", &()).delay(HOUR).await.unwrap().id();
    let before = here.cancel(later, by("ada").message("no more")).await.unwrap();
    assert_eq!(before, CancelAnswer::CancelledBeforeStart);
    let done = now(&here, later).await;
    assert_eq!(done.state, CANCELLED);
    assert!(done.cancelled_before_start() && done.finished_at.is_some());
    let request = done.cancel.unwrap();
    assert_eq!((request.by(), request.told()), (Some("ada"), Some("no more")));
    let finished = CancelAnswer::AlreadyFinished(Outcome::Cancelled);
    assert_eq!(here.cancel(later, by("bob")).await.unwrap(), finished);
    assert_eq!(story(&here, later).await, ["started", "finished"]);

    let deaf = running(&here, "deaf").await;
    gate.came().await;
    assert_eq!(here.cancel(deaf, by("ada")).await.unwrap(), CancelAnswer::Requested);
    let again = here.cancel(deaf, by("bob")).await.unwrap();
    let CancelAnswer::AlreadyRequested(first) = again else { panic!("{again:?}") };
    assert_eq!(first.by(), Some("ada"));
    assert!(first.at().is_some());
    gate.open(1);
    ended(&here, deaf).await;
    run.end().await;
}

async fn one_that_was_cancelled_before_its_start_never_runs<W: World>(world: &W) {
    let count = Count::default();
    let kinds = || [counts("one", &count).concurrency(1)];
    let (here, there) = (process(world, kinds()).await, process(world, kinds()).await);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(begun(&here, "one").await);
    }
    for id in &ids {
        let answer = here.cancel(*id, by("ada")).await.unwrap();
        assert_eq!(answer, CancelAnswer::CancelledBeforeStart);
    }
    let run = runs(&there);

    // What came after them has run when this one has.
    assert_eq!(ended(&here, begun(&here, "one").await).await.state, SUCCEEDED);
    assert_eq!(count.get(), 1);
    for id in ids {
        assert_eq!(now(&here, id).await.state, CANCELLED);
    }
    run.end().await;
}

/// Fails, and waits for its next attempt for an hour.
fn fails<S: Store>(count: &Count) -> Kind<S> {
    let count = count.clone();
    let kind = Kind::new("fails", move |_: Context<S>, _: ()| {
        count.one();
        async { Err::<(), BoxError>("it is broken".into()) }
    });
    kind.attempts(9)
}

async fn one_that_waits_to_be_tried_again_is_cancelled_at_once<W: World>(world: &W) {
    let count = Count::default();
    let all = process(world, [fails(&count).backoff(HOUR, HOUR)]).await;
    let run = runs(&all);
    let id = begun(&all, "fails").await;
    let waits = until(&all, id, |it| it.state == State::Waiting && it.attempt == 1).await;
    assert!(waits.run_at > waits.read_at);

    let answer = all.cancel(id, by("ada")).await.unwrap();
    assert_eq!(answer, CancelAnswer::CancelledBeforeStart);
    let done = now(&all, id).await;
    assert_eq!((done.state, done.attempt), (CANCELLED, 1));
    // What went wrong before is not forgotten.
    assert_eq!(done.error.as_deref(), Some("it is broken"));
    assert!(!done.cancelled_before_start(), "it had run once");
    run.end().await;
    assert_eq!(count.get(), 1);
}

async fn one_that_was_given_back_is_cancelled_at_once<W: World>(world: &W) {
    let count = Count::default();
    let here = process(world, [stays("long")]).await;
    let run = runs(&here);
    let id = running(&here, "long").await;
    assert!(run.end().await.given_back() >= 1);

    let answer = here.cancel(id, by("ada")).await.unwrap();
    assert_eq!(answer, CancelAnswer::CancelledBeforeStart);
    let there = process(world, [counts("long", &count)]).await;
    let run = runs(&there);
    ended(&there, begun(&there, "long").await).await;
    assert_eq!((count.get(), now(&there, id).await.state), (1, CANCELLED));
    run.end().await;
}

async fn a_plain_stop_has_no_error<W: World>(world: &W) {
    let (here, there) =
        (process(world, [stays("long")]).await, process(world, [stays("long")]).await);
    let run = runs(&there);
    let id = running(&here, "long").await;
    assert!(here.cancel(id, by("ada")).await.unwrap().is_requested());
    let done = ended(&here, id).await;

    assert_eq!((done.state, done.error.as_deref()), (CANCELLED, None));
    assert_eq!(done.output, None);
    assert!(!done.succeeded_in_spite_of_a_cancel());
    // It was asked, heard that, and ended, in this order.
    let asked = done.cancel.unwrap().at().unwrap();
    let (heard, seen) = (done.heard_at.unwrap(), done.seen_at.unwrap());
    assert!(done.started_at.unwrap() <= asked);
    assert!(asked <= heard, "{:?}", heard.duration_since(asked));
    assert!(heard <= done.finished_at.unwrap() && seen <= done.finished_at.unwrap());
    let story = story(&here, id).await;
    assert_eq!(story[..3], ["started", "claimed", "cancel_requested"]);
    assert_eq!(story.last().unwrap(), "finished");
    assert_eq!(run.end().await.cancelled(), 1);
}

async fn what_succeeds_in_spite_of_a_cancel_has_succeeded_and_says_so<W: World>(world: &W) {
    let gate = Gate::default();
    let all = process(world, [waits("deaf", &gate)]).await;
    let run = runs(&all);
    let id = running(&all, "deaf").await;
    gate.came().await;
    all.cancel(id, by("ada")).await.unwrap();
    // It has heard it, and does not care.
    until(&all, id, |it| it.heard_at.is_some()).await;
    gate.open(1);
    let done = ended(&all, id).await;

    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("\"done\"")));
    assert!(done.succeeded_in_spite_of_a_cancel());
    assert_eq!(done.cancel.unwrap().by(), Some("ada"));
    assert_eq!(story(&all, id).await.last().unwrap(), "finished");
    let events = all.events(id, 0).await.unwrap();
    assert!(events.last().unwrap().detail.contains("\"in_spite_of_a_cancel\":true"), "{events:?}");
    assert_eq!(run.end().await.succeeded(), 1);
}

async fn what_fails_while_it_is_cancelled_is_cancelled_and_not_tried_again<W: World>(world: &W) {
    let count = Count::default();
    let gate = Gate::default();
    let (counted, at) = (count.clone(), gate.clone());
    let kind = Kind::new("breaks", move |ctx: Context<_>, panics: bool| {
        counted.one();
        at.here();
        async move {
            ctx.token().cancelled().await;
            assert!(!panics, "badly");
            Err::<(), _>(because("could not clean up", "the disk is full"))
        }
    });
    let all = process(world, [kind.attempts(9).backoff(millis(1), millis(1))]).await;
    let run = runs(&all);
    for (panics, says) in
        [(false, "could not clean up: the disk is full"), (true, "it panicked: badly")]
    {
        let id = all.start("breaks", &panics).await.unwrap().id();
        gate.came().await;
        all.cancel(id, by("ada")).await.unwrap();
        let done = ended(&all, id).await;
        assert_eq!((done.state, done.attempt), (CANCELLED, 1));
        assert_eq!(done.error.as_deref(), Some(says));
    }
    let report = run.end().await;
    assert_eq!((report.cancelled(), report.failed(), report.tried_again()), (2, 0, 0));
    assert_eq!(count.get(), 2);
}

async fn a_failure_that_comes_before_the_request_is_heard_is_cancelled_all_the_same<W: World>(
    world: &W,
) {
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("breaks", move |_: Context<_>, _: ()| {
        let gate = at.clone();
        async move {
            gate.pass().await;
            Err::<(), BoxError>("it is broken".into())
        }
    });
    let kind = kind.attempts(9).backoff(millis(1), millis(1));
    let there = builder(world, [kind]).await.lease(HOUR).look_every(HOUR).open().await.unwrap();
    let run = runs(&there);
    let id = begun(&there, "breaks").await;
    gate.came().await;
    // Past all that could announce it; it may be heard or not.
    let asks = format!(
        "UPDATE desist_ops SET cancel_mode = 'cancel', cancel_reason = 'requested', \
         cancel_at = run_at, version = version + 1 WHERE id = '{id}'"
    );
    world.sql(&asks).await;
    gate.open(1);
    let done = ended(&there, id).await;

    assert_eq!((done.state, done.attempt), (CANCELLED, 1));
    assert_eq!(done.error.as_deref(), Some("it is broken"));
    run.end().await;
}

//! How a run can fail.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use desist::Reason;
use desist_ops::{BoxError, Context, Kind, Lasting, State, Store, WhenOverdue};
use desist_tokio::sleep;

use crate::bench::*;
use crate::world::{World, on_both, on_both_at_once};

on_both!(
    what_succeeds_in_the_end_has_succeeded,
    a_lasting_failure_is_not_tried_again,
    a_panic_is_a_failure_and_nothing_else_ends_by_it,
    what_takes_too_long_is_told_so_and_has_failed,
    what_takes_too_long_and_does_not_stop_can_be_dropped,
    what_ends_well_though_it_is_late_has_succeeded,
    an_input_that_a_newer_kind_does_not_take_is_left_to_others_and_fails_in_the_end,
    an_error_says_all_of_its_causes,
);

on_both_at_once!(what_fails_is_tried_again_after_a_pause_until_it_has_failed,);

/// Fails each time, and notes when.
fn fails<S: Store>(times: &Arc<Mutex<Vec<Instant>>>) -> Kind<S> {
    let times = Arc::clone(times);
    Kind::new("fails", move |_: Context<S>, _: ()| {
        times.lock().unwrap().push(Instant::now());
        async { Err::<(), BoxError>("it is broken".into()) }
    })
}

async fn what_fails_is_tried_again_after_a_pause_until_it_has_failed<W: World>(world: &W) {
    let times = Arc::default();
    let kind = fails(&times).attempts(3).backoff(millis(200), millis(400));
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let done = ended(&all, begun(&all, "fails").await).await;

    assert_eq!((done.state, done.attempt, done.attempts), (FAILED, 3, 3));
    assert_eq!((done.generation, done.error.as_deref()), (3, Some("it is broken")));
    let times = times.lock().unwrap().clone();
    assert_eq!(times.len(), 3);
    // A half of the pause is chance, and the second is twice the first.
    assert!(times[1] - times[0] >= millis(100), "{times:?}");
    assert!(times[2] - times[1] >= millis(200), "{times:?}");
    let expected = ["started", "claimed", "retried", "claimed", "retried", "claimed", "finished"];
    assert_eq!(story(&all, done.id).await, expected);
    let report = run.end().await;
    assert_eq!((report.failed(), report.tried_again()), (1, 2));
}

async fn what_succeeds_in_the_end_has_succeeded<W: World>(world: &W) {
    let count = Count::default();
    let counted = count.clone();
    let kind = Kind::new("moody", move |ctx: Context<_>, _: ()| {
        counted.one();
        async move {
            if ctx.attempt() < 3 { Err::<_, BoxError>("not now".into()) } else { Ok(ctx.attempt()) }
        }
    });
    let all = process(world, [kind.attempts(5).backoff(millis(1), millis(1))]).await;
    let run = runs(&all);
    let done = ended(&all, begun(&all, "moody").await).await;

    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("3")));
    assert_eq!((done.attempt, count.get()), (3, 3));
    assert_eq!(run.end().await.succeeded(), 1);
}

async fn a_lasting_failure_is_not_tried_again<W: World>(world: &W) {
    let count = Count::default();
    let counted = count.clone();
    let kind = Kind::new("lasting", move |_: Context<_>, behind: bool| {
        counted.one();
        async move {
            let lasting = Lasting::new("there is no such table");
            Err::<(), _>(if behind { because("it did not go", lasting) } else { lasting.into() })
        }
    });
    let all = process(world, [kind.attempts(5).backoff(millis(1), millis(1))]).await;
    let run = runs(&all);
    let done = ended(&all, all.start("lasting", &false).await.unwrap().id()).await;
    assert_eq!((done.state, done.attempt), (FAILED, 1));
    assert_eq!(done.error.as_deref(), Some("there is no such table"));

    let done = ended(&all, all.start("lasting", &true).await.unwrap().id()).await;
    assert_eq!((done.state, done.attempt), (FAILED, 1));
    assert!(done.error.unwrap().ends_with("there is no such table"));
    assert_eq!(count.get(), 2);
    run.end().await;
}

async fn a_panic_is_a_failure_and_nothing_else_ends_by_it<W: World>(world: &W) {
    let begins = Kind::new("begins", |_: Context<_>, wrong: bool| {
        assert!(!wrong, "at its beginning");
        async { Ok::<_, BoxError>(()) }
    });
    let later = Kind::new("later", |_: Context<_>, n: u32| async move {
        tokio::task::yield_now().await;
        if n > 0 {
            panic!("later, with {n}");
        }
        Ok::<_, BoxError>(())
    });
    let strange = Kind::new("strange", |_: Context<_>, (): ()| async {
        std::panic::panic_any(7_u32);
        #[allow(unreachable_code)] // It says which type.
        Ok::<(), BoxError>(())
    });
    let all = process(world, [begins, later, strange, stays("stays")]).await;
    let run = runs(&all);
    let stays = running(&all, "stays").await;

    let done = ended(&all, all.start("begins", &true).await.unwrap().id()).await;
    assert_eq!(done.state, FAILED);
    assert_eq!(done.error.as_deref(), Some("it panicked: at its beginning"));
    let done = ended(&all, all.start("later", &3).await.unwrap().id()).await;
    assert_eq!(done.error.as_deref(), Some("it panicked: later, with 3"));
    let done = ended(&all, begun(&all, "strange").await).await;
    assert_eq!(done.error.as_deref(), Some("it panicked: of something that is no text"));
    let done = ended(&all, all.start("later", &0).await.unwrap().id()).await;
    assert_eq!(done.state, SUCCEEDED);
    assert_eq!(now(&all, stays).await.state, State::Running);
    assert_eq!(run.end().await.failed(), 3);
}

async fn what_takes_too_long_is_told_so_and_has_failed<W: World>(world: &W) {
    let why = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&why);
    let kind = Kind::new("slow", move |ctx: Context<_>, _: ()| {
        let notes = Arc::clone(&notes);
        async move {
            if ctx.attempt() == 1 {
                let stopped = sleep(HOUR, ctx.token()).await;
                notes.lock().unwrap().push(ctx.token().reason());
                stopped?;
            }
            sleep(HOUR, ctx.token()).await?;
            Ok::<_, BoxError>(())
        }
    });
    let kind = kind.timeout(millis(100)).attempts(2).backoff(millis(1), millis(1));
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let done = ended(&all, begun(&all, "slow").await).await;

    assert_eq!((done.state, done.attempt), (FAILED, 2));
    let said = done.error.unwrap();
    assert!(said.starts_with("it took longer than 100ms"), "{said}");
    assert!(done.cancel.is_none());
    assert_eq!(*why.lock().unwrap(), [Some(Reason::Deadline)]);
    let report = run.end().await;
    assert_eq!((report.failed(), report.tried_again(), report.given_back()), (1, 1, 0));
}

async fn what_takes_too_long_and_does_not_stop_can_be_dropped<W: World>(world: &W) {
    let gate = Gate::default();
    let kind = waits("deaf", &gate).timeout(millis(50)).grace(millis(50));
    let all = process(world, [kind.when_overdue(WhenOverdue::Drop)]).await;
    let run = runs(&all);
    let done = ended(&all, begun(&all, "deaf").await).await;

    assert_eq!(done.state, FAILED);
    let said = done.error.unwrap();
    assert!(said.contains("longer than 50ms") && said.contains("was dropped"), "{said}");
    assert!(run.end().await.is_clean());
}

async fn what_ends_well_though_it_is_late_has_succeeded<W: World>(world: &W) {
    let kind = Kind::new("late", |ctx: Context<_>, _: ()| async move {
        ctx.token().cancelled().await;
        Ok::<_, BoxError>("late")
    });
    let all = process(world, [kind.timeout(millis(50))]).await;
    let run = runs(&all);
    let done = ended(&all, begun(&all, "late").await).await;

    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("\"late\"")));
    run.end().await;
}

async fn an_input_that_a_newer_kind_does_not_take_is_left_to_others_and_fails_in_the_end<
    W: World,
>(
    world: &W,
) {
    let old = Kind::new("one", |_: Context<_>, _: String| async { Ok::<_, BoxError>(()) });
    let new = Kind::new("one", |_: Context<_>, _: u64| async { Ok::<_, BoxError>(()) });
    let before = process(world, [old.attempts(5)]).await;
    let after = process(world, [new.attempts(5)]).await;
    let id = before.start("one", "a text").await.unwrap().id();
    let run = runs(&after);
    // It may be that a newer version is about to come, or an older one about to go.
    let left = until(&before, id, |one| one.error.is_some()).await;
    assert_eq!((left.state, left.attempt), (State::Waiting, 0));
    assert!(left.run_at > left.read_at, "it is left to others for a while");
    let said = left.error.unwrap();
    assert!(said.starts_with("its input is not what its kind takes here"), "{said}");

    world.sql("UPDATE desist_ops SET run_at = 0, refused_at = 0").await;
    let done = ended(&before, id).await;
    assert_eq!((done.state, done.attempt), (FAILED, 1));
    run.end().await;
}

async fn an_error_says_all_of_its_causes<W: World>(world: &W) {
    let kind = Kind::new("fails", |_: Context<_>, _: ()| async {
        Err::<(), _>(because("no export", because("no table", "no\0 disk")))
    });
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let done = ended(&all, begun(&all, "fails").await).await;

    assert_eq!(done.error.as_deref(), Some("no export: no table: no\u{fffd} disk"));
    run.end().await;
}

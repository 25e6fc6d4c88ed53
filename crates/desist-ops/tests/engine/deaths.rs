//! Processes that die, or are cut off.

use std::time::Duration;

use desist::Reason;
use desist_ops::{AfterDeath, BoxError, Context, Kind, Operations, State, Store};
use desist_tokio::sleep;

use crate::bench::*;
use crate::world::{World, on_both, on_both_at_once};

on_both!(
    what_can_be_begun_again_is_begun_again_elsewhere,
    what_dies_again_and_again_has_failed_in_the_end,
    what_was_asked_to_stop_is_cancelled_when_its_process_dies,
    what_is_asked_to_stop_after_the_death_is_cancelled_and_not_begun_again,
    who_has_lost_it_cannot_finish_it,
    what_nobody_runs_on_a_live_process_is_given_back,
);

on_both_at_once!(
    what_a_dead_process_ran_has_failed_and_says_so,
    nothing_is_taken_from_a_process_that_lives,
    what_nobody_runs_and_was_asked_to_stop_is_cancelled,
);

/// Its lease does not end by itself.
async fn mortal<W: World, const N: usize>(
    world: &W,
    label: &str,
    kinds: [Kind<W::Store>; N],
) -> Operations<W::Store> {
    builder(world, kinds).await.lease(HOUR).label(label).open().await.unwrap()
}

/// The leases of all are over.
async fn time_passes<W: World>(world: &W) {
    world.sql("UPDATE desist_ops_node SET lease_until = 1").await;
}

async fn what_a_dead_process_ran_has_failed_and_says_so<W: World>(world: &W) {
    const LEASE: Duration = Duration::from_secs(2);
    let open = async |label| builder(world, [stays("long")]).await.label(label).lease(LEASE);
    let here = open("the first").await.open().await.unwrap();
    let there = open("the second").await.open().await.unwrap();
    let run = runs(&here);
    let id = running(&here, "long").await;
    run.dies().await;
    assert_eq!(now(&there, id).await.state, State::Running, "nobody knows yet");
    let lease = world.number("SELECT lease_until FROM desist_ops_node").await;
    let run = runs(&there);
    let done = ended(&there, id).await;

    assert_eq!((done.state, done.attempt, done.cancel), (FAILED, 1, None));
    assert_eq!(done.generation, 2, "what the dead one writes is refused");
    let said = done.error.unwrap();
    assert!(said.contains("died") && said.contains("the first"), "{said}");
    assert_eq!(done.ran_on.as_deref(), Some("the first"));
    let at = done.finished_at.unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    let at = i64::try_from(at.as_micros()).unwrap();
    // SQLite's clock has milliseconds.
    assert!(at + 1000 >= lease, "{} µs before its lease was over", lease - at);
    assert_eq!(story(&there, id).await, ["started", "claimed", "taken_over"]);
    assert_eq!(world.number("SELECT count(*) FROM desist_ops_node").await, 1);
    run.end().await;
}

async fn what_can_be_begun_again_is_begun_again_elsewhere<W: World>(world: &W) {
    let kind = || {
        let kind = Kind::new("again", |ctx: Context<_>, _: ()| async move {
            if ctx.attempt() == 1 {
                sleep(HOUR, ctx.token()).await?;
            }
            Ok::<_, BoxError>((ctx.attempt(), ctx.generation()))
        });
        kind.after_death(AfterDeath::Restart)
    };
    let here = mortal(world, "the first", [kind()]).await;
    let there = mortal(world, "the second", [kind()]).await;
    let run = runs(&here);
    let id = running(&here, "again").await;
    run.dies().await;
    time_passes(world).await;
    let run = runs(&there);
    let done = ended(&there, id).await;

    // Who takes over raises the generation, and who claims does so again.
    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("[2,3]")));
    assert_eq!(done.ran_on.as_deref(), Some("the second"));
    let expected = ["started", "claimed", "taken_over", "claimed", "finished"];
    assert_eq!(story(&there, id).await, expected);
    run.end().await;
}

async fn what_dies_again_and_again_has_failed_in_the_end<W: World>(world: &W) {
    let count = Count::default();
    let kind = || {
        let count = count.clone();
        let kind = Kind::new("again", move |ctx: Context<_>, _: ()| {
            count.one();
            async move {
                sleep(HOUR, ctx.token()).await?;
                Ok::<_, BoxError>(())
            }
        });
        kind.after_death(AfterDeath::Restart).attempts(2)
    };
    let all = mortal(world, "mortal", [kind()]).await;
    let id = begun(&all, "again").await;
    for attempt in [1, 2] {
        let run = runs(&all);
        until(&all, id, |it| it.state == State::Running && it.attempt == attempt).await;
        run.dies().await;
        time_passes(world).await;
        time_passes(world).await;
    }
    let run = runs(&all);
    let done = ended(&all, id).await;
    assert_eq!((done.state, done.attempt), (FAILED, 2));
    assert!(done.error.unwrap().contains("died"));
    run.end().await;
    // It may have died between its claim and its run.
    assert!(count.get() <= 2);
}

async fn what_was_asked_to_stop_is_cancelled_when_its_process_dies<W: World>(world: &W) {
    let gate = Gate::default();
    let kind = || waits("deaf", &gate).after_death(AfterDeath::Restart);
    let here = mortal(world, "the first", [kind()]).await;
    let there = mortal(world, "the second", [kind()]).await;
    let run = runs(&here);
    let id = running(&here, "deaf").await;
    gate.came().await;
    there.cancel(id, by("ada")).await.unwrap();
    until(&there, id, |it| it.heard_at.is_some()).await;
    run.dies().await;
    time_passes(world).await;
    let run = runs(&there);
    let done = ended(&there, id).await;

    assert_eq!((done.state, done.attempt), (CANCELLED, 1));
    assert!(done.error.unwrap().contains("died"), "it did not stop by itself");
    assert_eq!(done.cancel.unwrap().by(), Some("ada"));
    run.end().await;
}

async fn what_is_asked_to_stop_after_the_death_is_cancelled_and_not_begun_again<W: World>(
    world: &W,
) {
    let (here, there) = (
        mortal(world, "1", [stays("long").after_death(AfterDeath::Restart)]).await,
        mortal(world, "2", [stays("long").after_death(AfterDeath::Restart)]).await,
    );
    let run = runs(&here);
    let id = running(&here, "long").await;
    run.dies().await;
    assert!(there.cancel(id, by("ada")).await.unwrap().is_requested());
    time_passes(world).await;
    let run = runs(&there);
    let done = ended(&there, id).await;

    assert_eq!((done.state, done.attempt, done.heard_at), (CANCELLED, 1, None));
    run.end().await;
}

async fn nothing_is_taken_from_a_process_that_lives<W: World>(world: &W) {
    let gate = Gate::default();
    let kind = || waits("slow", &gate).after_death(AfterDeath::Restart);
    const LEASE: Duration = Duration::from_secs(8);
    let open = async || builder(world, [kind()]).await.lease(LEASE).open().await.unwrap();
    let (here, there) = (open().await, open().await);
    let (run_here, run_there) = (runs(&here), runs(&there));
    let id = running(&here, "slow").await;
    gate.came().await;
    let claimed = now(&here, id).await;
    // Longer than a lease, by the database's clock.
    let is_over = |now: std::time::SystemTime| {
        now.duration_since(claimed.read_at).unwrap_or_default() > LEASE + millis(400)
    };
    while !is_over(now(&here, id).await.read_at) {
        tokio::time::sleep(millis(100)).await;
    }
    let after = now(&here, id).await;
    assert_eq!((after.state, after.generation), (State::Running, 1), "{after:?}");
    gate.open(1);
    assert_eq!(ended(&here, id).await.state, SUCCEEDED);
    let (one, other) = (run_here.end().await, run_there.end().await);
    assert!(one.is_clean() && other.is_clean());
}

/// Says that it is here, waits, and gives its generation, whatever it is told.
fn gives_generation<S: Store>(gate: &Gate) -> Kind<S> {
    let gate = gate.clone();
    let kind = Kind::new("slow", move |ctx: Context<S>, _: ()| {
        let gate = gate.clone();
        async move {
            gate.pass().await;
            Ok::<_, BoxError>(ctx.generation())
        }
    });
    kind.after_death(AfterDeath::Restart)
}

async fn who_has_lost_it_cannot_finish_it<W: World>(world: &W) {
    let (old, new) = (Gate::default(), Gate::default());
    // It looks at its lease once in twenty minutes, so it does not know.
    let here = builder(world, [gives_generation(&old)]).await.lease(HOUR).look_every(HOUR);
    let here = here.open().await.unwrap();
    let there = mortal(world, "new", [gives_generation(&new)]).await;
    let run_here = runs(&here);
    let id = running(&here, "slow").await;
    old.came().await;
    time_passes(world).await;
    let run_there = runs(&there);
    new.came().await;
    old.open(1);
    // It has tried, and says that it has lost it.
    let report = run_here.end().await;
    assert_eq!((report.succeeded(), report.lost()), (0, 1), "{report}");
    assert!(!report.is_clean());
    assert_eq!(now(&there, id).await.state, State::Running);
    new.open(1);
    let done = ended(&there, id).await;

    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("3")));
    assert_eq!(run_there.end().await.succeeded(), 1);
}

/// As if the claim of it had been committed, and its answer lost.
async fn loses_a_claim<W: World>(world: &W, all: &Operations<W::Store>) -> desist_ops::OperationId {
    // So that nobody can claim it before this is done.
    let id = all.start("long", &()).delay(HOUR).await.unwrap().id();
    let takes = format!(
        "UPDATE desist_ops SET state = 'running', generation = 1, attempt = 1, version = 2, \
         node = (SELECT node FROM desist_ops_node), run_at = created_at WHERE id = '{id}'"
    );
    world.sql(&takes).await;
    id
}

async fn what_nobody_runs_on_a_live_process_is_given_back<W: World>(world: &W) {
    let gate = Gate::default();
    let all = process(world, [waits("long", &gate)]).await;
    let run = runs(&all);
    let mine = running(&all, "long").await;
    gate.came().await;
    let id = loses_a_claim(world, &all).await;
    gate.came().await;
    // It runs now, for the first time.
    let again = until(&all, id, |it| it.state == State::Running && it.generation == 3).await;
    assert_eq!(again.attempt, 1);
    assert_eq!(story(&all, id).await[..3], ["started", "given_back", "claimed"]);
    gate.open(2);

    for id in [id, mine] {
        assert_eq!(ended(&all, id).await.state, SUCCEEDED);
    }
    assert_eq!(now(&all, mine).await.generation, 1);
    run.end().await;
}

async fn what_nobody_runs_and_was_asked_to_stop_is_cancelled<W: World>(world: &W) {
    let all = builder(world, [stays("long")]).await.look_every(millis(500)).open().await.unwrap();
    let run = runs(&all);
    running(&all, "long").await;
    let id = loses_a_claim(world, &all).await;
    let answer = all.cancel(id, by("ada")).await.unwrap();
    let done = ended(&all, id).await;

    assert_eq!(done.state, CANCELLED);
    // It may have been given back just before.
    let reason = done.cancel.unwrap().reason();
    assert_eq!((reason, answer.is_requested() || done.generation == 2), (Reason::Requested, true));
    assert!(!story(&all, id).await.contains(&"claimed".to_owned()));
    run.end().await;
}

//! Effects and the end of an operation, in one transaction.

use std::sync::{Arc, Mutex};

use desist::Reason;
use desist_ops::{AfterDeath, BoxError, CommitError, Context, Kind, Postgres, Sqlite};

use crate::bench::*;
use crate::world::{OnPostgres, OnSqlite, World, on_both};

on_both!(
    effects_and_the_end_are_there_together,
    what_a_handler_does_after_its_commit_changes_nothing,
    a_commit_that_fails_leaves_nothing,
    a_commit_that_failed_may_be_tried_again,
    a_second_commit_is_refused,
    who_was_asked_to_stop_commits_nothing,
    who_has_lost_it_commits_nothing,
    what_was_committed_is_not_done_twice_after_a_death,
    many_commits_are_not_taken_for_lost,
);

pub(crate) async fn effects<W: World>(world: &W) -> i64 {
    world.number("SELECT count(*) FROM effect").await
}

pub(crate) async fn with_table<W: World>(world: &W) {
    world.sql("CREATE TABLE effect (text text)").await;
}

/// What a handler of a test does.
type Then = fn(Result<String, CommitError>) -> Result<u32, BoxError>;

/// Commits, and fails in it if it is told so.
fn commits<W: World>(name: &str, then: Then) -> Kind<W::Store> {
    Kind::new(name, move |ctx: Context<W::Store>, fails: bool| async move {
        then(W::commits(&ctx, "text", fails).await)
    })
}

async fn effects_and_the_end_are_there_together<W: World>(world: &W) {
    with_table(world).await;
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("commits", move |ctx: Context<W::Store>, _: ()| {
        let gate = at.clone();
        async move {
            ctx.progress(1, 1, "all of it");
            W::commits(&ctx, "text", false).await?;
            gate.pass().await;
            Ok::<_, BoxError>("something else")
        }
    });
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let id = begun(&all, "commits").await;
    gate.came().await;

    // It has ended, though its handler has not.
    let done = now(&all, id).await;
    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("\"text\"")));
    assert_eq!(done.progress.unwrap().message, "all of it");
    assert_eq!(effects(world).await, 1);
    gate.open(1);
    let report = run.end().await;
    assert_eq!((report.succeeded(), report.lost()), (1, 0), "{report}");
    assert_eq!(now(&all, id).await.output.as_deref(), Some("\"text\""));
    assert_eq!(story(&all, id).await, ["started", "claimed", "finished"]);
}

async fn what_a_handler_does_after_its_commit_changes_nothing<W: World>(world: &W) {
    with_table(world).await;
    let kinds = [
        commits::<W>("fails", |_| Err("it is broken".into())).attempts(5),
        commits::<W>("panics", |_| panic!("badly")).attempts(5),
    ];
    let all = process(world, kinds).await;
    let run = runs(&all);
    for kind in ["fails", "panics"] {
        let id = all.start(kind, &false).await.unwrap().id();
        ended(&all, id).await;
    }
    let report = run.end().await;
    assert_eq!((report.succeeded(), report.failed(), report.tried_again()), (2, 0, 0));
    for done in all.list(&desist_ops::Filter::new()).await.unwrap() {
        assert_eq!((done.state, done.error.as_deref()), (SUCCEEDED, None));
        assert_eq!(done.attempt, 1);
    }
    assert_eq!(effects(world).await, 2);
}

async fn a_commit_that_fails_leaves_nothing<W: World>(world: &W) {
    with_table(world).await;
    let all = process(world, [commits::<W>("commits", |done| Err(done.unwrap_err().into()))]).await;
    let run = runs(&all);
    let done = ended(&all, all.start("commits", &true).await.unwrap().id()).await;

    assert_eq!(done.state, FAILED);
    let said = done.error.unwrap();
    assert_eq!(said, "what was to be committed failed: it was refused");
    assert_eq!(effects(world).await, 0);
    run.end().await;
}

async fn a_commit_that_failed_may_be_tried_again<W: World>(world: &W) {
    with_table(world).await;
    let kind = Kind::new("commits", |ctx: Context<W::Store>, _: ()| async move {
        let failed = W::commits(&ctx, "first", true).await.unwrap_err();
        assert!(failed.cancelled().is_none() && !failed.is_in_doubt());
        Ok::<_, BoxError>(W::commits(&ctx, "second", false).await?)
    });
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let done = ended(&all, begun(&all, "commits").await).await;

    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("\"second\"")));
    assert_eq!(world.sql("SELECT text FROM effect").await, [["second"]]);
    run.end().await;
}

async fn a_second_commit_is_refused<W: World>(world: &W) {
    with_table(world).await;
    let said = Arc::new(Mutex::new(String::new()));
    let says = Arc::clone(&said);
    let kind = Kind::new("commits", move |ctx: Context<W::Store>, _: ()| {
        let says = Arc::clone(&says);
        async move {
            W::commits(&ctx, "first", false).await?;
            let error: BoxError = W::commits(&ctx, "second", false).await.unwrap_err().into();
            *says.lock().unwrap() = format!("{error}; {}", error.source().unwrap());
            Ok::<_, BoxError>(())
        }
    });
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let id = begun(&all, "commits").await;
    ended(&all, id).await;
    assert_eq!(run.end().await.succeeded(), 1);

    let said = said.lock().unwrap().clone();
    assert!(said.contains("committed already") && said.contains("do all of it in one"), "{said}");
    assert_eq!(world.sql("SELECT text FROM effect").await, [["first"]]);
}

async fn who_was_asked_to_stop_commits_nothing<W: World>(world: &W) {
    with_table(world).await;
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("commits", move |ctx: Context<W::Store>, _: ()| {
        let gate = at.clone();
        async move {
            gate.here();
            ctx.token().cancelled().await;
            let error = W::commits(&ctx, "text", false).await.unwrap_err();
            assert_eq!(error.cancelled().unwrap().reason(), Reason::Overload);
            Err::<(), BoxError>(error.into())
        }
    });
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let id = begun(&all, "commits").await;
    gate.came().await;
    all.cancel(id, by("ada").because(Reason::Overload)).await.unwrap();
    let done = ended(&all, id).await;

    assert_eq!((done.state, done.error.as_deref()), (CANCELLED, None));
    assert_eq!(effects(world).await, 0);
    run.end().await;
}

/// Waits at its gate, commits that, and says what came of it.
fn commits_late<W: World>(gate: &Gate, text: &'static str, said: &Said) -> Kind<W::Store> {
    let (gate, said) = (gate.clone(), Arc::clone(said));
    let kind = Kind::new("commits", move |ctx: Context<W::Store>, _: ()| {
        let (gate, said) = (gate.clone(), Arc::clone(&said));
        async move {
            gate.pass().await;
            let done = W::commits(&ctx, text, false).await;
            let why = done.as_ref().err().and_then(CommitError::cancelled).map(|why| why.reason());
            said.lock().unwrap().push((text, why));
            // Its token says so from now on.
            assert_eq!(why, ctx.token().reason());
            done
        }
    });
    kind.after_death(AfterDeath::Restart)
}

type Said = Arc<Mutex<Vec<(&'static str, Option<Reason>)>>>;

async fn who_has_lost_it_commits_nothing<W: World>(world: &W) {
    with_table(world).await;
    let (old, new, said) = (Gate::default(), Gate::default(), Said::default());
    // It looks at its lease once in twenty minutes, so it does not know.
    let here = builder(world, [commits_late::<W>(&old, "old", &said)]).await;
    let here = here.lease(HOUR).look_every(HOUR).open().await.unwrap();
    let there = process(world, [commits_late::<W>(&new, "new", &said)]).await;
    let run_here = runs(&here);
    let id = running(&here, "commits").await;
    old.came().await;
    world.sql("UPDATE desist_ops_node SET lease_until = 1").await;
    let run_there = runs(&there);
    new.came().await;
    old.open(1);
    // It ends what it has, and that is not its own any more.
    run_here.stop.drain();
    assert_eq!(run_here.ended().await.lost(), 1);
    assert_eq!(effects(world).await, 0);
    new.open(1);
    let done = ended(&there, id).await;

    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("\"new\"")));
    assert_eq!(world.sql("SELECT text FROM effect").await, [["new"]]);
    run_there.end().await;
    let expected = [("old", Some(Reason::LeaseLost)), ("new", None)];
    assert_eq!(*said.lock().unwrap(), expected);
}

async fn what_was_committed_is_not_done_twice_after_a_death<W: World>(world: &W) {
    with_table(world).await;
    let gate = Gate::default();
    let kind = || {
        let at = gate.clone();
        let kind = Kind::new("commits", move |ctx: Context<W::Store>, _: ()| {
            let gate = at.clone();
            async move {
                W::commits(&ctx, "text", false).await?;
                gate.pass().await;
                Ok::<_, BoxError>(())
            }
        });
        kind.after_death(AfterDeath::Restart)
    };
    let (here, there) = (process(world, [kind()]).await, process(world, [kind()]).await);
    let run = runs(&here);
    let id = begun(&here, "commits").await;
    gate.came().await;
    run.dies().await;
    world.sql("UPDATE desist_ops_node SET lease_until = 1").await;
    let run = runs(&there);
    // What comes after it is run here.
    let next = begun(&there, "commits").await;
    gate.came().await;
    assert_eq!(effects(world).await, 2, "one each");
    gate.open(1);

    assert_eq!(ended(&there, next).await.state, SUCCEEDED);
    let done = now(&there, id).await;
    assert_eq!((done.state, done.attempt, done.generation), (SUCCEEDED, 1, 1));
    run.end().await;
}

async fn many_commits_are_not_taken_for_lost<W: World>(world: &W) {
    const ALL: u64 = 100;
    with_table(world).await;
    let kind = Kind::new("commits", |ctx: Context<W::Store>, _: ()| async move {
        W::commits(&ctx, "text", false).await?;
        ctx.token().check()?;
        Ok::<_, BoxError>(())
    });
    // All that runs is looked at a hundred times a second.
    let all = builder(world, [kind]).await.look_every(millis(10)).open().await.unwrap();
    for _ in 0..ALL {
        begun(&all, "commits").await;
    }
    let run = runs(&all);
    for operation in all.list(&desist_ops::Filter::new()).await.unwrap() {
        ended(&all, operation.id).await;
    }
    let report = run.end().await;
    assert_eq!((report.succeeded(), report.lost()), (ALL, 0), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_cancel_is_heard_in_the_middle_of_a_commit() {
    let Some(world) = OnPostgres::begin().await else { return };
    with_table(&world).await;
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("commits", move |ctx: Context<Postgres>, _: ()| {
        let gate = at.clone();
        async move {
            let commits = ctx.commit(|tx| async move {
                tx.execute("INSERT INTO effect VALUES ('text')", &[]).await?;
                gate.here();
                // Nobody waits for that, if it can be stopped.
                tx.execute("SELECT pg_sleep(3600)", &[]).await?;
                Ok(())
            });
            commits.await
        }
    });
    let all = process(&world, [kind]).await;
    let run = runs(&all);
    let id = begun(&all, "commits").await;
    gate.came().await;
    assert!(soon(all.cancel(id, by("ada"))).await.unwrap().is_requested());
    let done = ended(&all, id).await;

    assert_eq!((done.state, done.error.as_deref()), (CANCELLED, None));
    assert_eq!(effects(&world).await, 0);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_commit_that_takes_too_long_is_stopped() {
    let world = OnSqlite::begin().await.unwrap();
    with_table(&world).await;
    let kind = Kind::new("commits", |ctx: Context<Sqlite>, _: ()| async move {
        let commits = ctx.commit(|tx| {
            tx.execute("INSERT INTO effect VALUES ('text')", [])?;
            let counts = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) \
                          SELECT max(n) FROM n";
            Ok(tx.query_row(counts, [], |row| row.get::<_, i64>(0))?)
        });
        commits.await
    });
    let all = process(&world, [kind.timeout(millis(200))]).await;
    let run = runs(&all);
    let done = ended(&all, begun(&all, "commits").await).await;

    assert_eq!(done.state, FAILED);
    assert!(done.error.unwrap().starts_with("it took longer than 200ms"));
    assert_eq!(effects(&world).await, 0);
    run.end().await;
}

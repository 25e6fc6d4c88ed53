//! Commits of runs that are over, and commits that somebody gave up in their middle.

use std::sync::{Arc, Mutex};

use desist_ops::{BoxError, CommitError, Context, Kind, Postgres, Sqlite, State};
use desist_sql::postgres::Pool;

use crate::bench::*;
use crate::commits::{effects, with_table};
use crate::world::{OnPostgres, OnSqlite, World, on_both};

on_both!(
    a_run_that_is_over_commits_nothing,
    a_commit_that_was_given_up_may_be_done_again,
    who_has_stopped_running_tells_the_runs,
);

/// Commits that do not end by themselves.
trait Half: World {
    /// Writes that text, says that it is here, and goes on until it is stopped.
    fn half_commits(
        ctx: &Context<Self::Store>,
        text: &'static str,
        gate: &Gate,
    ) -> impl Future<Output = Result<(), CommitError>> + Send;
}

impl Half for OnSqlite {
    async fn half_commits(
        ctx: &Context<Sqlite>,
        text: &'static str,
        gate: &Gate,
    ) -> Result<(), CommitError> {
        let gate = gate.clone();
        let commits = ctx.commit(move |tx| {
            tx.execute("INSERT INTO effect VALUES (?1)", [text])?;
            gate.here();
            loop {
                // Each of them is short.
                let counts = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n \
                              WHERE n < 1000) SELECT max(n) FROM n";
                tx.query_row(counts, [], |row| row.get::<_, i64>(0))?;
            }
        });
        commits.await
    }
}

impl Half for OnPostgres {
    async fn half_commits(
        ctx: &Context<Postgres>,
        text: &'static str,
        gate: &Gate,
    ) -> Result<(), CommitError> {
        let commits = ctx.commit(|tx| async move {
            tx.execute("INSERT INTO effect VALUES ($1)", &[&text]).await?;
            gate.here();
            tx.execute("SELECT pg_sleep(3600)", &[]).await?;
            Ok(())
        });
        commits.await
    }
}

/// What was lent to a handler, and that it has kept.
type Kept<S> = Arc<Mutex<Option<Context<S>>>>;

async fn a_run_that_is_over_commits_nothing<W: World>(world: &W) {
    with_table(world).await;
    let kept = Kept::<W::Store>::default();
    let keeps = Arc::clone(&kept);
    let kind = Kind::new("ends", move |ctx: Context<W::Store>, fails: bool| {
        *keeps.lock().unwrap() = Some(ctx);
        async move { if fails { Err("it is broken") } else { Ok("done") } }
    });
    let all = process(world, [kind.attempts(2).backoff(HOUR, HOUR)]).await;
    let run = runs(&all);
    // One ends, and one waits to be tried again: it would be there twice.
    for fails in [false, true] {
        let id = all.start("ends", &fails).await.unwrap().id();
        let over = until(&all, id, |it| {
            it.state.is_finished() || it.state == State::Waiting && it.attempt > 0
        });
        let before = over.await;
        let ctx = kept.lock().unwrap().take().unwrap();
        let error = W::commits(&ctx, "late", false).await.unwrap_err();

        assert!(error.to_string().contains("is over"), "{error}");
        assert!(!error.is_in_doubt() && error.cancelled().is_none());
        assert_eq!(effects(world).await, 0);
        let after = now(&all, id).await;
        assert_eq!((after.state, after.version), (before.state, before.version));
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_commit_whose_run_ends_meanwhile_is_undone() {
    let Some(world) = OnPostgres::begin().await else { return };
    with_table(&world).await;
    let (gate, said) = (Gate::default(), Arc::new(Mutex::new(None)));
    let (at, says) = (gate.clone(), Arc::clone(&said));
    let kind = Kind::new("ends", move |ctx: Context<Postgres>, _: ()| {
        let (gate, said) = (at.clone(), Arc::clone(&says));
        async move {
            let (inside, after, late) = (gate.clone(), gate.clone(), ctx.clone());
            tokio::spawn(async move {
                let commits = late.commit(|tx| async move {
                    tx.execute("INSERT INTO effect VALUES ('late')", &[]).await?;
                    inside.pass().await;
                    Ok(())
                });
                *said.lock().unwrap() = Some(commits.await);
                // For whoever waits for that.
                after.here();
            });
            gate.came().await;
            Ok::<_, BoxError>("done")
        }
    });
    let all = process(&world, [kind]).await;
    let run = runs(&all);
    let id = begun(&all, "ends").await;
    assert_eq!(ended(&all, id).await.output.as_deref(), Some("\"done\""));
    gate.open(1);
    gate.came().await;

    let error = said.lock().unwrap().take().unwrap().unwrap_err();
    assert!(error.to_string().contains("is over"), "{error}");
    assert_eq!(effects(&world).await, 0);
    run.end().await;
}

async fn a_commit_that_was_given_up_may_be_done_again<W: Half>(world: &W) {
    with_table(world).await;
    let kind = Kind::new("again", |ctx: Context<W::Store>, _: ()| async move {
        let gate = Gate::default();
        tokio::select! {
            _ = W::half_commits(&ctx, "first", &gate) => panic!("it ended"),
            // As by a timeout.
            () = gate.came() => {}
        }
        Ok::<_, BoxError>(W::commits(&ctx, "second", false).await?)
    });
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let done = ended(&all, begun(&all, "again").await).await;

    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("\"second\"")));
    assert_eq!(world.sql("SELECT text FROM effect").await, [["second"]]);
    assert_eq!(run.end().await.succeeded(), 1);
}

async fn who_has_stopped_running_tells_the_runs<W: World>(world: &W) {
    let (gate, kept) = (Gate::default(), Kept::<W::Store>::default());
    let (at, keeps) = (gate.clone(), Arc::clone(&kept));
    let kind = Kind::new("long", move |ctx: Context<W::Store>, _: ()| {
        *keeps.lock().unwrap() = Some(ctx);
        at.here();
        std::future::pending::<Result<(), BoxError>>()
    });
    let all = process(world, [kind]).await;
    let run = runs(&all);
    begun(&all, "long").await;
    gate.came().await;
    let token = kept.lock().unwrap().take().unwrap().token().clone();
    assert!(!token.is_cancelled());
    // A thread may go on, that only looks at its token.
    run.dies().await;
    soon(token.cancelled()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_cancel_is_answered_while_commits_have_all_connections() {
    const ALL: usize = 2;
    let Some(world) = OnPostgres::begin().await else { return };
    with_table(&world).await;
    // Nobody commits before this one lets go.
    let holder = world.client().await;
    let key = "hashtext(current_schema())";
    holder.batch_execute(&format!("SELECT pg_advisory_lock({key})")).await.unwrap();
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("commits", move |ctx: Context<Postgres>, _: ()| {
        let gate = at.clone();
        async move {
            let commits = ctx.commit(|tx| async move {
                gate.here();
                tx.execute(&format!("SELECT pg_advisory_xact_lock({key})"), &[]).await?;
                tx.execute("INSERT INTO effect VALUES ('text')", &[]).await?;
                Ok(())
            });
            commits.await
        }
    });
    let pool = Pool::builder(world.config()).size(ALL).build().unwrap();
    let store = Postgres::builder(world.config()).pool(pool).build().unwrap();
    let all = of_store(store, [kind]).open().await.unwrap();
    let run = runs(&all);
    let first = begun(&all, "commits").await;
    let second = begun(&all, "commits").await;
    for _ in 0..ALL {
        gate.came().await;
    }
    assert!(soon(all.cancel(first, by("ada"))).await.unwrap().is_requested());

    assert_eq!(ended(&all, first).await.state, CANCELLED);
    assert_eq!(now(&all, second).await.state, State::Running);
    holder.batch_execute(&format!("SELECT pg_advisory_unlock({key})")).await.unwrap();
    assert_eq!(ended(&all, second).await.state, SUCCEEDED);
    assert_eq!(effects(&world).await, 1);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_cancel_is_heard_in_the_middle_of_a_commit() {
    let world = OnSqlite::begin().await.unwrap();
    with_table(&world).await;
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("commits", move |ctx: Context<Sqlite>, _: ()| {
        let gate = at.clone();
        async move { OnSqlite::half_commits(&ctx, "text", &gate).await }
    });
    let all = process(&world, [kind]).await;
    let run = runs(&all);
    let id = begun(&all, "commits").await;
    gate.came().await;
    // It has what a request would be written with, and lets go of it by that.
    let answer = soon(all.cancel(id, by("ada"))).await.unwrap();
    let done = ended(&all, id).await;

    assert_eq!((done.state, done.error.as_deref()), (CANCELLED, None), "{answer}");
    assert_eq!(done.cancel.unwrap().by(), Some("ada"));
    assert_eq!(effects(&world).await, 0);
    run.end().await;
}

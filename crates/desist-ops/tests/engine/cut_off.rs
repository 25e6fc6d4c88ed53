//! Processes that live, and do not reach their database.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use desist::Reason;
use desist_ops::{AfterDeath, BoxError, Context, Kind, Operations, Postgres, Store};
use tokio::sync::mpsc;

use crate::bench::*;
use crate::world::{OnPostgres, World, on_both, on_both_at_once};

on_both!(a_lease_that_is_over_is_not_renewed,);
on_both_at_once!(
    who_cannot_renew_stops_before_its_lease_is_over_and_comes_back_as_another,
    what_was_cut_off_for_short_goes_on,
);

fn opens<S: Store, const N: usize>(
    store: S,
    kinds: [Kind<S>; N],
    lease: Duration,
) -> impl Future<Output = Result<Operations<S>, desist_ops::Error>> {
    of_store(store, kinds).lease(lease).open()
}

/// Waits until it is told to stop, and says when and why; done the second time.
fn tells<S: Store>(gate: &Gate, tells: mpsc::UnboundedSender<(SystemTime, Reason)>) -> Kind<S> {
    let gate = gate.clone();
    let kind = Kind::new("tells", move |ctx: Context<S>, _: ()| {
        let (tells, gate) = (tells.clone(), gate.clone());
        async move {
            gate.here();
            if ctx.attempt() == 1 {
                ctx.token().cancelled().await;
                let _ = tells.send((SystemTime::now(), ctx.token().reason().unwrap()));
                ctx.token().check()?;
            }
            Ok::<_, BoxError>((ctx.attempt(), ctx.generation()))
        }
    });
    kind.after_death(AfterDeath::Restart)
}

async fn who_cannot_renew_stops_before_its_lease_is_over_and_comes_back_as_another<W: World>(
    world: &W,
) {
    let (gate, (tell, mut told)) = (Gate::default(), mpsc::unbounded_channel());
    let (store, line) = world.on_a_line().await;
    let all = opens(store, [tells(&gate, tell)], Duration::from_secs(6)).await.unwrap();
    let run = runs(&all);
    let id = running(&all, "tells").await;
    gate.came().await;
    line.cut();
    let before = world.sql("SELECT node FROM desist_ops_node").await;
    let (at, why) = soon(told.recv()).await.unwrap();
    // The database's clock is this machine's.
    let lease = world.number("SELECT max(lease_until) FROM desist_ops_node").await;
    let at = i64::try_from(at.duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    assert_eq!(why, Reason::LeaseLost);
    assert!(at < lease, "{} µs too late", at - lease);
    line.mend();
    let done = ended(&all, id).await;

    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("[2,3]")));
    let after = world.sql("SELECT node FROM desist_ops_node").await;
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before, after, "a lease that was lost is not taken up again");
    let report = run.end().await;
    assert_eq!((report.lost(), report.succeeded()), (1, 1), "{report}");
}

async fn a_lease_that_is_over_is_not_renewed<W: World>(world: &W) {
    let (gate, (tell, mut told)) = (Gate::default(), mpsc::unbounded_channel());
    let all = opens(world.store().await, [tells(&gate, tell)], HOUR).await.unwrap();
    let run = runs(&all);
    let id = running(&all, "tells").await;
    gate.came().await;
    let before = world.sql("SELECT node FROM desist_ops_node").await;
    // As if it had been stopped for an hour, and went on.
    world.sql("UPDATE desist_ops_node SET lease_until = 1").await;
    let (_, why) = soon(told.recv()).await.unwrap();
    assert_eq!(why, Reason::LeaseLost);
    let after = soon(async {
        loop {
            let nodes = world.sql("SELECT node FROM desist_ops_node ORDER BY lease_until").await;
            if nodes.iter().any(|node| *node != before[0]) {
                return nodes;
            }
            tokio::time::sleep(millis(10)).await;
        }
    });
    let after = after.await;
    // Its operation is still the old one's, which nobody has taken over yet.
    assert_eq!((after.len(), &after[0]), (2, &before[0]));
    let other = runs(&opens(world.store().await, [stays("other")], HOUR).await.unwrap());
    let done = ended(&all, id).await;
    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("[2,3]")));
    assert_eq!(run.end().await.lost(), 1);
    other.end().await;
}

async fn what_was_cut_off_for_short_goes_on<W: World>(world: &W) {
    let gate = Gate::default();
    let (store, line) = world.on_a_line().await;
    let all = opens(store, [waits("slow", &gate)], Duration::from_secs(20)).await.unwrap();
    let run = runs(&all);
    let id = running(&all, "slow").await;
    gate.came().await;
    line.cut();
    gate.open(1);
    // Its end cannot be written, and is tried again.
    tokio::time::sleep(millis(300)).await;
    line.mend();
    let done = ended(&all, id).await;

    assert_eq!((done.state, done.generation, done.attempt), (SUCCEEDED, 1, 1));
    assert!(run.end().await.is_clean());
}

/// What a run found that was cut off, and went on all the same.
type Found = Arc<Mutex<Vec<String>>>;

/// Waits at its gate, whatever it is told, and then writes.
fn writes(gate: &Gate, name: &'static str, found: &Found) -> Kind<Postgres> {
    let (gate, found) = (gate.clone(), Arc::clone(found));
    let kind = Kind::new("writes", move |ctx: Context<_>, _: ()| {
        let (gate, found) = (gate.clone(), Arc::clone(&found));
        async move {
            gate.pass().await;
            let committed = OnPostgres::commits(&ctx, name, false).await;
            if let Err(error) = &committed {
                let why = error.cancelled().map(|why| why.reason());
                found.lock().unwrap().push(format!("{why:?}"));
            }
            committed
        }
    });
    kind.after_death(AfterDeath::Restart)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_who_was_cut_off_writes_nothing_over_who_has_it_now() {
    let Some(world) = OnPostgres::begin().await else { return };
    world.sql("CREATE TABLE effect (text text)").await;
    let (old, new, found) = (Gate::default(), Gate::default(), Found::default());
    let (store, line) = world.on_a_line().await;
    let lease = Duration::from_secs(2);
    let here = opens(store, [writes(&old, "old", &found)], lease).await.unwrap();
    let kind = writes(&new, "new", &found);
    let there = opens(world.store().await, [kind], Duration::from_secs(10)).await.unwrap();
    let run_here = runs(&here);
    let id = running(&here, "writes").await;
    old.came().await;
    line.cut();
    let run_there = runs(&there);
    new.came().await;
    // Both run now. The old one goes on first.
    line.mend();
    old.open(1);
    until_some(&found).await;
    new.open(1);
    let done = ended(&there, id).await;

    assert_eq!((done.state, done.output.as_deref()), (SUCCEEDED, Some("\"new\"")));
    assert_eq!(*found.lock().unwrap(), ["Some(LeaseLost)"]);
    assert_eq!(world.sql("SELECT text FROM effect").await, [["new"]]);
    assert_eq!(run_here.end().await.lost(), 1);
    assert!(run_there.end().await.is_clean());
}

async fn until_some(found: &Found) {
    let is_empty = || found.lock().unwrap().is_empty();
    soon(async {
        while is_empty() {
            tokio::time::sleep(millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_connections_that_are_killed_all_the_time_lose_nothing() {
    const ALL: usize = 15;
    let Some(world) = OnPostgres::begin().await else { return };
    world.sql("CREATE TABLE effect (text text)").await;
    let kind = Kind::new("writes", |ctx: Context<_>, n: usize| async move {
        Ok::<_, BoxError>(OnPostgres::commits(&ctx, &format!("{n}"), false).await?)
    });
    let kind = kind.concurrency(3).backoff(millis(1), millis(50));
    let mut config = world.config();
    config.application_name("killed");
    let store = Postgres::builder(config).build().unwrap();
    let there = opens(store, [kind], Duration::from_secs(20)).await.unwrap();
    let starts = Kind::new("writes", |_: Context<_>, _: usize| async { Ok::<_, BoxError>(()) });
    let here = process(&world, [starts.concurrency(0).attempts(1000)]).await;
    let mut ids = Vec::new();
    for n in 0..ALL {
        ids.push(here.start("writes", &n).await.unwrap().id());
    }
    let run = runs(&there);
    let client = world.client().await;
    let killer = tokio::spawn(async move {
        let kills = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE application_name = 'killed'";
        // Less and less often, so that there is an end to it on any machine.
        for n in 0.. {
            client.simple_query(kills).await.unwrap();
            tokio::time::sleep(millis(15 + n)).await;
        }
    });
    for id in ids {
        let done = ended(&here, id).await;
        assert_eq!(done.state, SUCCEEDED, "{done:?}");
    }
    killer.abort();
    let twice = "SELECT count(*), count(DISTINCT text) FROM effect";
    assert_eq!(world.sql(twice).await, [[ALL.to_string(), ALL.to_string()]]);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_what_is_committed_is_not_lost_while_the_answer_is_on_its_way() {
    let Some(world) = OnPostgres::begin().await else { return };
    // A commit takes a second.
    world
        .sql(
            "CREATE TABLE effect (text text); \
             CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM pg_sleep(1); RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON effect DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        .await;
    let kind = Kind::new("writes", |ctx: Context<_>, _: ()| async move {
        OnPostgres::commits(&ctx, "text", false).await?;
        ctx.token().check()?;
        Ok::<_, BoxError>(())
    });
    // Only what handlers ask goes over the line.
    let (lined, line) = world.on_a_line().await;
    let store = Postgres::builder(world.config()).pool(lined.pool().clone()).build().unwrap();
    let there = opens(store, [kind], Duration::from_secs(60)).await.unwrap();
    let here = process(&world, [stays("writes").concurrency(0)]).await;
    let run = runs(&there);
    let id = begun(&here, "writes").await;
    // Nobody else sleeps in a commit.
    let commits = "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' \
                   AND wait_event = 'PgSleep'";
    soon(async {
        while world.number(commits).await == 0 {
            tokio::time::sleep(millis(10)).await;
        }
    })
    .await;
    line.cut();
    let done = ended(&here, id).await;
    assert_eq!(done.state, SUCCEEDED);
    // It looks at all that it runs some times meanwhile.
    tokio::time::sleep(millis(500)).await;
    line.mend();
    let report = run.end().await;
    assert_eq!((report.succeeded(), report.lost()), (1, 0), "{report}");
}

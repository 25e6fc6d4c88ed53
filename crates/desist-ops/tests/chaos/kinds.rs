//! Kinds of operations that show from the outside what was done.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use desist::Reason;
use desist_ops::{
    AfterDeath, BoxError, CommitError, Context, Kind, OperationsBuilder, Postgres, Sqlite, Store,
};
use desist_tokio::sleep;

use crate::MS;
use crate::log::Log;
use crate::process::Setup;

/// What happens within a commit, after the effect is written and before it is committed.
#[derive(Clone)]
pub(crate) struct Inside {
    log: Arc<Log>,
    id: String,
    generation: i64,
    pause: Duration,
    gate: Option<PathBuf>,
}

impl Inside {
    async fn passes(&self) {
        if let Some(gate) = &self.gate {
            self.log.write("inside", &self.id, self.generation);
            until_there(gate).await;
        }
        tokio::time::sleep(self.pause).await;
    }

    fn passes_blocking(&self) {
        if let Some(gate) = &self.gate {
            self.log.write("inside", &self.id, self.generation);
            while !gate.exists() {
                std::thread::sleep(MS(5));
            }
        }
        std::thread::sleep(self.pause / 10);
    }
}

/// There is no event of a file.
async fn until_there(gate: &std::path::Path) {
    while !gate.exists() {
        tokio::time::sleep(MS(5)).await;
    }
}

/// A store with effects: a row for each commit, and nothing that keeps two apart.
pub(crate) trait Effects: Store {
    fn effect(
        ctx: &Context<Self>,
        inside: Inside,
    ) -> impl Future<Output = Result<(), CommitError>> + Send;
}

impl Effects for Postgres {
    async fn effect(ctx: &Context<Self>, inside: Inside) -> Result<(), CommitError> {
        let does = ctx.commit(|tx| async move {
            let inserts = "INSERT INTO effect (id, generation) VALUES ($1, $2)";
            tx.execute(inserts, &[&inside.id, &inside.generation]).await?;
            inside.passes().await;
            Ok(inside.generation)
        });
        does.await.map(drop)
    }
}

impl Effects for Sqlite {
    async fn effect(ctx: &Context<Self>, inside: Inside) -> Result<(), CommitError> {
        let does = ctx.commit(move |tx| {
            let inserts = "INSERT INTO effect (id, generation) VALUES (?1, ?2)";
            tx.execute(inserts, (&inside.id, &inside.generation))?;
            inside.passes_blocking();
            Ok(inside.generation)
        });
        does.await.map(drop)
    }
}

/// Those that end by a commit: they have succeeded exactly if their effect is there.
pub(crate) const COMMITTING: [&str; 7] =
    ["quick", "frail", "slow", "flaky", "parent", "rolling", "gate"];

/// Those that nobody begins again after a death.
pub(crate) const FRAIL: [&str; 2] = ["frail", "rolling"];

/// What handlers write to, and wait for.
struct Outside {
    log: Arc<Log>,
    gate: PathBuf,
}

impl Outside {
    fn inside<S>(&self, ctx: &Context<S>) -> Inside {
        let (id, generation) = (ctx.id().to_string(), ctx.generation());
        Inside { log: Arc::clone(&self.log), id, generation, pause: Duration::ZERO, gate: None }
    }
}

/// With all of them.
pub(crate) fn with_kinds<S: Effects>(
    mut builder: OperationsBuilder<S>,
    setup: &Setup,
) -> OperationsBuilder<S> {
    let outside =
        Arc::new(Outside { log: Arc::new(Log::open(&setup.log)), gate: setup.gate.clone() });
    macro_rules! kinds {
        ($($name:ident),*) => {
            $(
                let shared = Arc::clone(&outside);
                let kind = Kind::new(stringify!($name), move |ctx: Context<S>, n: u64| {
                    let outside = Arc::clone(&shared);
                    async move {
                        let noted = Noted::begins(&ctx, &outside.log);
                        let done = $name(&ctx, n, &outside).await;
                        noted.ends(&ctx, &done);
                        done
                    }
                });
                let kind = kind.concurrency(setup.concurrency).backoff(MS(50), MS(200));
                builder = builder.kind(with_policy(stringify!($name), kind));
            )*
        };
    }
    kinds!(
        quick, frail, slow, flaky, parent, rolling, gate, late, plain, stubborn, long, hold, steps
    );
    builder
}

fn with_policy<S: 'static>(name: &str, kind: Kind<S>) -> Kind<S> {
    match name {
        name if FRAIL.contains(&name) => kind.attempts(1).after_death(AfterDeath::Fail),
        "flaky" => kind.attempts(4).after_death(AfterDeath::Restart),
        _ => kind.attempts(60).after_death(AfterDeath::Restart),
    }
}

/// That a handler has begun, when it was stopped, and how it has ended.
struct Noted {
    log: Arc<Log>,
    stopped: Arc<Once>,
    // As long as it is there, a stop is written down in the moment in which it comes.
    _registration: desist::Registration,
}

impl Noted {
    fn begins<S>(ctx: &Context<S>, log: &Arc<Log>) -> Self {
        log.write("begun", ctx.id(), ctx.generation());
        let (told, id, generation) = (Arc::clone(log), ctx.id(), ctx.generation());
        let stopped = Arc::new(Once::new());
        let once = Arc::clone(&stopped);
        let writes = move |_: &desist::Cancelled| {
            once.call_once(|| told.write("stopped", id, generation));
        };
        Self { log: Arc::clone(log), stopped, _registration: ctx.token().on_cancel(writes) }
    }

    fn ends<S, T>(&self, ctx: &Context<S>, done: &Result<T, BoxError>) {
        if ctx.token().is_cancelled() {
            // Whoever waited for it was woken first.
            self.stopped.call_once(|| self.log.write("stopped", ctx.id(), ctx.generation()));
        }
        let is_lost = ctx.stop().reason() == Some(Reason::LeaseLost);
        let what = match done {
            _ if is_lost => "lost",
            Ok(_) => "ended",
            Err(_) => "failed",
        };
        self.log.write(what, ctx.id(), ctx.generation());
    }
}

type Done = Result<i64, BoxError>;

async fn quick<S: Effects>(ctx: &Context<S>, n: u64, outside: &Outside) -> Done {
    sleep(MS(n % 20), ctx.token()).await?;
    S::effect(ctx, outside.inside(ctx)).await?;
    Ok(ctx.generation())
}

/// Not begun again after a death.
async fn frail<S: Effects>(ctx: &Context<S>, n: u64, outside: &Outside) -> Done {
    sleep(MS(n % 60), ctx.token()).await?;
    S::effect(ctx, outside.inside(ctx)).await?;
    Ok(ctx.generation())
}

/// In the middle of a commit for long.
async fn slow<S: Effects>(ctx: &Context<S>, n: u64, outside: &Outside) -> Done {
    let pause = MS(n % 400);
    S::effect(ctx, Inside { pause, ..outside.inside(ctx) }).await?;
    Ok(ctx.generation())
}

/// It fails at first, and some of them always.
async fn flaky<S: Effects>(ctx: &Context<S>, n: u64, outside: &Outside) -> Done {
    if u64::from(ctx.attempt()) <= n % 6 {
        return Err("it fails".into());
    }
    S::effect(ctx, outside.inside(ctx)).await?;
    Ok(ctx.generation())
}

async fn parent<S: Effects>(ctx: &Context<S>, n: u64, outside: &Outside) -> Done {
    for child in 0..=n % 3 {
        let kind = if child == 0 { "long" } else { "quick" };
        let _ = ctx.start(kind, &(n % 1000)).await?;
        sleep(MS(n % 50), ctx.token()).await?;
    }
    S::effect(ctx, outside.inside(ctx)).await?;
    Ok(ctx.generation())
}

/// Of a service that is restarted: it stops when it is asked to, and what it did not commit is
/// done again.
async fn rolling<S: Effects>(ctx: &Context<S>, n: u64, outside: &Outside) -> Done {
    sleep(MS(n % 900), ctx.token()).await?;
    S::effect(ctx, outside.inside(ctx)).await?;
    Ok(ctx.generation())
}

/// Its first run stands in the middle of its commit until the gate is open.
async fn gate<S: Effects>(ctx: &Context<S>, _: u64, outside: &Outside) -> Done {
    let gate = (ctx.attempt() == 1).then(|| outside.gate.clone());
    S::effect(ctx, Inside { gate, ..outside.inside(ctx) }).await?;
    Ok(ctx.generation())
}

/// Its first run gives what it gives when the gate is open, whatever it was told.
async fn late<S: Effects>(ctx: &Context<S>, _: u64, outside: &Outside) -> Done {
    if ctx.attempt() == 1 {
        outside.log.write("inside", ctx.id(), ctx.generation());
        until_there(&outside.gate).await;
    }
    Ok(ctx.generation())
}

/// What it does is done by what it gives.
async fn plain<S: Effects>(ctx: &Context<S>, n: u64, _: &Outside) -> Done {
    sleep(MS(n % 300), ctx.token()).await?;
    Ok(ctx.generation())
}

/// It does not listen.
async fn stubborn<S: Effects>(ctx: &Context<S>, n: u64, _: &Outside) -> Done {
    tokio::time::sleep(MS(n % 2500)).await;
    Ok(ctx.generation())
}

async fn long<S: Effects>(ctx: &Context<S>, n: u64, _: &Outside) -> Done {
    let steps = n % 30;
    for step in 0..steps {
        sleep(MS(30), ctx.token()).await?;
        ctx.progress(step, steps, "goes on");
    }
    Ok(ctx.generation())
}

/// Until it is told to stop.
async fn hold<S: Effects>(ctx: &Context<S>, _: u64, _: &Outside) -> Done {
    let why = ctx.token().cancelled().await;
    Err(why.into())
}

/// The same, and says how far it is.
async fn steps<S: Effects>(ctx: &Context<S>, _: u64, _: &Outside) -> Done {
    for step in 0.. {
        ctx.progress(step, None, "goes on");
        sleep(MS(50), ctx.token()).await?;
    }
    Ok(0)
}

//! What a scenario starts: it goes on by as much as it is told to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use desist_ops::{AfterDeath, BoxError, Context, Kind, OperationId, OperationsBuilder, Sqlite};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};

/// What does not obey is overdue after that.
const GRACE: Duration = Duration::from_millis(200);
/// So many beats until each of the many has moved.
const ROUND: u64 = 100;

/// What an operation is to do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Work {
    /// One for each permit.
    steps: u64,
    /// What it says of each.
    message: Option<String>,
    /// In the end.
    fails: Option<String>,
    /// What it starts first.
    below: Vec<Work>,
}

/// What operations wait for.
pub(crate) struct Gates {
    steps: Mutex<HashMap<OperationId, Arc<Semaphore>>>,
    /// The many go on with it.
    pub(crate) beat: watch::Sender<u64>,
}

impl Gates {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { steps: Mutex::default(), beat: watch::Sender::new(0) })
    }

    /// That of an operation, before or after it runs.
    pub(crate) fn of(&self, id: OperationId) -> Arc<Semaphore> {
        let mut steps = self.steps.lock().unwrap();
        Arc::clone(steps.entry(id).or_insert_with(|| Arc::new(Semaphore::new(0))))
    }
}

pub(crate) fn with_kinds(
    builder: OperationsBuilder<Sqlite>,
    gates: &Arc<Gates>,
) -> OperationsBuilder<Sqlite> {
    let gates = || Arc::clone(gates);
    let (obeys, hears_nothing, is_one_of_many) = (gates(), gates(), gates());
    let obedient = move |ctx, work| obedient(ctx, work, Arc::clone(&obeys));
    let deaf = move |ctx, work| deaf(ctx, work, Arc::clone(&hears_nothing));
    let many = move |ctx, number| many(ctx, number, Arc::clone(&is_one_of_many));
    builder
        .kind(Kind::new("export", obedient.clone()).concurrency(100))
        .kind(Kind::new("part", obedient.clone()).concurrency(100))
        .kind(Kind::new("single", obedient.clone()).concurrency(1))
        .kind(Kind::new("durable", obedient).after_death(AfterDeath::Restart))
        .kind(Kind::new("deaf", deaf).concurrency(100).grace(GRACE))
        .kind(Kind::new("many", many).concurrency(20_000))
}

async fn obedient(ctx: Context<Sqlite>, work: Work, gates: Arc<Gates>) -> Result<String, BoxError> {
    for below in &work.below {
        let _ = ctx.start("part", below).await?;
    }
    let gate = gates.of(ctx.id());
    for step in 0..work.steps {
        says(&ctx, &work, step);
        ctx.token().run(gate.acquire()).await??.forget();
    }
    says(&ctx, &work, work.steps);
    match work.fails {
        Some(error) => Err(error.into()),
        None => Ok("done".to_owned()),
    }
}

/// Takes its steps, whoever asks it to stop.
async fn deaf(ctx: Context<Sqlite>, work: Work, gates: Arc<Gates>) -> Result<(), BoxError> {
    let gate = gates.of(ctx.id());
    for step in 0..work.steps {
        says(&ctx, &work, step);
        gate.acquire().await?.forget();
    }
    Ok(ctx.token().check()?)
}

async fn many(ctx: Context<Sqlite>, number: u64, gates: Arc<Gates>) -> Result<(), BoxError> {
    let mut beats = gates.beat.subscribe();
    loop {
        let beat = *beats.borrow_and_update();
        if beat % ROUND == number % ROUND {
            ctx.progress(beat % 1000, 1000, format!("row {beat}"));
        }
        ctx.token().run(beats.changed()).await??;
    }
}

fn says(ctx: &Context<Sqlite>, work: &Work, step: u64) {
    let message = work.message.clone().unwrap_or_else(|| format!("step {step}"));
    ctx.progress(step, work.steps, message);
}

//! What a scenario asks of its service.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use desist::Token;
use desist_ops::{BoxError, CancelRequest, Operation, OperationId, Operations, Sqlite};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::kinds::{Gates, Work};

/// Between two beats.
const BEAT: Duration = Duration::from_millis(100);
/// So many are started in one transaction.
const AT_ONCE: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(crate) enum Order {
    Start(Start),
    /// Starts so many of `many` at once.
    Fill {
        number: u64,
    },
    /// From now on the many go on.
    Beat,
    /// Lets one go on by so many steps.
    Step {
        id: String,
        steps: usize,
    },
    Cancel {
        id: String,
        actor: String,
        message: String,
    },
    /// When it runs.
    Running {
        id: String,
    },
    /// When it has ended.
    Ended {
        id: String,
    },
    /// As it is.
    Shown {
        id: String,
    },
    /// How many there are, by their states.
    Count,
    /// As if it had been old.
    Forget {
        id: String,
    },
    /// Whether the database is of any use.
    Database {
        answers: bool,
    },
    /// Lets nobody in any more who is let in for a while.
    ShutOut,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Start {
    kind: String,
    #[serde(default)]
    work: Work,
    actor: Option<String>,
    key: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    parent: Option<String>,
}

pub(crate) struct Orders {
    pub(crate) operations: Operations<Sqlite>,
    pub(crate) gates: Arc<Gates>,
    pub(crate) is_let_in: Arc<AtomicBool>,
}

impl Orders {
    /// One line for one line.
    pub(crate) async fn line(&self, line: &str) -> Value {
        let obeyed = match serde_json::from_str(line) {
            Ok(order) => tokio::time::timeout(PATIENCE, self.obey(order)).await,
            Err(error) => Ok(Err(error.into())),
        };
        match obeyed {
            Ok(Ok(answer)) => json!({ "answer": answer }),
            Ok(Err(error)) => json!({ "error": format!("{line}: {error}") }),
            Err(_) => json!({ "error": format!("{line}: not within {PATIENCE:?}") }),
        }
    }

    async fn obey(&self, order: Order) -> Result<Value, BoxError> {
        let of = &self.operations;
        Ok(match order {
            Order::Start(start) => self.start(start).await?,
            Order::Fill { number } => self.fill(number).await?,
            Order::Beat => {
                let gates = Arc::clone(&self.gates);
                tokio::spawn(async move {
                    let mut every = tokio::time::interval(BEAT);
                    loop {
                        every.tick().await;
                        gates.beat.send_modify(|beat| *beat += 1);
                    }
                });
                Value::Null
            }
            Order::Step { id, steps } => {
                self.gates.of(id.parse()?).add_permits(steps);
                Value::Null
            }
            Order::Cancel { id, actor, message } => {
                let request = CancelRequest::new().actor(actor).message(message);
                of.cancel(id.parse()?, request).await?.to_string().into()
            }
            Order::Running { id } => shown(&of.until_running(id.parse()?).await?),
            Order::Ended { id } => shown(&of.wait(id.parse()?, PATIENCE).await?),
            Order::Shown { id } => {
                shown(&of.get(id.parse()?).await?.ok_or("there is no such operation")?)
            }
            Order::Count => self.count().await?,
            Order::Forget { id } => {
                let pool = of.store().pool();
                let forgets = pool.write(&Token::never(), move |conn| {
                    conn.execute("DELETE FROM desist_ops WHERE id = ?1", [&id])
                });
                forgets.await?.into()
            }
            Order::Database { answers } => {
                let [from, to] =
                    if answers { ["hidden", "desist_ops"] } else { ["desist_ops", "hidden"] };
                let renames = format!("ALTER TABLE {from} RENAME TO {to}");
                let pool = of.store().pool();
                pool.write(&Token::never(), move |conn| conn.execute_batch(&renames)).await?;
                Value::Null
            }
            Order::ShutOut => {
                // Ordering: nothing else is written.
                self.is_let_in.store(false, Ordering::SeqCst);
                Value::Null
            }
        })
    }

    async fn start(&self, start: Start) -> Result<Value, BoxError> {
        let mut starts = self.operations.start(&start.kind, &start.work);
        for tag in start.tags {
            starts = starts.tag(tag);
        }
        if let Some(actor) = start.actor {
            starts = starts.actor(actor);
        }
        if let Some(key) = start.key {
            starts = starts.key(key);
        }
        if let Some(parent) = start.parent {
            starts = starts.parent(parent.parse()?);
        }
        Ok(starts.await?.id().to_string().into())
    }

    /// Many in one transaction, and not so many that somebody's lease has to wait for it.
    async fn fill(&self, number: u64) -> Result<Value, BoxError> {
        let mut all = Vec::new();
        for first in (0..number).step_by(AT_ONCE) {
            let of = self.operations.clone();
            let fills = self.operations.store().pool().transaction(&Token::never(), move |tx| {
                let mut ids = Vec::new();
                for number in first..number.min(first + AT_ONCE as u64) {
                    let start = of.start("many", &number).actor("ada").key(number.to_string());
                    ids.push(start.start_in(tx)?.id().to_string());
                }
                Ok::<_, BoxError>(ids)
            });
            all.extend(fills.await.map_err(|error| error.into_boxed())?);
        }
        Ok(all.into())
    }

    async fn count(&self) -> Result<Value, BoxError> {
        let counts = self.operations.store().pool().run(&Token::never(), |conn| {
            let mut counts =
                conn.prepare("SELECT state, count(*) FROM desist_ops GROUP BY state")?;
            let rows = counts.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<HashMap<String, i64>, _>>()
        });
        Ok(serde_json::to_value(counts.await?)?)
    }
}

/// What the page is compared with.
fn shown(operation: &Operation) -> Value {
    let id = |id: OperationId| id.to_string();
    json!({
        "id": operation.id.to_string(),
        "kind": operation.kind,
        "state": operation.state.as_str(),
        "parent": operation.parent.map(id),
        "actor": operation.actor,
        "attempt": operation.attempt,
        "error": operation.error,
        "cancel": operation.cancel.as_ref().map(|cancel| json!({
            "mode": cancel.mode().as_str(),
            "reason": cancel.reason().as_str(),
            "message": cancel.told(),
            "actor": cancel.by(),
        })),
    })
}

//! Those that start operations and cancel them, and keep what they were answered.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use desist_ops::{CancelAnswer, CancelAnswers, CancelRequest, OperationId, Operations, Store};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::MS;
use crate::dice::Dice;

/// What was answered.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) started: BTreeSet<String>,
    pub(crate) answers: Vec<(String, String)>,
    /// How often there was no answer.
    pub(crate) unanswered: usize,
    pub(crate) ids: Vec<OperationId>,
    pub(crate) trees: usize,
    pub(crate) tags: usize,
}

/// An answer, as it is written down.
pub(crate) fn answer(answer: &CancelAnswer) -> String {
    match answer {
        CancelAnswer::AlreadyFinished(outcome) => format!("already_finished:{outcome}"),
        other => other.as_str().to_owned(),
    }
}

/// What several have in common.
#[derive(Clone)]
pub(crate) struct Clients {
    said: Arc<Mutex<Said>>,
    over: watch::Receiver<bool>,
}

/// How often each kind is started.
const KINDS: [&str; 16] = [
    "quick", "quick", "quick", "quick", "frail", "frail", "frail", "slow", "slow", "flaky",
    "flaky", "parent", "plain", "stubborn", "long", "long",
];

impl Clients {
    pub(crate) fn new(over: watch::Receiver<bool>) -> Self {
        Self { said: Arc::default(), over }
    }

    pub(crate) fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap()
    }

    /// When all of them have ended.
    pub(crate) fn all_said(self) -> Said {
        std::mem::take(&mut *self.said())
    }

    /// One of those that were started lately, or any.
    pub(crate) fn some_id(&self, dice: &mut Dice) -> Option<OperationId> {
        let said = self.said();
        let lately = said.ids.len().saturating_sub(60);
        let from = if dice.below(4) == 0 { 0 } else { lately };
        dice.pick(&said.ids[from..]).copied()
    }

    fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Starts one after the other.
    pub(crate) async fn starts<S: Store>(
        self,
        operations: Operations<S>,
        mut dice: Dice,
        pause: u64,
    ) {
        while !self.is_over() {
            tokio::time::sleep(MS(dice.below(pause * 2))).await;
            let kind = *dice.pick(&KINDS).unwrap();
            let input = dice.below(1_000_000);
            let mut start = operations.start(kind, &input).tag(format!("t{}", dice.below(400)));
            // Also below some that are about to be cancelled, or were.
            if dice.below(6) == 0 {
                if let Some(parent) = self.some_id(&mut dice) {
                    start = start.parent(parent);
                }
            }
            if dice.below(20) == 0 {
                start = start.delay(MS(dice.below(1500)));
            }
            match timeout(MS(8000), start).await {
                Ok(Ok(started)) => {
                    let mut said = self.said();
                    said.started.insert(started.id().to_string());
                    if started.is_cancelled() {
                        said.answers.push((started.id().to_string(), "born_cancelled".into()));
                    }
                    said.ids.push(started.id());
                }
                Ok(Err(error)) => {
                    assert!(error.is_database(), "{error}");
                    self.said().unanswered += 1;
                }
                Err(_) => self.said().unanswered += 1,
            }
        }
    }

    /// Cancels one, or a tree, or all with a tag.
    pub(crate) async fn cancels<S: Store>(
        self,
        operations: Operations<S>,
        mut dice: Dice,
        pause: u64,
    ) {
        while !self.is_over() {
            tokio::time::sleep(MS(dice.below(pause * 2))).await;
            let Some(id) = self.some_id(&mut dice) else { continue };
            let request = match dice.below(5) {
                0 => CancelRequest::drain(),
                _ => CancelRequest::new(),
            };
            let request = request.actor("chaos");
            let done = match dice.below(10) {
                0 => {
                    self.said().tags += 1;
                    let tag = format!("t{}", dice.below(400));
                    self.several(timeout(MS(8000), operations.cancel_tagged(&tag, request)).await)
                }
                1 | 2 => {
                    self.said().trees += 1;
                    self.several(timeout(MS(8000), operations.cancel_tree(id, request)).await)
                }
                _ => match timeout(MS(8000), operations.cancel(id, request)).await {
                    Ok(Ok(is)) => {
                        self.said().answers.push((id.to_string(), answer(&is)));
                        true
                    }
                    _ => false,
                },
            };
            if !done {
                self.said().unanswered += 1;
            }
        }
    }

    fn several<E>(&self, answered: Result<Result<CancelAnswers, desist_ops::Error>, E>) -> bool {
        let Ok(Ok(answers)) = answered else { return false };
        let mut said = self.said();
        for (id, is) in answers.iter() {
            said.answers.push((id.to_string(), answer(is)));
        }
        true
    }
}

impl Said {
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} started, {} cancels answered ({} by tree, {} by tag), {} requests without an answer",
            self.started.len(),
            self.answers.len(),
            self.trees,
            self.tags,
            self.unanswered,
        )
    }
}

//! What must hold when all is over, whatever was done.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::base::{Base, Rows};
use crate::clients::Said;
use crate::kinds::{COMMITTING, FRAIL};
use crate::log::{self, Line};

/// An operation, as the database has it.
#[derive(Debug)]
struct Op {
    kind: String,
    state: String,
    parent: String,
    is_asked: bool,
    has_begun: bool,
    in_cancelled_tree: bool,
    attempt: i64,
    attempts: i64,
}

/// What has come of it all.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// What must not be.
    pub(crate) wrong: Vec<String>,
    /// How many of what.
    pub(crate) counts: BTreeMap<String, usize>,
}

impl Verdict {
    fn wrong(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// The first of it; a thousand lines help nobody.
    pub(crate) fn said(&self) -> String {
        let first: Vec<_> = self.wrong.iter().take(12).map(String::as_str).collect();
        format!("VIOLATED: {} promises:\n  {}", self.wrong.len(), first.join("\n  "))
    }
}

/// Until nothing waits or runs.
pub(crate) async fn until_over<B: Base>(base: &B, within: Duration) {
    let asks = "SELECT count(*) FROM desist_ops WHERE state IN ('waiting', 'running')";
    let begin = std::time::Instant::now();
    let (mut last, mut since) = (i64::MAX, begin);
    loop {
        let left = base.number(asks).await;
        if left == 0 {
            return;
        }
        if left < last {
            (last, since) = (left, std::time::Instant::now());
        }
        // One that has much left and gets on is only slow.
        if since.elapsed() > within {
            let those = base
                .rows(
                    "SELECT id, kind, state, generation, attempt, run_at, cancel_at, node \
                     FROM desist_ops WHERE state IN ('waiting', 'running') LIMIT 10",
                )
                .await;
            let nodes = base.rows("SELECT node, label, lease_until FROM desist_ops_node").await;
            panic!("VIOLATED: {left} do not end, for {within:?}: {those:?}; nodes: {nodes:?}");
        }
        tokio::time::sleep(crate::MS(100)).await;
    }
}

/// Of each, its events in order, as `(what, detail)`.
fn events_of(rows: Rows) -> BTreeMap<String, Vec<(String, String)>> {
    let mut events = BTreeMap::<_, Vec<_>>::new();
    for row in rows {
        let [id, what, detail] = <[String; 3]>::try_from(row).unwrap();
        events.entry(id).or_default().push((what, detail));
    }
    events
}

pub(crate) async fn judge<B: Base>(base: &B, said: &Said, log: &Path) -> Verdict {
    let mut verdict = Verdict::default();
    let mut ops = BTreeMap::new();
    for row in base
        .rows(
            "SELECT id, kind, state, parent, cancel_at, started_at, tree_cancel, attempt, attempts \
             FROM desist_ops",
        )
        .await
    {
        let op = Op {
            kind: row[1].clone(),
            state: row[2].clone(),
            parent: row[3].clone(),
            is_asked: !row[4].is_empty(),
            has_begun: !row[5].is_empty(),
            in_cancelled_tree: !row[6].is_empty(),
            attempt: row[7].parse().unwrap(),
            attempts: row[8].parse().unwrap(),
        };
        *verdict.counts.entry(op.state.clone()).or_default() += 1;
        ops.insert(row[0].clone(), op);
    }
    for row in base.rows("SELECT what, id FROM wrong").await {
        verdict.wrong(format!("{}: {}", row[1], row[0]));
    }
    let events =
        base.rows("SELECT id, what, detail FROM desist_ops_event ORDER BY id, number").await;
    let events = events_of(events);
    for what in events.values().flatten().map(|(what, _)| what) {
        *verdict.counts.entry(format!("events:{what}")).or_default() += 1;
    }
    let lines = log::read(log);
    for line in &lines {
        *verdict.counts.entry(format!("log:{}", line.what)).or_default() += 1;
    }
    effects(&mut verdict, &ops, base).await;
    answers(&mut verdict, &ops, said, &lines);
    runs(&mut verdict, &ops, &events, &lines);
    verdict
}

/// Each at most once, and exactly once where it succeeded by a commit.
async fn effects<B: Base>(verdict: &mut Verdict, ops: &BTreeMap<String, Op>, base: &B) {
    let mut effects = BTreeMap::new();
    for row in base.rows("SELECT id, count(*) FROM effect GROUP BY id").await {
        effects.insert(row[0].clone(), row[1].parse::<i64>().unwrap());
    }
    for (id, op) in ops {
        let (there, commits) = (effects.remove(id).unwrap_or(0), COMMITTING.contains(&&*op.kind));
        let due = i64::from(commits && op.state == "succeeded");
        if there != due {
            verdict.wrong(format!("{id}: {there} effects, and {due} is right: {op:?}"));
        }
    }
    for id in effects.keys() {
        verdict.wrong(format!("{id}: an effect of what is not there"));
    }
}

/// What was answered holds.
fn answers(verdict: &mut Verdict, ops: &BTreeMap<String, Op>, said: &Said, lines: &[Line]) {
    for id in &said.started {
        if !ops.contains_key(id) {
            verdict.wrong(format!("{id}: it was started, and is lost"));
        }
    }
    let asked_of_others = lines
        .iter()
        .filter_map(|line| line.what.strip_prefix("answered:").map(|answer| (&line.id, answer)));
    let asked = said.answers.iter().map(|(id, answer)| (id, answer.as_str()));
    for (id, answer) in asked.chain(asked_of_others) {
        let name = answer.split(':').next().unwrap_or_default();
        *verdict.counts.entry(format!("answered:{name}")).or_default() += 1;
        let Some(op) = ops.get(id) else {
            if name != "not_found" {
                verdict.wrong(format!("{id}: it was answered {answer}, and is lost"));
            }
            continue;
        };
        let holds = match answer {
            // Of a start whose answer is lost, it may come later.
            "not_found" => !said.started.contains(id),
            "cancelled_before_start" | "born_cancelled" => op.state == "cancelled",
            "requested" | "already_requested" => {
                op.is_asked && (op.state == "cancelled" || op.state == "succeeded")
            }
            finished => finished.strip_prefix("already_finished:") == Some(&*op.state),
        };
        if !holds {
            verdict.wrong(format!("{id}: it was answered {answer}, and is {op:?}"));
        }
        if answer == "born_cancelled" && op.has_begun {
            verdict.wrong(format!("{id}: it was born cancelled, and ran"));
        }
        if name.ends_with("requested") && op.state == "succeeded" {
            *verdict.counts.entry("in spite of a cancel".into()).or_default() += 1;
        }
    }
}

/// Nobody ran what was not to be run, and its history says the same.
fn runs(
    verdict: &mut Verdict,
    ops: &BTreeMap<String, Op>,
    events: &BTreeMap<String, Vec<(String, String)>>,
    lines: &[Line],
) {
    let mut begun = BTreeMap::<&str, BTreeSet<i64>>::new();
    for line in lines.iter().filter(|line| line.what == "begun") {
        if !begun.entry(&line.id).or_default().insert(line.generation) {
            verdict.wrong(format!("{}: run {} was begun twice", line.id, line.generation));
        }
    }
    for (id, op) in ops {
        if !matches!(&*op.state, "succeeded" | "failed" | "cancelled") {
            verdict.wrong(format!("{id}: it has not ended: {op:?}"));
        }
        if op.attempt > op.attempts || op.attempt < 0 {
            verdict.wrong(format!("{id}: it has more attempts than it may have: {op:?}"));
        }
        if let Some(parent) = ops.get(&op.parent) {
            if parent.in_cancelled_tree && !op.in_cancelled_tree {
                verdict.wrong(format!("{id}: it slipped out of the tree of {}", op.parent));
            }
        }
        let none = Vec::new();
        let events = events.get(id).unwrap_or(&none);
        let all = |what: &str| events.iter().filter(|(event, _)| event == what).count();
        let place = |what: &str| events.iter().position(|(event, _)| event == what);
        let (claimed, begun) = (all("claimed"), begun.get(&**id).map_or(0, BTreeSet::len));
        if begun > claimed || (begun > 0 && !op.has_begun) {
            verdict.wrong(format!("{id}: begun {begun} times, claimed {claimed} times: {op:?}"));
        }
        let back = all("given_back");
        if FRAIL.contains(&&*op.kind) && begun > 1 + back {
            verdict.wrong(format!("{id}: begun {begun} times, given back {back} times: {op:?}"));
        }
        let last_claim = events.iter().rposition(|(event, _)| event == "claimed");
        if let (Some(asked), Some(claim)) = (place("cancel_requested"), last_claim) {
            if claim > asked {
                verdict.wrong(format!("{id}: claimed after it was asked to stop: {events:?}"));
            }
        }
        let ends = |(what, detail): &(String, String)| {
            what == "finished" || (what == "taken_over" && !detail.contains("waiting"))
        };
        // What was taken and never begun, for its claim was not answered, is given back to nobody
        // if it was cancelled meanwhile.
        let is_end = |event: &(String, String)| ends(event) || event.0 == "given_back";
        if events.iter().filter(|event| ends(event)).count() > 1
            || !events.last().is_some_and(is_end)
        {
            verdict.wrong(format!("{id}: it has not one end: {events:?}"));
        }
    }
}

//! What this process does at the moment.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use desist_http::InFlight;
use desist_tokio::Spawner;
use serde_json::{Value, json};

use super::row::saturated;
use crate::Operations;
use crate::store::Store;

/// So many requests, and tasks of a group, are named; the others are counted.
const NAMED: usize = 200;

/// Where a host is: see [`Console::host`](super::Console::host).
///
/// ```
/// use desist_ops::console::HostState;
///
/// let state = HostState::new("stopping").waits_for(["http"]).because("shutdown: SIGTERM");
/// # let _ = state;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it is what a console is told"]
pub struct HostState {
    phase: String,
    waits_for: Vec<String>,
    why: Option<String>,
}

impl HostState {
    /// In this phase.
    pub fn new(phase: impl fmt::Display) -> Self {
        Self { phase: phase.to_string(), waits_for: Vec::new(), why: None }
    }

    /// These services are waited for.
    pub fn waits_for<T: fmt::Display>(mut self, services: impl IntoIterator<Item = T>) -> Self {
        self.waits_for.extend(services.into_iter().map(|service| service.to_string()));
        self
    }

    /// It stops, and this is why.
    pub fn because(mut self, why: impl fmt::Display) -> Self {
        self.why = Some(why.to_string());
        self
    }
}

/// A group of tasks, whatever they give.
trait Tasks: Send + Sync {
    fn json(&self, name: &str) -> Value;
}

impl<T: Send + 'static> Tasks for Spawner<T> {
    fn json(&self, name: &str) -> Value {
        let running = self.running();
        let signal = self.signal();
        let state = match (signal.is_cancelled(), signal.draining().is_cancelled()) {
            (true, _) => "cancelled",
            (_, true) => "draining",
            _ => "running",
        };
        let shown = running.iter().take(NAMED).map(|task| {
            let place = task.place();
            json!({
                "name": task.name(),
                "place": format!("{}:{}", place.file(), place.line()),
                "blocking": task.is_blocking(),
            })
        });
        let shown: Vec<_> = shown.collect();
        json!({ "name": name, "tasks": running.len(), "state": state, "shown": shown })
    }
}

/// What a console was told of, beside operations.
pub(super) struct Process {
    began: Instant,
    in_flight: Option<InFlight>,
    groups: Vec<(String, Arc<dyn Tasks>)>,
    host: Option<Arc<dyn Fn() -> HostState + Send + Sync>>,
}

impl Process {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), in_flight: None, groups: Vec::new(), host: None }
    }

    pub(super) fn requests(&mut self, in_flight: &InFlight) {
        self.in_flight = Some(in_flight.clone());
    }

    pub(super) fn tasks<T: Send + 'static>(&mut self, name: String, spawner: Spawner<T>) {
        self.groups.push((name, Arc::new(spawner)));
    }

    pub(super) fn host(&mut self, state: impl Fn() -> HostState + Send + Sync + 'static) {
        self.host = Some(Arc::new(state));
    }

    pub(super) fn json<S: Store>(&self, operations: &Operations<S>) -> Value {
        let shared = operations.shared();
        let here = operations.running_here();
        let kinds = shared.kinds.values().map(|kind| {
            json!({
                "name": kind.name,
                "running": here.get(&kind.name).copied().unwrap_or_default(),
                "concurrency": kind.settings.concurrency,
            })
        });
        let (push, _, took) = operations.push();
        let mut process = json!({
            "label": shared.settings.label,
            "pid": std::process::id(),
            "up_ms": saturated(self.began.elapsed().as_millis()),
            "operations": {
                "running": here.values().sum::<usize>(),
                "kinds": kinds.collect::<Vec<_>>(),
                "push": push.as_str(),
                "push_ms": took.map(|took| took.as_secs_f64() * 1000.0),
            },
            "groups": self.groups.iter().map(|(name, group)| group.json(name)).collect::<Vec<_>>(),
        });
        if let Some(host) = &self.host {
            let HostState { phase, waits_for, why } = host();
            process["host"] = json!({ "phase": phase, "waits_for": waits_for, "why": why });
        }
        if let Some(in_flight) = &self.in_flight {
            process["requests"] = requests(in_flight);
        }
        process
    }
}

fn requests(in_flight: &InFlight) -> Value {
    let running = in_flight.running();
    let rescued = running.iter().filter(|request| request.is_rescued()).count();
    let shown = running.iter().take(NAMED).map(|request| {
        json!({
            "method": request.method().as_str(),
            "route": request.route(),
            "peer": request.peer(),
            "age_ms": saturated(request.age().as_millis()),
            "rescued": request.is_rescued(),
            "asked": request.told().map(|why| why.reason().as_str()),
            "asked_ms": request.told_ago().map(|ago| saturated(ago.as_millis())),
        })
    });
    let shown: Vec<_> = shown.collect();
    json!({ "in_flight": running.len(), "rescued": rescued, "shown": shown })
}

//! A recorder that keeps sums.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

type Counts = Arc<Mutex<BTreeMap<String, f64>>>;

/// Keeps sums by name and labels, and which names were described.
#[derive(Clone, Default)]
pub(crate) struct Sums(Counts, Arc<Mutex<BTreeSet<String>>>);

struct Sum(String, Counts);

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        *self.1.lock().unwrap().entry(self.0.clone()).or_default() += value as f64;
    }

    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Sum {
    fn record(&self, value: f64) {
        assert!((0.0..60.0).contains(&value), "{value} s");
        *self.1.lock().unwrap().entry(self.0.clone()).or_default() += 1.0;
    }
}

impl Sums {
    pub(crate) fn all(&self) -> BTreeMap<String, f64> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn of(&self, name: &str) -> f64 {
        self.0.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    pub(crate) fn described(&self) -> BTreeSet<String> {
        self.1.lock().unwrap().clone()
    }

    fn sum(&self, key: &Key) -> Arc<Sum> {
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Sum(format!("{} {}", key.name(), labels.join(" ")), Arc::clone(&self.0)))
    }
}

impl Recorder for Sums {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, words: SharedString) {
        assert!(!words.is_empty());
        self.1.lock().unwrap().insert(name.as_str().to_owned());
    }

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, words: SharedString) {
        assert_eq!(unit, Some(Unit::Seconds));
        self.describe_counter(name, unit, words);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.sum(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.sum(key))
    }
}

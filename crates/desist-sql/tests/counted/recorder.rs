//! A recorder that keeps sums, by name and database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
    Unit,
};

/// By name: how much it is, and the most that it was.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<BTreeMap<String, (f64, f64)>>>);

/// What is counted of one database.
pub(crate) struct Sums {
    database: &'static str,
    all: Recorded,
}

struct Sum {
    name: String,
    all: Recorded,
}

/// From the first of them on, in this process.
pub(crate) fn sums(database: &'static str) -> Sums {
    static ALL: OnceLock<Recorded> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let all = Recorded::default();
        metrics::set_global_recorder(all.clone()).map_err(|_| "there is one").unwrap();
        all
    });
    Sums { database, all: all.clone() }
}

impl Sums {
    pub(crate) fn of(&self, name: &str) -> f64 {
        self.both(name).0
    }

    pub(crate) fn most_of(&self, name: &str) -> f64 {
        self.both(name).1
    }

    fn both(&self, name: &str) -> (f64, f64) {
        let name = format!("desist_sql_{name} database={}", self.database);
        self.all.0.lock().unwrap().get(&name).copied().unwrap_or_default()
    }
}

impl Sum {
    fn add(&self, value: f64) {
        let mut all = self.all.0.lock().unwrap();
        let (now, most) = all.entry(self.name.clone()).or_default();
        *now += value;
        *most = most.max(*now);
    }
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, _: u64) {
        panic!("it only counts");
    }
}

impl GaugeFn for Sum {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, _: f64) {
        panic!("several pools share it");
    }
}

impl Recorded {
    fn sum(&self, key: &Key) -> Arc<Sum> {
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        Arc::new(Sum { name, all: self.clone() })
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.sum(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.sum(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

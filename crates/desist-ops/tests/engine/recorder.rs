//! A recorder that keeps what it is told, by name and labels.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// All that was told of a meter, in order.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

struct Meter {
    name: String,
    told: Told,
}

/// From the first call on, in this process.
pub(crate) fn told() -> Told {
    static TOLD: OnceLock<Told> = OnceLock::new();
    let told = TOLD.get_or_init(|| {
        let told = Told::default();
        metrics::set_global_recorder(told.clone()).map_err(|_| "there is one").unwrap();
        told
    });
    told.clone()
}

impl Told {
    /// As `name label=value, …`.
    pub(crate) fn of(&self, meter: &str) -> Vec<f64> {
        self.0.lock().unwrap().get(meter).cloned().unwrap_or_default()
    }

    fn meter(&self, key: &Key) -> Arc<Meter> {
        let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value()));
        let labels = labels.collect::<Vec<_>>().join(", ");
        let name = format!("{} {labels}", key.name()).trim_end().to_owned();
        Arc::new(Meter { name, told: self.clone() })
    }
}

impl Meter {
    fn tell(&self, value: f64) {
        self.told.0.lock().unwrap().entry(self.name.clone()).or_default().push(value);
    }
}

impl CounterFn for Meter {
    fn increment(&self, value: u64) {
        self.tell(value as f64);
    }

    fn absolute(&self, _: u64) {
        panic!("it only counts");
    }
}

impl GaugeFn for Meter {
    /// As the pools below count theirs, where they are compiled to.
    fn increment(&self, by: f64) {
        self.tell(by);
    }

    fn decrement(&self, by: f64) {
        self.tell(-by);
    }

    fn set(&self, value: f64) {
        self.tell(value);
    }
}

impl HistogramFn for Meter {
    fn record(&self, value: f64) {
        self.tell(value);
    }
}

impl Recorder for Told {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.meter(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.meter(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.meter(key))
    }
}

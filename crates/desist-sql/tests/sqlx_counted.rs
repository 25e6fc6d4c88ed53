//! What is counted of the sqlx pool.
#![cfg(all(unix, feature = "sqlx", feature = "metrics"))]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use common::sqlx::{pool, server, until};
use desist::{Source, Token};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
    Unit,
};
use sqlx::Executor;

/// A recorder that keeps sums, by name.
#[derive(Clone, Default)]
struct Sums(Arc<Mutex<BTreeMap<String, f64>>>);

struct Sum(String, Sums);

impl Sum {
    fn add(&self, value: f64) {
        *self.1.0.lock().unwrap().entry(self.0.clone()).or_default() += value;
    }
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Sum {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, _: f64) {}
}

impl Sums {
    fn of(&self, name: &str) -> f64 {
        let name = format!("desist_sql_{name} database=sqlx");
        self.0.lock().unwrap().get(&name).copied().unwrap_or_default()
    }

    fn sum(&self, key: &Key) -> Arc<Sum> {
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Sum(format!("{} {}", key.name(), labels.join(" ")), self.clone()))
    }
}

impl Recorder for Sums {
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

#[tokio::test(flavor = "multi_thread")]
async fn those_in_use_and_waiting_and_stopped_and_discarded_are_counted() {
    let Some(server) = server() else { return };
    let sums = Sums::default();
    metrics::set_global_recorder(sums.clone()).map_err(|_| ()).unwrap();
    let pool = pool(server, "counted", 1);
    let token = Token::never();
    let run = pool.run(&token, async |mut conn| {
        assert_eq!((sums.of("in_use"), sums.of("waiting")), (1.0, 0.0));
        let source = Source::new();
        let mut waits = Box::pin(pool.run(&source.token(), async |_| Ok::<_, sqlx::Error>(())));
        std::future::poll_fn(|cx| {
            assert!(waits.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        assert_eq!((sums.of("in_use"), sums.of("waiting")), (1.0, 1.0));
        drop(waits);
        assert_eq!(sums.of("waiting"), 0.0);
        conn.execute("SELECT 1").await
    });
    run.await.unwrap();
    until("it is given back", async || sums.of("in_use") == 0.0).await;
    assert_eq!((sums.of("cancelled_total"), sums.of("discarded_total")), (0.0, 0.0));

    let source = Source::new();
    let stopped = pool.run(&source.token(), async |mut conn| {
        source.cancel();
        conn.execute("SELECT pg_sleep(60)").await
    });
    assert!(stopped.await.unwrap_err().cancelled().is_some());
    assert_eq!((sums.of("cancelled_total"), sums.of("discarded_total")), (1.0, 0.0));

    let smuggled = pool.run(&token, async |conn| Ok::<_, sqlx::Error>(conn)).await.unwrap();
    assert_eq!(sums.of("in_use"), 1.0);
    drop(smuggled);
    assert_eq!((sums.of("in_use"), sums.of("discarded_total")), (0.0, 1.0));

    let (begins, has_begun) = tokio::sync::oneshot::channel();
    let dropped = pool.run(&token, async |mut conn| {
        begins.send(()).unwrap();
        conn.execute("SELECT pg_sleep(60)").await
    });
    tokio::select! {
        _ = dropped => panic!("it takes a minute"),
        begun = has_begun => begun.unwrap(),
    }
    until("it is given back", async || sums.of("in_use") == 0.0).await;
    assert_eq!((sums.of("cancelled_total"), sums.of("discarded_total")), (2.0, 1.0));
}

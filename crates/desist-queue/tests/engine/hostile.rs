//! Foreign code that panics where it should not: no message suffers from that of another.

use std::error::Error;
use std::fmt;
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use desist_queue::testing::MemoryBroker;
use desist_queue::{BoxError, Consumer, Message, Report};
use desist_tokio::Stop;
use tokio::time::sleep;

use crate::{Work, emptied, logged, numbers, secs, stop_source, work};

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic_any(Bomb);
        }
    }
}

#[derive(Debug)]
struct Speechless;

impl fmt::Display for Speechless {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words")
    }
}

impl Error for Speechless {}

#[derive(Debug)]
struct Explosive {
    _fuse: Fuse,
}

#[derive(Debug)]
struct Fuse;

impl Drop for Fuse {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in the drop of an error");
        }
    }
}

impl fmt::Display for Explosive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no ink")
    }
}

impl Error for Explosive {}

#[derive(Debug)]
struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("again")
    }
}

impl Error for Endless {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self)
    }
}

/// The first message is worked on like this, the others take a while.
async fn beside(hostile: Work) -> (Report, Vec<(Message, String)>) {
    let broker = MemoryBroker::new();
    for payload in ["hostile", "two boats", "a sail"] {
        broker.publish("orders.new", payload);
    }
    let consumer = Consumer::new(broker.clone()).max_deliveries(1);
    let source = stop_source();
    let work = move |stop: Stop, message: Message| {
        let hostile = (message.payload() == "hostile").then(|| hostile(stop, message));
        async move {
            sleep(secs(1)).await;
            match hostile {
                Some(hostile) => hostile.await,
                None => {
                    sleep(secs(5)).await;
                    Ok(())
                }
            }
        }
    };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
        emptied(&broker).await;
        source.drain();
    });
    (report.unwrap(), broker.aside())
}

#[tokio::test(start_paused = true)]
async fn an_error_or_a_panic_that_panics_is_a_failure_like_others() {
    let rows: [(&str, Work); 4] = [
        ("panicked: no words", work(|_, _| async { Err(Speechless.into()) })),
        (
            "panicked: in the drop of an error",
            work(|_, _| async { Err(Explosive { _fuse: Fuse }.into()) }),
        ),
        ("panicked: with something that is no text", work(|_, _| async { panic_any(Bomb) })),
        ("again: again: again", work(|_, _| async { Err(Endless.into()) })),
    ];
    for (why, hostile) in rows {
        let (report, aside) = beside(hostile).await;
        assert_eq!(numbers(&report), "delivered 3, done 2, aside 1");
        assert!(aside[0].1.starts_with(why), "{}", aside[0].1);
        assert!(aside[0].1.len() < 100_000);
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_panics_when_it_is_dropped_goes_back() {
    let broker = MemoryBroker::new();
    broker.publish("orders.new", "two boats");
    let consumer = Consumer::new(broker.clone());
    let source = stop_source();
    let work = |_stop: Stop, _message: Message| async {
        let _bomb = Bomb;
        std::future::pending::<()>().await;
    };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
        sleep(secs(1)).await;
        source.cancel();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 1, back 1");
    assert_eq!(broker.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_holds_no_message_up() {
    let broker = MemoryBroker::new();
    for _ in 0..3 {
        broker.publish("orders.new", "two boats");
    }
    let told = Arc::new(AtomicUsize::new(0));
    let tells = Arc::clone(&told);
    let consumer = Consumer::new(broker.clone()).max_deliveries(1).on_news(move |_| {
        tells.fetch_add(1, Ordering::SeqCst);
        panic_any(Bomb)
    });
    let source = stop_source();
    let fails = |_stop: Stop, _message: Message| async { Err::<(), BoxError>("no ink".into()) };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), fails), async {
        emptied(&broker).await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 3, aside 3");
    assert_eq!(told.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn work_may_ask_its_own_consumer_to_stop() {
    let broker = MemoryBroker::new();
    broker.publish("orders.new", "the last one");
    broker.publish("orders.new", "two boats");
    let (consumer, _) = logged(Consumer::new(broker.clone()).concurrency(1));
    let source = stop_source();
    let asks = source.clone();
    let work = move |_stop: Stop, _message: Message| {
        asks.drain();
        async {}
    };
    let report = consumer.run(&source.stop(), work).await;
    assert_eq!(numbers(&report.unwrap()), "delivered 1, done 1");
    assert_eq!(broker.len(), 1);
}

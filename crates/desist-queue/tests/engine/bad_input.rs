//! Values that make no sense, or nearly none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use desist_queue::testing::MemoryBroker;
use desist_queue::{Backoff, Consumer, Message, MessageId, RetryAfter};
use desist_tokio::Stop;
use tokio::time::{Instant, sleep};

use crate::scripted::{Answer, Scripted, Verb, message};
use crate::{assert_about, emptied, millis, numbers, secs, stop_source};

#[tokio::test(start_paused = true)]
async fn no_concurrency_and_no_deliveries_are_one() {
    let broker = MemoryBroker::new();
    for _ in 0..3 {
        broker.publish("orders.new", "");
    }
    let consumer = Consumer::new(broker.clone()).concurrency(0).max_deliveries(0);
    let source = stop_source();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&now), Arc::clone(&most));
    let fails = move |_stop: Stop, message: Message| {
        let (now, most) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
        async move {
            assert!(message.payload().is_empty());
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(secs(1)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Err("no ink")
        }
    };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), fails), async {
        emptied(&broker).await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 3, aside 3");
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn as_much_as_there_is_of_everything_is_for_ever() {
    let broker = MemoryBroker::with_patience(Duration::MAX);
    for _ in 0..5 {
        broker.publish("orders.new", "two boats");
    }
    let consumer = Consumer::new(broker.clone())
        .concurrency(usize::MAX)
        .max_deliveries(u64::MAX)
        .backoff(Backoff::new(Duration::MAX).longest(Duration::MAX))
        .work_timeout(Duration::MAX)
        .drain_for(Duration::MAX)
        .grace(Duration::MAX);
    let source = stop_source();
    let work = |stop: Stop, message: Message| async move {
        match message.id().as_str() {
            "memory:1" => Err("no ink".into()),
            "memory:2" => Err(RetryAfter::new(Duration::MAX, "closed").into()),
            "memory:3" => {
                sleep(secs(86400)).await;
                Ok(())
            }
            "memory:4" => {
                stop.token().await;
                sleep(secs(86400)).await;
                Ok::<_, desist_queue::BoxError>(())
            }
            _ => Ok(()),
        }
    };
    let (report, start) = tokio::join!(consumer.run(&source.stop(), work), async {
        let start = Instant::now();
        sleep(secs(1)).await;
        source.drain();
        sleep(secs(90000)).await;
        source.cancel();
        start
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 5, done 3, failed 2");
    assert_about(start.elapsed(), secs(1 + 90000 + 86400));
    assert_eq!(broker.len(), 2, "for ever");
}

#[tokio::test(start_paused = true)]
async fn no_time_at_all_is_no_time_at_all() {
    let broker = MemoryBroker::with_patience(Duration::ZERO);
    for _ in 0..3 {
        broker.publish("orders.new", "two boats");
    }
    let consumer = Consumer::new(broker.clone())
        .max_deliveries(2)
        .backoff(Backoff::new(Duration::ZERO))
        .work_timeout(Duration::ZERO)
        .drain_for(Duration::ZERO)
        .grace(Duration::ZERO);
    let source = stop_source();
    let work = |_stop: Stop, _message: Message| async { sleep(secs(1)).await };
    let (report, start) = tokio::join!(consumer.run(&source.stop(), work), async {
        sleep(millis(500)).await;
        source.drain();
        Instant::now()
    });
    let report = report.unwrap();
    assert_eq!((report.done(), report.set_aside()), (0, 3), "{report}");
    assert!(start.elapsed() <= secs(1) + millis(5));
}

/// The consumer's own timers need a pause, whatever the broker's patience is.
#[tokio::test(start_paused = true)]
async fn a_broker_without_patience_does_not_make_it_spin() {
    for patience in [Duration::ZERO, Duration::from_nanos(2), millis(1)] {
        for answer in [Answer::Fine, Answer::Hangs] {
            let broker = Scripted::new(patience, move |said| match said.verb {
                Verb::Keep => answer,
                _ => Answer::Fine,
            });
            broker.deliver(message("a", 1));
            let consumer = Consumer::new(broker.clone());
            let source = stop_source();
            let work = |_stop: Stop, _message: Message| async { sleep(secs(1)).await };
            let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
                broker.until_fates(1).await;
                source.drain();
            });
            assert_eq!(numbers(&report.unwrap()), "delivered 1, done 1");
            assert!(broker.nexts() < 3100, "{} turns in a second", broker.nexts());
        }
    }
}

#[test]
fn pauses_are_between_half_and_all_whatever_they_are_of() {
    let far = Duration::MAX;
    for first in [Duration::ZERO, Duration::from_nanos(1), millis(100), far / 2, far] {
        for longest in [Duration::ZERO, millis(50), secs(300), far] {
            let backoff = Backoff::new(first).longest(longest);
            for deliveries in [0, 1, 2, 3, 40, 41, 42, 1 << 32, u64::MAX] {
                let doubled = deliveries.clamp(1, 30) as u32 - 1;
                let whole = first.saturating_mul(1 << doubled).min(longest);
                let pause = backoff.after(deliveries);
                assert!(whole / 2 <= pause && pause <= longest, "{first:?} {longest:?}: {pause:?}");
                if deliveries < 30 {
                    assert!(pause <= whole, "{first:?} {longest:?}: {pause:?}");
                }
            }
        }
    }
    let spread: std::collections::BTreeSet<_> =
        (0..200).map(|_| Backoff::default().after(3)).collect();
    assert!(spread.len() > 50, "only {} different pauses", spread.len());
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_cannot_be_is_no_panic() {
    // Longer than the time of the process can tell.
    for far in [Duration::MAX, secs(i64::MAX as u64), secs(1 << 40)] {
        let broker = Scripted::new(far, |_| Answer::Fine);
        broker.deliver(message("a", 1));
        let consumer = Consumer::new(broker.clone()).work_timeout(far).drain_for(far).grace(far);
        let source = stop_source();
        let work = |_stop: Stop, _message: Message| async { sleep(secs(5)).await };
        let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
            sleep(secs(1)).await;
            source.drain();
            sleep(secs(1)).await;
            source.cancel();
        });
        assert_eq!(numbers(&report.unwrap()), "delivered 1, done 1");
        assert!(broker.times_of(&Verb::Keep).is_empty());
    }
}

#[test]
fn messages_of_any_shape_are_built_and_read() {
    let empty = Message::new("", "", "");
    assert_eq!((empty.id().as_str(), empty.subject(), empty.payload().len()), ("", "", 0));
    assert_eq!(empty.header(""), None);
    assert_eq!(empty.headers().count(), 0);

    let huge = "x".repeat(1 << 20);
    let mut message = Message::new("a", "orders.new", vec![0xff; 1 << 20])
        .with_header("Huge", huge.as_str())
        .with_header("huge", "second")
        .with_header("", "")
        .with_header("Größe", "zwei\r\nBoote");
    for number in 0..1000 {
        message = message.with_header(format!("n{number}"), number.to_string());
    }
    assert_eq!(message.header("HUGE"), Some(huge.as_str()), "the first of them");
    assert_eq!(message.header("n999"), Some("999"));
    assert_eq!(message.header("Größe"), Some("zwei\r\nBoote"));
    assert_eq!(message.headers().count(), 1004);
    assert_eq!(message.headers().nth(1), Some(("huge", "second")));

    // A clone is another message once it is changed.
    let other = message.clone().with_id("order-17").with_deliveries(u64::MAX);
    assert_eq!((other.id().as_str(), other.deliveries()), ("order-17", u64::MAX));
    assert_eq!((message.id().as_str(), message.deliveries()), ("a", 1));
    assert_eq!(other.place(), message.place());
    assert!(format!("{other:?}").len() < 200);
    assert_eq!(MessageId::from(String::from("a")), MessageId::from("a"));
    assert!(MessageId::from("a") < MessageId::from("b"));
}

#[cfg(feature = "json")]
#[test]
fn json_that_is_none_is_set_aside_with_the_place() {
    let of = |payload: &str| Message::new("a", "orders.new", payload.to_owned());
    assert_eq!(of("5").json::<u64>().unwrap(), 5);
    for payload in ["", "two", "-1", "[1", "1 2"] {
        let error = of(payload).json::<u64>().unwrap_err();
        assert_eq!(error.to_string(), "the payload is no u64 in JSON");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("line 1"), "{source}");
    }
    assert!(Message::new("a", "", vec![0xff, 0xfe]).json::<String>().is_err());
    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "it is never read")]
    struct Order {
        pieces: u32,
    }
    let error = of("{}").json::<Order>().unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.starts_with("missing field `pieces`"), "{source}");
}

//! What is acknowledged, and when.

use std::sync::{Arc, Mutex};

use desist_queue::testing::MemoryBroker;
use desist_queue::{Aside, Consumer, Message};
use desist_tokio::Stop;
use tokio::time::{Instant, sleep};

use crate::scripted::{Answer, Scripted, Verb, message};
use crate::{assert_about, logged, millis, numbers, secs, stop_source};

/// It is in the middle of its last step when it is dropped, and takes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_succeeds_although_it_was_dropped_is_done() {
    let broker = MemoryBroker::new();
    broker.publish("orders.new", "two boats");
    let (consumer, news) = logged(Consumer::new(broker.clone()).grace(millis(20)));
    let source = stop_source();
    let began = Arc::new(tokio::sync::Notify::new());
    let begins = Arc::clone(&began);
    let slow = move |_stop: Stop, _message: Message| {
        begins.notify_one();
        async { std::thread::sleep(millis(300)) }
    };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), slow), async {
        began.notified().await;
        source.cancel();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 1, done 1");
    assert_eq!(broker.done().len(), 1);
    assert_eq!(news.count_of("dropped"), 1);
}

/// At every moment there is, every message that is acknowledged has been worked on.
#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_whose_work_has_not_succeeded() {
    let succeeded: Arc<Mutex<Vec<String>>> = Arc::default();
    let at_done = Arc::clone(&succeeded);
    let broker = Scripted::new(millis(700), move |said| {
        if said.verb == Verb::Done {
            assert!(at_done.lock().unwrap().contains(&said.place), "{said:?}");
        }
        Answer::Slow(millis(30))
    });
    let consumer = Consumer::new(broker.clone()).concurrency(7).max_deliveries(2);
    let source = stop_source();
    let work = move |stop: Stop, message: Message| {
        let succeeded = Arc::clone(&succeeded);
        async move {
            let number: u64 = message.place().as_str().parse().unwrap();
            desist_tokio::sleep(millis(number * 37 % 400), &stop).await?;
            match number % 5 {
                0 => Err("no ink".into()),
                1 => panic!("no paper"),
                2 => Err(Aside::new("no boat").into()),
                _ => {
                    succeeded.lock().unwrap().push(message.place().to_string());
                    Ok::<_, desist_queue::BoxError>(())
                }
            }
        }
    };
    for number in 0..100 {
        broker.deliver(message(&number.to_string(), 1 + number % 3));
    }
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
        sleep(millis(200)).await;
        source.cancel();
    });
    let report = report.unwrap();
    assert!(report.is_clean() && report.done() > 0, "{report}");
    let done = broker.fates().iter().filter(|said| said.verb == Verb::Done).count();
    assert_eq!(done as u64, report.done());
    // No fate is said twice.
    let mut places: Vec<_> = broker.fates().into_iter().map(|said| said.place).collect();
    places.sort();
    let before = places.len();
    places.dedup();
    assert_eq!(places.len(), before);
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_panics_at_comes_again() {
    let broker = Scripted::new(secs(30), |said| match said.verb {
        Verb::Done => Answer::Panics,
        _ => Answer::Fine,
    });
    broker.deliver(message("a", 1));
    let (consumer, news) = logged(Consumer::new(broker.clone()));
    let source = stop_source();
    let start = Instant::now();
    let (report, ()) =
        tokio::join!(consumer.run(&source.stop(), |_stop, _message| async {}), async {
            broker.until_fates(1).await;
            sleep(secs(1)).await;
            source.drain();
        });
    let report = report.unwrap();
    assert_eq!(numbers(&report), "delivered 1, unsettled 1");
    assert!(!report.is_clean());
    assert_about(start.elapsed(), secs(1));
    assert_eq!(
        news.said(),
        ["unsettled: message a will come again, for the broker was not told: \
          the broker panicked; see standard error"]
    );
}

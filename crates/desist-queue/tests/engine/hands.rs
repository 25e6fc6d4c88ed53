//! What is in hand, and what is not.

use std::future::pending;
use std::time::Duration;

use desist_queue::{BoxError, Consumer, Message};
use desist_tokio::Stop;
use tokio::time::{Instant, sleep};

use crate::scripted::{Answer, Scripted, Verb, message};
use crate::{Log, assert_about, emptied, logged, millis, numbers, secs, stop_source};

use crate::stops::{Gauge, filled};
/// A place is taken until the broker knows.
#[tokio::test(start_paused = true)]
async fn what_is_about_to_be_acknowledged_is_in_hand() {
    let broker = Scripted::new(secs(30), |said| match said.verb {
        Verb::Done => Answer::Slow(secs(9)),
        _ => Answer::Fine,
    });
    let consumer = Consumer::new(broker.clone()).concurrency(2);
    let source = stop_source();
    let (report, ()) =
        tokio::join!(consumer.run(&source.stop(), |_stop, _message| async {}), async {
            sleep(secs(1)).await;
            assert_eq!(broker.wanted(), 2);
            broker.deliver(message("a", 1));
            broker.deliver(message("b", 1));
            sleep(secs(8)).await;
            assert_eq!(broker.wanted(), 2);
            sleep(secs(2)).await;
            assert_eq!(broker.wanted(), 4);
            source.drain();
        });
    assert_eq!(numbers(&report.unwrap()), "delivered 2, done 2");
}

#[tokio::test(start_paused = true)]
async fn what_comes_unwanted_goes_back_and_is_not_worked_on() {
    let broker = Scripted::willing();
    let consumer = Consumer::new(broker.clone()).concurrency(2);
    let source = stop_source();
    let gauge = Gauge::default();
    let counts = gauge.clone();
    let work = move |_stop: Stop, _message: Message| {
        let running = counts.begin();
        async move {
            let _running = running;
            sleep(secs(5)).await;
        }
    };
    for place in ["a", "b", "c", "d"] {
        broker.deliver(message(place, 1));
    }
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
        sleep(secs(6)).await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 4, done 2, back 2");
    assert_eq!(gauge.most(), 2);
    let back = broker.times_of(&Verb::GiveBack(Duration::ZERO));
    assert!(back.iter().all(|at| *at < millis(5)), "{back:?}");
    assert_eq!(broker.wanted(), 4, "the two that were too many were not wanted twice");
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_at_a_stop_goes_back_and_what_is_in_hand_does_not() {
    let broker = Scripted::willing();
    broker.deliver(message("a", 1));
    // Its second delivery is on its way, while it is worked on.
    broker.leave(message("a", 2));
    broker.leave(message("b", 1));
    let consumer = Consumer::new(broker.clone());
    let source = stop_source();
    let work = |_stop: Stop, _message: Message| async { sleep(secs(5)).await };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
        sleep(secs(1)).await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 3, done 1, back 1, again 1");
    let fates = broker.fates();
    assert_eq!(fates.len(), 2, "{fates:?}");
    assert_eq!((&*fates[0].place, &fates[0].verb), ("b", &Verb::GiveBack(Duration::ZERO)));
    assert_about(fates[0].at, secs(1));
    assert_eq!((&*fates[1].place, fates[1].deliveries, &fates[1].verb), ("a", 2, &Verb::Done));
    assert_about(fates[1].at, secs(5));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_go_back_in_time_is_told_of() {
    for answer in [Answer::Hangs, Answer::Panics, Answer::Passing] {
        let broker = Scripted::new(secs(30), move |said| match said.verb {
            Verb::GiveBack(_) => answer,
            _ => Answer::Fine,
        });
        broker.leave(message("a", 1));
        let (consumer, news) =
            logged(Consumer::new(broker.clone()).drain_for(Duration::ZERO).grace(Duration::ZERO));
        let source = stop_source();
        let (report, ()) =
            tokio::join!(consumer.run(&source.stop(), |_stop, _message| async {}), async {
                sleep(secs(1)).await;
                source.drain();
            });
        assert_eq!(numbers(&report.unwrap()), "delivered 1, unsettled 1", "{answer:?}");
        assert_eq!(news.count_of("unsettled: message a"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_drops_its_work_and_the_messages_come_again() {
    let broker = filled(3);
    let gauge = Gauge::default();
    let counts = gauge.clone();
    let source = stop_source();
    let work = move |_stop: Stop, _message: Message| {
        let running = counts.begin();
        async move {
            let _running = running;
            pending::<()>().await;
        }
    };
    let consumer = Consumer::new(broker.clone()).concurrency(2);
    let run = tokio::time::timeout(secs(50), consumer.run(&source.stop(), work)).await;
    assert!(run.is_err());
    tokio::task::yield_now().await;
    assert_eq!((gauge.now(), gauge.begun()), (0, 2));
    assert_eq!((broker.len(), broker.done().len()), (3, 0));

    let start = Instant::now();
    let next = Consumer::new(broker.clone());
    let log = Log::new();
    let says = log.clone();
    let work = move |_stop: Stop, message: Message| {
        says.say(format!("{} {}", message.id(), message.deliveries()));
        async { Ok::<_, BoxError>(()) }
    };
    let (report, ()) = tokio::join!(next.run(&source.stop(), work), async {
        emptied(&broker).await;
        source.drain();
    });
    assert_eq!(report.unwrap().done(), 3);
    let mut said = log.said();
    said.sort();
    assert_eq!(said, ["memory:1 2", "memory:2 2", "memory:3 1"]);
    // Kept alive at 50 s less a bit, and 30 s are its patience.
    assert!(start.elapsed() <= secs(30), "{:?}", start.elapsed());
}

//! What happens while the broker is told what becomes of a message.

use std::time::Duration;

use desist_queue::testing::MemoryBroker;
use desist_queue::{Aside, BoxError, Consumer, Message, RetryAfter};
use desist_tokio::Stop;
use tokio::time::{Instant, sleep};

use crate::scripted::{Answer, Scripted, Verb, message};
use crate::{emptied, logged, millis, numbers, secs, stop_source};

/// Given back for at once, it comes again before the answer does.
#[tokio::test(start_paused = true)]
async fn what_comes_again_before_it_is_known_to_be_given_back_is_worked_on() {
    let broker = MemoryBroker::with_patience(secs(3600));
    for _ in 0..200 {
        broker.publish("orders.new", "two boats");
    }
    let source = stop_source();
    let begun = Instant::now();
    let again = |_stop: Stop, message: Message| async move {
        match message.deliveries() {
            1 => Err(RetryAfter::new(Duration::ZERO, "at once")),
            _ => Ok(()),
        }
    };
    let consumer = Consumer::new(broker.clone()).concurrency(8);
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), again), async {
        emptied(&broker).await;
        source.drain();
    });
    assert_eq!(report.unwrap().done(), 200);
    assert!(begun.elapsed() < secs(60), "some waited for the broker's patience");
}

#[tokio::test(start_paused = true)]
async fn one_that_came_again_while_it_was_given_back_is_taken_anew() {
    // It takes a second to be given back, and comes again meanwhile.
    let broker = Scripted::new(secs(3600), |said| match said.verb {
        Verb::GiveBack(_) => Answer::Slow(secs(1)),
        _ => Answer::Fine,
    });
    let source = stop_source();
    let first_fails = |_stop: Stop, message: Message| async move {
        if message.deliveries() == 1 { Err("no ink") } else { Ok(()) }
    };
    let consumer = Consumer::new(broker.clone());
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), first_fails), async {
        broker.deliver(message("a", 1));
        sleep(millis(500)).await;
        broker.deliver(message("a", 2));
        broker.until_fates(2).await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 2, done 1, failed 1, again 1");
}

/// Nobody can put it anywhere: others must not wait for that, and it is told.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_set_aside_gives_its_place_to_others() {
    let broker = Scripted::new(secs(3600), |said| match said.verb {
        Verb::Aside(_) => Answer::Passing,
        _ => Answer::Fine,
    });
    let (consumer, news) = logged(Consumer::new(broker.clone()).concurrency(1));
    let source = stop_source();
    let work = |_stop: Stop, message: Message| async move {
        match message.id().as_str() {
            "poison" => Err(BoxError::from(Aside::new("no ink"))),
            _ => Ok(()),
        }
    };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
        broker.deliver(message("poison", 1));
        // Ten times it is tried to set it aside, and then it is given back.
        broker.until_fates(11).await;
        sleep(secs(1)).await;
        broker.deliver(message("good", 1));
        broker.until_done("good").await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 2, done 1, unsettled 1");
    assert!(news.count_of("unheard") >= 2);
    assert_eq!((news.count_of("aside"), news.count_of("unsettled")), (0, 1), "it is not aside");
    // It is not in a hurry any more.
    let back = broker.said().into_iter().find_map(|said| match said.verb {
        Verb::GiveBack(after) => Some(after),
        _ => None,
    });
    assert!(back.is_some_and(|after| after >= secs(100)), "{back:?}");
}

/// Work that heeds the drain was asked to stop, be it at the last of its deliveries.
#[tokio::test(start_paused = true)]
async fn what_ends_for_the_drain_goes_back_without_a_pause() {
    for (deliveries, ends) in [(1, "cancelled"), (3, "cancelled"), (1, "otherwise")] {
        let broker = Scripted::willing();
        let source = stop_source();
        let heeds = move |stop: Stop, _message: Message| async move {
            let cancelled = stop.draining().cancelled().await;
            match ends {
                "cancelled" => Err(BoxError::from(cancelled)),
                _ => Err("no ink".into()),
            }
        };
        let consumer = Consumer::new(broker.clone()).max_deliveries(3);
        let (report, ()) = tokio::join!(consumer.run(&source.stop(), heeds), async {
            broker.deliver(message("a", deliveries));
            sleep(secs(1)).await;
            source.drain();
        });
        let (report, fates) = (numbers(&report.unwrap()), broker.fates());
        let is_back = matches!(fates[0].verb, Verb::GiveBack(Duration::ZERO));
        assert_eq!(is_back, ends == "cancelled", "{fates:?}");
        let what = if is_back { "back 1" } else { "failed 1" };
        assert_eq!(report, format!("delivered 1, {what}"));
    }
}

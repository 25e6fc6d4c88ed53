//! Long work, messages that come again, and brokers that are away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use desist_queue::testing::MemoryBroker;
use desist_queue::{Consumer, Error, Message};
use desist_tokio::Stop;
use tokio::time::sleep;

use crate::scripted::{Answer, Scripted, Verb, message};
use crate::{assert_about, emptied, logged, millis, numbers, secs, stop_source};

/// Work that takes so long, and how often it was begun.
fn takes(time: Duration) -> (Arc<AtomicUsize>, impl Fn(Stop, Message) -> crate::Later<()>) {
    let begun = Arc::new(AtomicUsize::new(0));
    let begins = Arc::clone(&begun);
    (begun, move |_stop, _message| {
        begins.fetch_add(1, Ordering::SeqCst);
        Box::pin(sleep(time))
    })
}

fn begun(count: &AtomicUsize) -> usize {
    count.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn long_work_is_kept_from_coming_again() {
    let broker = MemoryBroker::with_patience(secs(30));
    broker.publish("orders.new", "two boats");
    let (count, long) = takes(secs(3600));
    let long = Arc::new(long);
    let both = |consumer: Consumer<MemoryBroker>, stop: Stop| {
        let long = Arc::clone(&long);
        async move { consumer.run(&stop, move |stop, message| long(stop, message)).await }
    };
    let source = stop_source();
    let (one, other, ()) = tokio::join!(
        both(Consumer::new(broker.clone()), source.stop()),
        both(Consumer::new(broker.clone()), source.stop()),
        async {
            emptied(&broker).await;
            source.drain();
        }
    );
    assert_eq!(one.unwrap().done() + other.unwrap().done(), 1);
    assert_eq!(begun(&count), 1);
    assert_eq!(broker.done()[0].deliveries(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_broker_is_told_at_each_third_of_its_patience_and_nothing_turns_between() {
    let broker = Scripted::new(secs(30), |_| Answer::Fine);
    broker.deliver(message("a", 1));
    let (_, long) = takes(secs(3595));
    let consumer = Consumer::new(broker.clone());
    let source = stop_source();
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), long), async {
        broker.until_fates(1).await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 1, done 1");
    let kept = broker.times_of(&Verb::Keep);
    assert_eq!(kept.len(), 359);
    for (times, at) in kept.into_iter().enumerate() {
        // Every timer may be late, and each begins with the one before.
        assert!(at.abs_diff(secs(10 * (times as u64 + 1))) < secs(1), "{at:?}");
    }
    // A turn to begin it, one to hear of it, and a few for the message.
    assert!(broker.nexts() < 2 * 359 + 10, "{} turns", broker.nexts());
}

#[tokio::test(start_paused = true)]
async fn who_does_nothing_turns_not_once() {
    let broker = Scripted::willing();
    let consumer = Consumer::new(broker.clone()).drain_for(Duration::MAX).grace(Duration::MAX);
    let source = stop_source();
    let (_, ()) = tokio::join!(consumer.run(&source.stop(), |_stop, _message| async {}), async {
        sleep(secs(86400)).await;
        assert_eq!(broker.nexts(), 1);
        source.drain();
    });
}

/// Whatever one word takes or becomes, the next is in time.
#[tokio::test(start_paused = true)]
async fn a_word_that_is_not_heard_is_said_again_a_third_later() {
    for answer in [Answer::Passing, Answer::Lasting, Answer::Hangs, Answer::Panics] {
        let broker = Scripted::new(secs(30), move |said| match said.verb {
            Verb::Keep => answer,
            _ => Answer::Fine,
        });
        broker.deliver(message("a", 1));
        let (_, long) = takes(secs(55));
        let (consumer, news) = logged(Consumer::new(broker.clone()));
        let source = stop_source();
        let (report, ()) = tokio::join!(consumer.run(&source.stop(), long), async {
            broker.until_fates(1).await;
            source.drain();
        });
        assert_eq!(numbers(&report.unwrap()), "delivered 1, done 1");
        let kept = broker.times_of(&Verb::Keep);
        assert_eq!(kept.len(), 5, "{answer:?}: {kept:?}");
        for (at, second) in kept.into_iter().zip([10, 20, 30, 40, 50]) {
            assert!(at.abs_diff(secs(second)) < millis(50), "{answer:?}: {at:?}");
        }
        assert!(news.said().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_again_in_hand_is_not_worked_on_twice() {
    let broker = Scripted::willing();
    let (count, long) = takes(secs(9));
    let consumer = Consumer::new(broker.clone()).concurrency(1);
    let source = stop_source();
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), long), async {
        for deliveries in 1..=3 {
            // The first was wanted; the others come all the same.
            broker.deliver(message("a", deliveries));
            sleep(secs(2)).await;
        }
        broker.until_fates(1).await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 3, done 1, again 2");
    assert_eq!(begun(&count), 1);
    let fates = broker.fates();
    assert_eq!((fates.len(), fates[0].deliveries, &fates[0].verb), (1, 3, &Verb::Done));
    assert_about(fates[0].at, secs(9));
}

#[tokio::test(start_paused = true)]
async fn the_newest_delivery_is_the_one_that_is_acknowledged() {
    // The broker has forgotten the first.
    let broker = Scripted::new(secs(30), |said| match said.verb {
        Verb::Done if said.deliveries == 1 => Answer::Passing,
        _ => Answer::Fine,
    });
    let (count, quick) = takes(secs(1));
    let consumer = Consumer::new(broker.clone());
    let source = stop_source();
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), quick), async {
        broker.deliver(message("a", 1));
        sleep(secs(20)).await;
        assert!(broker.fates().len() > 4, "it is said again and again");
        broker.deliver(message("a", 2));
        sleep(secs(6)).await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 2, done 1, again 1");
    assert_eq!(begun(&count), 1);
    let last = broker.fates().pop().unwrap();
    assert_eq!((last.verb, last.deliveries), (Verb::Done, 2));
}

/// How often a message has been delivered counts, not which delivery was worked on.
#[tokio::test(start_paused = true)]
async fn what_fails_in_hand_is_judged_by_its_newest_delivery() {
    let broker = Scripted::willing();
    let consumer = Consumer::new(broker.clone()).max_deliveries(3);
    let source = stop_source();
    let fails = |_stop: Stop, _message: Message| async {
        sleep(secs(5)).await;
        Err("no ink")
    };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), fails), async {
        broker.deliver(message("a", 1));
        sleep(secs(1)).await;
        broker.deliver(message("a", 3));
        broker.until_fates(1).await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 2, aside 1, again 1");
    assert_eq!(broker.fates()[0].deliveries, 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_finished_while_the_broker_is_away_is_told_when_it_is_back() {
    let broker = MemoryBroker::with_patience(secs(30));
    for _ in 0..3 {
        broker.publish("orders.new", "two boats");
    }
    let (count, work) = takes(secs(10));
    let (consumer, news) = logged(Consumer::new(broker.clone()).concurrency(2));
    let source = stop_source();
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
        sleep(secs(5)).await;
        broker.set_down(true);
        // Much longer than its patience: it delivers them again when it is back.
        sleep(secs(600)).await;
        assert_eq!((begun(&count), broker.len()), (2, 3));
        broker.set_down(false);
        emptied(&broker).await;
        source.drain();
    });
    let report = report.unwrap();
    assert_eq!((report.done(), report.failed(), report.unsettled()), (3, 0, 0), "{report}");
    assert_eq!(begun(&count), 3, "each once");
    let trouble = news.times_of("trouble");
    assert!((60..=140).contains(&trouble.len()), "{} tries in ten minutes", trouble.len());
    assert!(trouble.windows(2).all(|two| two[1] - two[0] <= secs(10) + millis(5)));
    assert_eq!(news.times_of("recovered").len(), 1);
    // Of each of the two that cannot be told, now and then.
    let unheard = news.times_of("unheard");
    assert!((8..=20).contains(&unheard.len()), "{} times in ten minutes", unheard.len());
    assert_eq!(news.said().len(), trouble.len() + unheard.len() + 1);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_not_given_back_is_kept_alive_until_the_broker_knows() {
    for gives_back in [true, false] {
        let broker = Scripted::new(secs(30), |said| match said.verb {
            Verb::Keep => Answer::Fine,
            _ if said.place.is_empty() => Answer::Fine,
            _ if said.at > secs(300) => Answer::Fine,
            _ => Answer::Passing,
        });
        broker.deliver(message("a", 1));
        let consumer = Consumer::new(broker.clone());
        let source = stop_source();
        let work = move |_stop: Stop, _message: Message| async move {
            sleep(secs(15)).await;
            if gives_back { Err("no ink") } else { Ok(()) }
        };
        let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
            sleep(secs(310)).await;
            source.drain();
        });
        let (name, kept) = if gives_back { ("failed", 1) } else { ("done", 30) };
        assert_eq!(numbers(&report.unwrap()), format!("delivered 1, {name} 1"));
        assert_eq!(broker.times_of(&Verb::Keep).len(), kept);
        // Said again after at most five seconds.
        let said: Vec<_> = broker.fates().into_iter().map(|said| said.at).collect();
        assert!(said.windows(2).all(|two| two[1] - two[0] <= secs(5) + millis(5)), "{said:?}");
        assert!(said.len() < 140, "{} times", said.len());
    }
}

/// A word that is still on its way would hold up what was given back.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_not_kept_by_a_word_from_before() {
    let heard = Arc::new(AtomicUsize::new(0));
    struct Hears(Arc<AtomicUsize>);
    impl Drop for Hears {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    // The word takes five seconds; it is dropped in the middle, or this would be later.
    let broker = Scripted::new(secs(30), |said| match said.verb {
        Verb::Keep => Answer::Slow(secs(5)),
        _ => Answer::Fine,
    });
    broker.deliver(message("a", 1));
    let consumer = Consumer::new(broker.clone());
    let source = stop_source();
    let hears = Arc::clone(&heard);
    let fails = move |_stop: Stop, _message: Message| {
        let hears = Hears(Arc::clone(&hears));
        async move {
            let _hears = hears;
            sleep(secs(12)).await;
            Err("no ink")
        }
    };
    let (report, start) = tokio::join!(consumer.run(&source.stop(), fails), async {
        broker.until_fates(1).await;
        source.drain();
        tokio::time::Instant::now()
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 1, failed 1");
    assert_eq!(heard.load(Ordering::SeqCst), 1);
    assert_eq!(broker.times_of(&Verb::Keep).len(), 1);
    assert!(start.elapsed() < secs(1), "the word was waited for: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_nothing_now_and_then_is_asked_again() {
    let broker = Scripted::willing();
    let (count, quick) = takes(secs(1));
    let (consumer, news) = logged(Consumer::new(broker.clone()));
    let source = stop_source();
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), quick), async {
        for place in ["a", "b", "c"] {
            broker.fail(Error::passing("the broker is away; wait"));
            broker.fail(Error::passing("the broker is away; wait"));
            broker.deliver(message(place, 1));
            sleep(secs(10)).await;
        }
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 3, done 3");
    assert_eq!(begun(&count), 3);
    assert_eq!((news.count_of("trouble"), news.count_of("recovered")), (6, 3));
    let line = &news.said()[0];
    assert!(
        line.starts_with("trouble: trouble with the broker, which is asked again in "),
        "{line}"
    );
    assert!(line.ends_with(": the broker is away; wait"), "{line}");
}

/// How long it takes, by the clock on the wall, with so many at once and each with a time of
/// its own.
async fn with_at_once(count: u64) -> Duration {
    let broker = MemoryBroker::new();
    for _ in 0..count {
        broker.publish("orders.new", "two boats");
    }
    let consumer = Consumer::new(broker.clone()).concurrency(count as usize);
    let source = stop_source();
    let work = |_stop: Stop, message: Message| async move {
        let number: u64 = message.id().as_str().trim_start_matches("memory:").parse().unwrap();
        sleep(secs(1) + millis(number % 8000)).await;
    };
    let start = std::time::Instant::now();
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
        emptied(&broker).await;
        source.drain();
    });
    assert_eq!(report.unwrap().done(), count);
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn one_of_many_costs_no_more_than_one_of_few() {
    // Ten, or a hundred where each turn looks at each; the machine may have other work.
    let mut times = Vec::new();
    for _ in 0..5 {
        let (few, many) = (with_at_once(800).await, with_at_once(8000).await);
        if many < few * 30 {
            return;
        }
        times.push((few, many));
    }
    panic!("{times:?}");
}

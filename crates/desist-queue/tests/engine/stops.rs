//! How a consumer stops.

use std::error::Error as _;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use desist::Reason;
use desist_queue::testing::MemoryBroker;
use desist_queue::{Consumer, Error, Message};
use desist_tokio::Stop;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::scripted::{Answer, Said, Scripted, Verb, message};
use crate::{Log, assert_about, emptied, logged, millis, numbers, secs, stop_source};

/// Counts how many run at once, and what they took.
#[derive(Clone, Default)]
pub(crate) struct Gauge(Arc<Mutex<(usize, usize, usize)>>);

impl Gauge {
    pub(crate) fn begin(&self) -> Running {
        let mut counts = self.0.lock().unwrap();
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        counts.2 += 1;
        Running(self.clone())
    }

    pub(crate) fn now(&self) -> usize {
        self.0.lock().unwrap().0
    }

    pub(crate) fn most(&self) -> usize {
        self.0.lock().unwrap().1
    }

    pub(crate) fn begun(&self) -> usize {
        self.0.lock().unwrap().2
    }
}

pub(crate) struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().0 -= 1;
    }
}

pub(crate) fn filled(count: usize) -> MemoryBroker {
    let broker = MemoryBroker::new();
    for number in 1..=count {
        broker.publish("orders.new", number.to_string());
    }
    broker
}

#[tokio::test(start_paused = true)]
async fn a_drain_takes_no_new_message_and_lets_those_in_hand_finish() {
    let broker = filled(5);
    let consumer = Consumer::new(broker.clone()).concurrency(2);
    let source = stop_source();
    let log = Log::new();
    let says = log.clone();
    let slow = move |stop: Stop, message: Message| {
        let says = says.clone();
        async move {
            sleep(secs(3)).await;
            assert!(stop.draining().is_cancelled() && !stop.is_cancelled());
            says.say(message.id().as_str());
        }
    };
    let start = Instant::now();
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), slow), async {
        sleep(secs(1)).await;
        source.drain();
        // They have a place each, and more messages wait.
        broker.publish("orders.new", "6");
    });
    assert_about(start.elapsed(), secs(3));
    let report = report.unwrap();
    assert_eq!(numbers(&report), "delivered 2, done 2");
    assert!(report.into_result().is_ok());
    assert_eq!(log.said(), ["memory:1", "memory:2"]);
    assert_eq!(broker.len(), 4);

    // Nobody has touched the others.
    let (source, seen) = (stop_source(), Arc::new(AtomicUsize::new(0)));
    let sees = Arc::clone(&seen);
    let looks = move |_stop: Stop, message: Message| {
        assert_eq!(message.deliveries(), 1);
        sees.fetch_add(1, Ordering::SeqCst);
        async {}
    };
    let (_, ()) = tokio::join!(consumer.run(&source.stop(), looks), async {
        emptied(&broker).await;
        source.drain();
    });
    assert_eq!(seen.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_finished_within_the_drain_is_asked_and_goes_back_at_once() {
    let broker = filled(1);
    let (consumer, news) = logged(Consumer::new(broker.clone()).drain_for(secs(4)));
    let source = stop_source();
    let log = Log::new();
    let says = log.clone();
    let slow = move |stop: Stop, _message: Message| {
        let says = says.clone();
        async move {
            let cancelled = stop.token().await;
            says.say(format!("asked: {}", cancelled.reason()));
            // The whole story, also why the drain began.
            assert_eq!(cancelled.source().unwrap().to_string(), "it went to host 9");
            sleep(secs(1)).await;
            says.say("stopped");
            stop.check()
        }
    };
    let start = Instant::now();
    let (other, says) = (Consumer::new(broker.clone()), log.clone());
    let others = stop_source();
    let (report, _, ()) = tokio::join!(
        consumer.run(&source.stop(), slow),
        async {
            // Somebody else waits for work.
            sleep(secs(2)).await;
            let work = move |_stop: Stop, message: Message| {
                assert_eq!(message.deliveries(), 2);
                says.say("taken by another");
                async {}
            };
            other.run(&others.stop(), work).await
        },
        async {
            sleep(secs(1)).await;
            source.drain_with(Reason::LeaseLost.with("it went to host 9"));
            emptied(&broker).await;
            others.drain();
        }
    );
    assert_eq!(numbers(&report.unwrap()), "delivered 1, back 1");
    assert_eq!(log.said(), ["asked: lease lost", "stopped", "taken by another"]);
    assert_about(log.times_of("asked")[0], secs(5));
    assert_about(log.times_of("taken")[0], secs(6));
    assert_about(start.elapsed(), secs(6));
    assert!(news.said().is_empty());
}

/// A thread is held until it is let go, however the test ends.
struct Holds(Arc<AtomicBool>);

impl Drop for Holds {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn deaf_work_is_dropped_and_blocking_work_is_named() {
    let broker = MemoryBroker::with_patience(secs(600));
    for payload in ["deaf", "blocks"] {
        broker.publish("orders.new", payload);
    }
    let consumer = Consumer::new(broker.clone()).drain_for(millis(50)).grace(millis(100));
    let (consumer, news) = logged(consumer);
    let source = stop_source();
    let holds = Holds(Arc::new(AtomicBool::new(true)));
    let (held, ended) = (Arc::clone(&holds.0), Arc::new(Notify::new()));
    let (has_ended, dropped) = (Arc::clone(&ended), Gauge::default());
    let (gauge, begun) = (dropped.clone(), Arc::new(Notify::new()));
    let begins = Arc::clone(&begun);
    let work = move |_stop: Stop, message: Message| {
        let (held, has_ended, gauge) = (Arc::clone(&held), Arc::clone(&has_ended), gauge.clone());
        let begins = Arc::clone(&begins);
        async move {
            let _running = gauge.begin();
            if gauge.begun() == 2 {
                begins.notify_one();
            }
            if message.payload() == "deaf" {
                pending::<()>().await;
            }
            while held.load(Ordering::SeqCst) {
                std::thread::sleep(millis(1));
            }
            has_ended.notify_one();
        }
    };
    let (report, start) = tokio::join!(consumer.run(&source.stop(), work), async {
        begun.notified().await;
        source.drain();
        Instant::now()
    });
    let took = start.elapsed();
    assert!(took >= millis(1150), "{took:?}");
    assert!(took < secs(6), "{took:?}");
    let report = report.unwrap();
    assert_eq!(numbers(&report), "delivered 2, back 1, left 1");
    assert_eq!(report.left()[0].id().as_str(), "memory:2");
    assert!(report.left()[0].asked() >= millis(1100));
    let line = report.to_string();
    assert!(
        line.starts_with("0 messages done, 1 given back; message memory:2 still runs, 1."),
        "{line}"
    );
    assert!(report.into_result().is_err());
    assert_eq!(news.count_of("dropped"), 2);
    assert_eq!(dropped.now(), 1, "the deaf one is gone");

    // The deaf one is there for others, the other one is not, while it may run.
    let next = Consumer::new(broker.clone());
    let (source, seen) = (stop_source(), Arc::new(Mutex::new(Vec::new())));
    let sees = Arc::clone(&seen);
    let looks = move |_stop: Stop, message: Message| {
        sees.lock().unwrap().push(message.id().to_string());
        async {}
    };
    let (_, ()) = tokio::join!(next.run(&source.stop(), looks), async {
        sleep(millis(100)).await;
        source.drain();
    });
    assert_eq!(*seen.lock().unwrap(), ["memory:1"]);

    // And when it ends, nobody hears of it.
    drop(holds);
    ended.notified().await;
    sleep(millis(20)).await;
    assert_eq!((broker.len(), broker.done().len()), (1, 1));
}

type Script = fn(&Said) -> Answer;

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_holds_no_stop_up() {
    fn when(is: bool, answer: Answer) -> Answer {
        if is { answer } else { Answer::Fine }
    }
    let scripts: [(&str, Script); 14] = [
        ("all is fine", |_| Answer::Fine),
        ("all fails", |said| when(said.verb != Verb::Subscribe, Answer::Passing)),
        ("all fails for good", |said| when(said.verb != Verb::Subscribe, Answer::Lasting)),
        ("all hangs", |said| when(said.verb != Verb::Subscribe, Answer::Hangs)),
        ("all panics", |said| when(said.verb != Verb::Subscribe, Answer::Panics)),
        ("all is slow", |said| when(said.verb != Verb::Subscribe, Answer::Slow(secs(60)))),
        ("done hangs", |said| when(said.verb == Verb::Done, Answer::Hangs)),
        ("done fails", |said| when(said.verb == Verb::Done, Answer::Passing)),
        ("keep hangs", |said| when(said.verb == Verb::Keep, Answer::Hangs)),
        ("keep panics", |said| when(said.verb == Verb::Keep, Answer::Panics)),
        ("close hangs", |said| when(said.verb == Verb::Close, Answer::Hangs)),
        ("giving back hangs", |said| when(matches!(said.verb, Verb::GiveBack(_)), Answer::Hangs)),
        ("giving back fails", |said| when(matches!(said.verb, Verb::GiveBack(_)), Answer::Passing)),
        ("giving back panics", |said| when(matches!(said.verb, Verb::GiveBack(_)), Answer::Panics)),
    ];
    for (name, script) in scripts {
        for (drain_for, grace) in [(3, 2), (3, 0), (0, 2), (0, 0)] {
            let name = format!("{name}, {drain_for} s and {grace} s");
            let broker = Scripted::new(secs(6), script);
            for place in ["done", "heeds", "deaf"] {
                broker.deliver(message(place, 1));
            }
            for place in ["left", "left, too"] {
                broker.leave(message(place, 1));
            }
            let consumer =
                Consumer::new(broker.clone()).drain_for(secs(drain_for)).grace(secs(grace));
            let source = stop_source();
            let work = |stop: Stop, message: Message| async move {
                match message.place().as_str() {
                    "done" => sleep(secs(1)).await,
                    "deaf" => pending().await,
                    _ => stop.token().await.reason().eq(&Reason::Shutdown).then_some(()).unwrap(),
                }
                stop.check()
            };
            let (report, start) = tokio::join!(consumer.run(&source.stop(), work), async {
                sleep(secs(5)).await;
                source.drain();
                Instant::now()
            });
            let took = start.elapsed();
            assert!(took <= secs(drain_for + grace + 1) + millis(5), "{name}: {took:?}");
            let report = report.unwrap();
            // Each delivery has its line in the report.
            let told = report.done() + report.given_back() + report.unsettled();
            assert_eq!(report.delivered(), told, "{name}: {}", numbers(&report));
            assert!(report.left().is_empty(), "{name}: {}", numbers(&report));
            if name.starts_with("all is fine") {
                assert_eq!(numbers(&report), "delivered 5, done 1, back 4", "{name}");
                assert_about(took, secs(drain_for + grace));
            } else if !name.starts_with("keep") && !name.starts_with("close") {
                assert!(!report.is_clean(), "{name}: {}", numbers(&report));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_goes_down_holds_no_stop_up() {
    let broker = filled(3);
    let consumer = Consumer::new(broker.clone()).drain_for(secs(2)).grace(secs(3));
    let source = stop_source();
    let work = |_stop: Stop, message: Message| async move {
        sleep(secs(message.payload().len() as u64)).await;
    };
    let (report, start) = tokio::join!(consumer.run(&source.stop(), work), async {
        sleep(millis(500)).await;
        broker.set_down(true);
        sleep(secs(10)).await;
        source.drain();
        Instant::now()
    });
    assert_about(start.elapsed(), secs(6));
    assert_eq!(numbers(&report.unwrap()), "delivered 3, unsettled 3");
    assert_eq!(broker.len(), 3, "they come again");
}

#[tokio::test(start_paused = true)]
async fn a_stop_skips_the_drain() {
    let broker = filled(3);
    let consumer = Consumer::new(broker.clone()).drain_for(secs(1000)).grace(secs(3));
    let source = stop_source();
    let log = Log::new();
    let says = log.clone();
    let work = move |stop: Stop, message: Message| {
        let says = says.clone();
        async move {
            let asked = stop.token().await;
            says.say(format!("{} {}", message.id(), asked.reason()));
            if message.payload() == "2" {
                pending::<()>().await;
            }
            stop.check()
        }
    };
    let (report, start) = tokio::join!(consumer.run(&source.stop(), work), async {
        sleep(secs(5)).await;
        source.drain();
        sleep(secs(5)).await;
        source.cancel_with(Reason::Overload);
        Instant::now()
    });
    assert_about(start.elapsed(), secs(3));
    assert_eq!(numbers(&report.unwrap()), "delivered 3, back 3");
    let mut said = log.said();
    said.sort();
    assert_eq!(said, ["memory:1 overload", "memory:2 overload", "memory:3 overload"]);
    assert!(log.times_of("memory").into_iter().all(|at| crate::about(at, secs(10))));
    assert_eq!(broker.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn asked_before_it_starts_it_asks_the_broker_for_nothing() {
    for stops in [false, true] {
        let broker = Scripted::willing();
        broker.deliver(message("a", 1));
        let source = stop_source();
        if stops {
            source.cancel();
        } else {
            source.drain();
        }
        let consumer = Consumer::new(broker.clone());
        let report = consumer.run(&source.stop(), |_stop, _message| async {}).await.unwrap();
        assert_eq!(numbers(&report), "");
        assert!(broker.said().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn it_stops_also_while_it_subscribes() {
    for (answer, tries) in [(Answer::Passing, 9), (Answer::Hangs, 1)] {
        let broker = Scripted::new(secs(30), move |_| answer);
        let (consumer, news) = logged(Consumer::new(broker.clone()));
        let source = stop_source();
        let (report, start) =
            tokio::join!(consumer.run(&source.stop(), |_stop, _message| async {}), async {
                // In the middle of a pause.
                sleep(secs(30)).await;
                source.drain();
                Instant::now()
            });
        assert_eq!(numbers(&report.unwrap()), "");
        assert_about(start.elapsed(), Duration::ZERO);
        let said = broker.said().len();
        assert!(said.abs_diff(tries) <= 2, "{said} tries");
        let trouble = news.count_of("trouble");
        assert_eq!(trouble, if tries == 1 { 0 } else { said });
    }
}

#[tokio::test(start_paused = true)]
async fn it_stops_also_in_a_pause_of_trouble() {
    let broker = Scripted::willing();
    broker.deliver(message("a", 1));
    let consumer = Consumer::new(broker.clone());
    let source = stop_source();
    let work = |_stop: Stop, _message: Message| async { sleep(secs(70)).await };
    for _ in 0..10 {
        broker.fail(Error::passing("the broker is away"));
    }
    let (report, start) = tokio::join!(consumer.run(&source.stop(), work), async {
        // Pauses of 0.2 s to 10 s, and each at most halved: it is in one.
        sleep(secs(19)).await;
        source.drain();
        let start = Instant::now();
        broker.deliver(message("b", 1));
        start
    });
    // Ten seconds, if nothing is said, and the work heeds nothing for five.
    assert_about(start.elapsed(), secs(15));
    assert_eq!(numbers(&report.unwrap()), "delivered 1, back 1");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_gone_lets_those_in_hand_finish_and_is_an_error() {
    let broker = Scripted::willing();
    for (place, seconds) in [("a", 1), ("b", 3), ("c", 60)] {
        broker.deliver(message(place, seconds));
    }
    let consumer = Consumer::new(broker.clone()).max_deliveries(100).drain_for(secs(5));
    let source = stop_source();
    let log = Log::new();
    let says = log.clone();
    let work = move |stop: Stop, message: Message| {
        let says = says.clone();
        async move {
            let ends = desist_tokio::sleep(secs(message.deliveries()), &stop).await;
            if let Err(cancelled) = &ends {
                says.say(cancelled.detail().unwrap().to_string());
            }
            ends
        }
    };
    let (result, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
        sleep(secs(2)).await;
        broker.fail(Error::lasting("the stream is gone; make it").because("404"));
        broker.deliver(message("d", 1));
    });
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "the stream is gone; make it");
    assert!(!error.is_passing());
    assert_eq!(numbers(error.report().unwrap()), "delivered 3, done 2, back 1");
    assert_eq!(log.said(), ["what the messages came from is gone"]);
    assert_about(log.times_of("what")[0], secs(7));
    assert!(!source.stop().draining().is_cancelled(), "only it is told");
}

#[tokio::test(start_paused = true)]
async fn what_was_never_there_is_an_error_at_the_start() {
    let broker = Scripted::new(secs(30), |_| Answer::Lasting);
    let error = Consumer::new(broker)
        .run(&stop_source().stop(), |_stop, _message| async {})
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the broker has forgotten it");
    assert!(error.report().is_none());
}

#[tokio::test(start_paused = true)]
async fn as_many_are_in_hand_as_may_be_and_no_more() {
    for most in [1, 2, 7, 40] {
        let broker = filled(100);
        let consumer = Consumer::new(broker.clone()).concurrency(most);
        let source = stop_source();
        let gauge = Gauge::default();
        let counts = gauge.clone();
        let work = move |_stop: Stop, message: Message| {
            let running = counts.begin();
            async move {
                let _running = running;
                let number = message.payload().iter().map(|digit| u64::from(*digit)).sum::<u64>();
                sleep(millis(100 + number * 7 % 90)).await;
            }
        };
        let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
            while gauge.begun() < 100 {
                sleep(millis(3)).await;
                // All that this moment brings is over.
                for _ in 0..200 {
                    tokio::task::yield_now().await;
                }
                // No place is empty while messages wait.
                let waits = 100 - gauge.begun();
                assert!(gauge.now() == most || waits == 0, "{} of {most}", gauge.now());
            }
            emptied(&broker).await;
            source.drain();
        });
        assert_eq!(numbers(&report.unwrap()), "delivered 100, done 100");
        assert_eq!(gauge.most(), most);
    }
}

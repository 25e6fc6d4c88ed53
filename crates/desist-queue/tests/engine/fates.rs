//! What becomes of a message, for every way in which its work can end.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use desist::Reason;
use desist_queue::testing::MemoryBroker;
use desist_queue::{Aside, Backoff, Consumer, Message, RetryAfter};
use desist_tokio::Stop;
use tokio::time::{Instant, sleep};

use crate::scripted::{Answer, Scripted, Verb, message};
use crate::{Work, about, emptied, logged, millis, numbers, secs, stop_source, work};

const MOST: u64 = 3;
const PAUSES: Backoff = Backoff::new(Duration::from_secs(8)).longest(Duration::from_secs(100));
const GRACE: Duration = Duration::from_secs(5);
/// When the consumer is asked for anything.
const ASKED: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    ToDrain,
    ToStop,
    /// By the time that each work may take.
    InTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// For after a pause that depends on the deliveries.
    Fails,
    /// With this reason.
    Aside(&'static str),
    After(Duration),
    BackAtOnce,
}

/// How work ends, what it was asked for, and what becomes of its message before the last of
/// its deliveries and from then on; when, and whether it was dropped.
struct Row(&'static str, Asked, Work, [Fate; 2], Duration, bool);

#[derive(Debug)]
struct Outer(Box<dyn std::error::Error + Send + Sync>);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the printer does not print")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// Behind three errors.
fn deep(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Outer {
    Outer(Box::new(Outer(Box::new(Outer(error.into())))))
}

fn rows() -> Vec<Row> {
    use Asked::{InTime, Nothing, ToDrain, ToStop};
    use Fate::{After, Aside as SetAside, BackAtOnce, Done, Fails};

    let succeeds = || {
        work(|_, _| async {
            sleep(secs(1)).await;
            Ok(())
        })
    };
    let fails = || work(|_, _| async { Err("no ink".into()) });
    let waits = || {
        work(|_, _| async {
            sleep(secs(60)).await;
            Ok(())
        })
    };
    // What it does when it is asked.
    let heeds = || {
        work(|stop, _| async move {
            stop.token().await;
            stop.check()?;
            Ok(())
        })
    };
    let finishes = || {
        work(|stop, _| async move {
            stop.token().await;
            Ok(())
        })
    };
    let fails_then = || {
        work(|stop, _| async move {
            stop.token().await;
            Err("no ink".into())
        })
    };
    let deaf = || work(|_, _| pending());
    let now = Duration::ZERO;
    let deep_words = "the printer does not print: the printer does not print: \
                      the printer does not print: no ink";
    let dropped = "did not stop in its time, and was dropped";
    vec![
        Row("succeeds", Nothing, succeeds(), [Done, Done], secs(1), false),
        Row("succeeds in a drain", ToDrain, waits(), [Done, Done], secs(60), false),
        Row("succeeds when asked", ToStop, finishes(), [Done, Done], ASKED, false),
        Row("succeeds at its limit", InTime, finishes(), [Done, Done], ASKED, false),
        Row("fails", Nothing, fails(), [Fails, SetAside("no ink")], now, false),
        Row(
            "fails deep",
            Nothing,
            work(|_, _| async { Err(deep("no ink").into()) }),
            [Fails, SetAside(deep_words)],
            now,
            false,
        ),
        Row(
            "fails in a drain",
            ToDrain,
            work(|_, _| async {
                sleep(secs(3)).await;
                Err("no ink".into())
            }),
            [Fails, SetAside("no ink")],
            secs(3),
            false,
        ),
        Row("fails when asked", ToStop, fails_then(), [BackAtOnce; 2], ASKED, false),
        Row("fails at its limit", InTime, fails_then(), [Fails, SetAside("no ink")], ASKED, false),
        Row(
            "panics with a literal",
            Nothing,
            work(|_, _| async { panic!("no paper") }),
            [Fails, SetAside("panicked: no paper")],
            now,
            false,
        ),
        Row(
            "panics with a text",
            Nothing,
            work(|_, message| async move { panic!("no {}", message.subject()) }),
            [Fails, SetAside("panicked: no orders.new")],
            now,
            false,
        ),
        Row(
            "panics with another thing",
            Nothing,
            work(|_, _| async { panic_any(17_u8) }),
            [Fails, SetAside("panicked: with something that is no text")],
            now,
            false,
        ),
        Row(
            "panics before it is a future",
            Nothing,
            Arc::new(|_, _| panic!("no drum")),
            [Fails, SetAside("panicked: no drum")],
            now,
            false,
        ),
        Row(
            "panics when asked",
            ToStop,
            work(|stop, _| async move {
                stop.token().await;
                panic!("no paper")
            }),
            [BackAtOnce; 2],
            ASKED,
            false,
        ),
        Row(
            "is set aside",
            Nothing,
            work(|_, _| async { Err(Aside::new("no boat").into()) }),
            [SetAside("no boat"); 2],
            now,
            false,
        ),
        Row(
            "is set aside from deep",
            Nothing,
            work(|_, _| async {
                Err(Outer(Aside::with_source("no boat", "no wood").into()).into())
            }),
            [SetAside("the printer does not print: no boat: no wood"); 2],
            now,
            false,
        ),
        Row(
            "is set aside through the standard library",
            Nothing,
            work(|_, _| async {
                Err(Outer(io::Error::other(Aside::new("no boat")).into()).into())
            }),
            [SetAside("the printer does not print: no boat"); 2],
            now,
            false,
        ),
        Row(
            "is set aside when asked",
            ToStop,
            work(|stop, _| async move {
                stop.token().await;
                Err(deep(Outer(Aside::new("no boat").into())).into())
            }),
            [SetAside(
                "the printer does not print: the printer does not print: \
                 the printer does not print: the printer does not print: no boat",
            ); 2],
            ASKED,
            false,
        ),
        Row(
            "wants to be tried later",
            Nothing,
            work(|_, _| async { Err(RetryAfter::new(secs(42), "closed").into()) }),
            [After(secs(42)); 2],
            now,
            false,
        ),
        Row(
            "wants to be tried at once, deep",
            Nothing,
            work(|_, _| async { Err(deep(RetryAfter::new(Duration::ZERO, "closed")).into()) }),
            [After(Duration::ZERO); 2],
            now,
            false,
        ),
        Row(
            "wants to be tried later when asked",
            ToStop,
            work(|stop, _| async move {
                stop.token().await;
                Err(deep(RetryAfter::new(secs(42), "closed")).into())
            }),
            [After(secs(42)); 2],
            ASKED,
            false,
        ),
        Row(
            "is cancelled by another",
            Nothing,
            work(|_, _| async {
                desist::Token::cancelled_with(Reason::Superseded).check()?;
                Ok(())
            }),
            [Fails, SetAside("cancelled: superseded")],
            now,
            false,
        ),
        Row("stops when asked", ToStop, heeds(), [BackAtOnce; 2], ASKED, false),
        Row(
            "stops at its limit",
            InTime,
            heeds(),
            [Fails, SetAside("cancelled: deadline")],
            ASKED,
            false,
        ),
        Row("is deaf when asked", ToStop, deaf(), [BackAtOnce; 2], ASKED + GRACE, true),
        Row("is deaf", InTime, deaf(), [Fails, SetAside(dropped)], ASKED + GRACE, true),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_end_of_work_has_its_fate() {
    for row in rows() {
        for deliveries in [1, MOST - 1, MOST, MOST + 1, 2 * MOST] {
            check(&row, deliveries).await;
        }
        untried(&row).await;
    }
}

async fn check(row: &Row, deliveries: u64) {
    let Row(name, asked, work, fates, when, is_dropped) = row;
    let name = format!("{name}, delivery {deliveries}");
    let fate = fates[usize::from(deliveries >= MOST)];
    let has_succeeded = Arc::new(Mutex::new(false));
    let (succeeded, at_done) = (Arc::clone(&has_succeeded), Arc::clone(&has_succeeded));
    let broker = Scripted::new(secs(3600), move |said| {
        // The moment in which it is acknowledged.
        assert!(said.verb != Verb::Done || *at_done.lock().unwrap(), "acknowledged, and not done");
        Answer::Fine
    });
    broker.deliver(message("a", deliveries));
    let mut consumer = Consumer::new(broker.clone())
        .max_deliveries(MOST)
        .backoff(PAUSES)
        .drain_for(secs(100))
        .grace(GRACE);
    if *asked == Asked::InTime {
        consumer = consumer.work_timeout(ASKED);
    }
    let (consumer, news) = logged(consumer);
    let source = stop_source();
    let work = Arc::clone(work);
    let noting = move |stop: Stop, message: Message| {
        let (ends, succeeded) = (work(stop, message), Arc::clone(&succeeded));
        async move {
            let ended = ends.await;
            *succeeded.lock().unwrap() = ended.is_ok();
            ended
        }
    };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), noting), async {
        match asked {
            Asked::Nothing | Asked::InTime => {}
            Asked::ToDrain => {
                sleep(ASKED).await;
                source.drain();
            }
            Asked::ToStop => {
                sleep(ASKED).await;
                source.cancel();
            }
        }
        broker.until_fates(1).await;
        source.drain();
    });
    let (report, said) = (report.unwrap(), broker.fates());
    assert_eq!(said.len(), 1, "{name}: {said:?}");
    assert_eq!(said[0].deliveries, deliveries, "{name}");
    assert!(about(said[0].at, *when), "{name}: {said:?}");
    let (numbers_of, mut expected) = match fate {
        Fate::Done => {
            assert_eq!(said[0].verb, Verb::Done, "{name}");
            ("done 1", vec![])
        }
        Fate::Aside(why) => {
            assert_eq!(said[0].verb, Verb::Aside(why.to_owned()), "{name}");
            ("aside 1", vec!["aside"])
        }
        Fate::Fails => {
            let Verb::GiveBack(after) = said[0].verb else { panic!("{name}: {said:?}") };
            let whole = secs(8 << (deliveries - 1)).min(secs(100));
            assert!(whole / 2 <= after && after <= whole, "{name}: {after:?}");
            ("failed 1", vec!["failed"])
        }
        Fate::After(time) => {
            assert_eq!(said[0].verb, Verb::GiveBack(time), "{name}");
            ("failed 1", vec!["failed"])
        }
        Fate::BackAtOnce => {
            assert_eq!(said[0].verb, Verb::GiveBack(Duration::ZERO), "{name}");
            ("back 1", vec![])
        }
    };
    assert_eq!(numbers(&report), format!("delivered 1, {numbers_of}"), "{name}");
    assert!(report.is_clean(), "{name}");
    if *is_dropped {
        expected.insert(0, "dropped");
    }
    let told = news.said();
    let told: Vec<&str> = told.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(told, expected, "{name}");
    assert_eq!(*has_succeeded.lock().unwrap(), fate == Fate::Done, "{name}");
}

/// Delivered too often, it is not worked on, whatever its work would do.
async fn untried(row: &Row) {
    let broker = Scripted::willing();
    broker.deliver(message("a", 2 * MOST + 1));
    let (consumer, news) = logged(Consumer::new(broker.clone()).max_deliveries(MOST));
    let source = stop_source();
    let tried = Arc::new(AtomicUsize::new(0));
    let (count, work) = (Arc::clone(&tried), Arc::clone(&row.2));
    let counts = move |stop: Stop, message: Message| {
        count.fetch_add(1, Ordering::SeqCst);
        work(stop, message)
    };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), counts), async {
        broker.until_fates(1).await;
        source.drain();
    });
    assert_eq!(tried.load(Ordering::SeqCst), 0, "{}", row.0);
    assert_eq!(numbers(&report.unwrap()), "delivered 1, aside 1");
    let why = "delivered 7 times, and never with success";
    assert_eq!(broker.fates()[0].verb, Verb::Aside(why.to_owned()));
    assert_eq!(news.said(), [format!("aside: message a is set aside: {why}")]);
}

#[tokio::test(start_paused = true)]
async fn failures_come_again_after_pauses_that_double_until_they_are_set_aside() {
    let broker = MemoryBroker::new();
    for _ in 0..20 {
        broker.publish("orders.new", "two boats");
    }
    let consumer = Consumer::new(broker.clone())
        .concurrency(20)
        .max_deliveries(5)
        .backoff(Backoff::new(secs(1)).longest(secs(5)));
    let source = stop_source();
    let tries: Arc<Mutex<HashMap<String, Vec<Instant>>>> = Arc::default();
    let noted = Arc::clone(&tries);
    let fails = move |_stop: Stop, message: Message| {
        let mut noted = noted.lock().unwrap();
        let of = noted.entry(message.id().to_string()).or_default();
        of.push(Instant::now());
        assert_eq!(message.deliveries(), of.len() as u64);
        async move { Err(format!("no ink, {} times", message.deliveries())) }
    };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), fails), async {
        emptied(&broker).await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 100, failed 80, aside 20");
    assert!(broker.aside().iter().all(|(_, why)| why == "no ink, 5 times"));
    let tries = tries.lock().unwrap();
    let mut jitter = Vec::new();
    for of in tries.values() {
        assert_eq!(of.len(), 5);
        for (pause, whole) in of.windows(2).zip([1000, 2000, 4000, 5000]) {
            let pause = pause[1] - pause[0];
            assert!(pause >= millis(whole / 2) && pause <= millis(whole + 5), "{pause:?}");
            jitter.push(pause.as_millis() as u64 * 1000 / whole);
        }
    }
    jitter.sort_unstable();
    jitter.dedup();
    assert!(jitter.len() > 20, "what failed together comes back together: {jitter:?}");
}

/// Nobody lives to tell: the run is dropped whenever it works on it.
#[tokio::test(start_paused = true)]
async fn what_kills_whoever_works_on_it_is_set_aside_untried() {
    let broker = MemoryBroker::with_patience(secs(30));
    broker.publish("orders.new", "a bomb");
    let killed = Arc::new(AtomicUsize::new(0));
    for _ in 0..2 * MOST {
        let consumer = Consumer::new(broker.clone()).max_deliveries(MOST);
        let (source, count) = (stop_source(), Arc::clone(&killed));
        let dies = Arc::new(tokio::sync::Notify::new());
        let death = Arc::clone(&dies);
        let kills = move |_stop: Stop, _message: Message| {
            count.fetch_add(1, Ordering::SeqCst);
            death.notify_one();
            pending::<()>()
        };
        tokio::select! {
            _ = consumer.run(&source.stop(), kills) => unreachable!("it was not asked to stop"),
            () = dies.notified() => {}
        }
        assert_eq!(broker.len(), 1);
    }
    assert_eq!(killed.load(Ordering::SeqCst), 6);
    let (consumer, source) = (Consumer::new(broker.clone()).max_deliveries(MOST), stop_source());
    let count = Arc::clone(&killed);
    let counts = move |_stop: Stop, _message: Message| {
        count.fetch_add(1, Ordering::SeqCst);
        async {}
    };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), counts), async {
        emptied(&broker).await;
        source.drain();
    });
    assert_eq!(killed.load(Ordering::SeqCst), 6);
    assert_eq!(numbers(&report.unwrap()), "delivered 1, aside 1");
    assert!(broker.aside()[0].1.starts_with("delivered 7 times"), "{:?}", broker.aside());
}

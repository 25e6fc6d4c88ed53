//! What is known to be finished.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use desist_queue::testing::MemoryBroker;
use desist_queue::{BoxError, Consumer, Ledger, Message, MessageId, Recent};
use desist_tokio::Stop;

use crate::scripted::{Scripted, Verb, message};
use crate::{emptied, numbers, stop_source};

/// Does what it is told to, and counts.
#[derive(Clone, Default)]
struct Scribe {
    known: Arc<Mutex<Vec<String>>>,
    /// So many questions, and notes, fail.
    no_answers: Arc<AtomicUsize>,
    no_notes: Arc<AtomicUsize>,
}

fn take(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Ledger for Scribe {
    async fn is_done(&self, id: &MessageId) -> Result<bool, BoxError> {
        if take(&self.no_answers) {
            return Err("the ledger is shut".into());
        }
        Ok(self.known.lock().unwrap().contains(&id.to_string()))
    }

    async fn note(&self, id: &MessageId) -> Result<(), BoxError> {
        if take(&self.no_notes) {
            panic!("the pen is broken");
        }
        self.known.lock().unwrap().push(id.to_string());
        Ok(())
    }
}

fn counting() -> (Arc<AtomicUsize>, impl Fn(Stop, Message) -> std::future::Ready<()>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&count);
    (count, move |_stop, _message| {
        counts.fetch_add(1, Ordering::SeqCst);
        std::future::ready(())
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_known_to_be_finished_is_acknowledged_without_work() {
    let broker = Scripted::willing();
    let scribe = Scribe::default();
    let (count, counts) = counting();
    // The same order, published twice.
    broker.deliver(message("a", 1).with_id("order-17"));
    let consumer = Consumer::new(broker.clone()).concurrency(1).ledger(scribe.clone());
    let source = stop_source();
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), counts), async {
        broker.until_fates(1).await;
        broker.deliver(message("b", 1).with_id("order-17"));
        broker.until_fates(2).await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 2, done 1, known 1");
    assert!(broker.fates().iter().all(|said| said.verb == Verb::Done));
    assert_eq!(*scribe.known.lock().unwrap(), ["order-17"]);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_fails_or_panics_is_a_failure_of_the_work() {
    let broker = MemoryBroker::new();
    broker.publish("orders.new", "two boats");
    let scribe = Scribe::default();
    scribe.no_answers.store(2, Ordering::SeqCst);
    scribe.no_notes.store(1, Ordering::SeqCst);
    let (count, counts) = counting();
    let (consumer, news) = crate::logged(Consumer::new(broker.clone()).ledger(scribe.clone()));
    let source = stop_source();
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), counts), async {
        emptied(&broker).await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 4, done 1, failed 3");
    // Once for the note that could not be made.
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let said = news.said();
    assert!(said[1].ends_with("the ledger is shut"), "{said:?}");
    assert!(said[2].ends_with("panicked: the pen is broken"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_not_noted() {
    let broker = MemoryBroker::new();
    broker.publish("orders.new", "two boats");
    let scribe = Scribe::default();
    let consumer = Consumer::new(broker.clone()).max_deliveries(2).ledger(scribe.clone());
    let source = stop_source();
    let fails = |_stop: Stop, _message: Message| async { Err("no ink") };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), fails), async {
        emptied(&broker).await;
        source.drain();
    });
    assert_eq!(numbers(&report.unwrap()), "delivered 2, failed 1, aside 1");
    assert!(scribe.known.lock().unwrap().is_empty());
}

#[tokio::test]
async fn recent_knows_the_last_so_many_and_no_more() {
    for most in [0, 1, 7] {
        let recent = Recent::new(most);
        for number in 0..100 {
            let id = MessageId::from(format!("order-{number}"));
            recent.note(&id).await.unwrap();
            // Noted twice it takes the place of one.
            recent.note(&id).await.unwrap();
            let mut known = 0;
            for other in 0..=number {
                let id = MessageId::from(format!("order-{other}"));
                let is_known = recent.is_done(&id).await.unwrap();
                assert_eq!(is_known, other + most > number, "{other} of {number}, {most} at most");
                known += usize::from(is_known);
            }
            assert_eq!(known, most.min(number + 1));
        }
    }
}

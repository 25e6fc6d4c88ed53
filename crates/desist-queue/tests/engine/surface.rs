//! What is public, as others see it.

use std::error::Error as StdError;
use std::fmt::Debug;
use std::time::Duration;

use desist_queue::testing::{InHand, MemoryBroker, Pulls};
use desist_queue::{
    Aside, Backoff, BoxError, Broker, Consumer, Delivery, Error, Left, Message, MessageId, News,
    Recent, Report, RetryAfter, Subscription,
};
use desist_tokio::Stop;

use crate::scripted::{Answer, Scripted, message};
use crate::{millis, secs, stop_source};

fn send<T: Send>(_: &T) {}

/// It compiles, or a promise is broken.
#[test]
fn whatever_a_service_keeps_may_go_to_any_thread() {
    fn free<T: Send + Sync + Unpin + 'static>() {}
    macro_rules! each {
        ($($type:ty),* $(,)?) => { $( free::<$type>(); )* };
    }
    each!(
        Aside,
        Backoff,
        BoxError,
        Consumer<MemoryBroker>,
        Error,
        InHand,
        Left,
        MemoryBroker,
        Message,
        MessageId,
        News,
        Pulls,
        Recent,
        Report,
        RetryAfter,
    );
    fn clone<T: Clone>() {}
    clone::<Message>();
    clone::<Report>();
    clone::<MemoryBroker>();

    let (consumer, source) = (Consumer::new(MemoryBroker::new()), stop());
    // The work is only Send, and what it returns, too; the stop need not outlive the call.
    let run = {
        let stop = source.clone();
        consumer.run(&stop, |_stop, _message| async {
            let cell = std::cell::Cell::new(0);
            tokio::task::yield_now().await;
            cell.set(1);
        })
    };
    send(&run);
}

fn stop() -> Stop {
    Stop::never()
}

/// All that work may return.
#[test]
fn work_returns_nothing_or_any_error() {
    let consumer = Consumer::new(MemoryBroker::new());
    let stop = stop();
    send(&consumer.run(&stop, |_, _| async {}));
    send(&consumer.run(&stop, |_, _| async { Ok::<_, std::io::Error>(()) }));
    send(&consumer.run(&stop, |_, _| async { Err::<(), _>("no ink") }));
    send(&consumer.run(&stop, |_, _| async { Err::<(), _>(String::from("no ink")) }));
    send(&consumer.run(&stop, |_, _| async { Ok::<_, BoxError>(()) }));
    send(&consumer.run(&stop, |_, _| async { Err::<(), _>(Aside::new("no boat")) }));
    send(&consumer.run(&stop, |stop, _| async move { stop.check() }));
    async fn bill(_stop: Stop, _message: Message) -> Result<(), desist::Cancelled> {
        Ok(())
    }
    send(&consumer.run(&stop, bill));
}

#[track_caller]
fn is_a_line(said: &str) {
    assert!(!said.is_empty() && said.len() < 400 && !said.contains('\n'), "{said}");
}

#[tokio::test(start_paused = true)]
async fn everything_is_said_in_one_line() {
    fn debug(value: &impl Debug) -> String {
        format!("{value:?}")
    }
    let id = MessageId::from("two\nlines");
    let message = Message::new(id.clone(), "orders\nnew", "a\nb").with_header("a", "b\nc");
    let memory = MemoryBroker::new();
    memory.publish("orders.new", "two\nboats");
    let mut pulls = memory.subscribe().await.unwrap();
    pulls.want(1);
    let in_hand = pulls.next().await.unwrap();
    assert_eq!(in_hand.message().id().as_str(), "memory:1");
    let error = Error::passing("the broker is away").because("no\nroute");
    for said in [
        debug(&id),
        debug(&message),
        debug(&Consumer::new(memory.clone()).ledger(Recent::new(7)).on_news(|_| {})),
        debug(&memory),
        debug(&pulls),
        debug(&in_hand),
        debug(&error),
        debug(&Backoff::default()),
        debug(&Recent::new(7)),
        debug(&Report::default()),
        debug(&Aside::with_source("no boat", "no\nwood")),
        debug(&RetryAfter::new(secs(1), "closed")),
        error.to_string(),
        Report::default().to_string(),
    ] {
        is_a_line(&said);
    }
    // A message may be anything, and is not written to a log.
    assert!(!debug(&message).contains("a\\nb"));
}

#[test]
fn errors_say_one_level_each() {
    let io = std::io::Error::other("refused");
    let error = Error::lasting("there is no stream `orders`; create it").because(io);
    assert_eq!(error.to_string(), "there is no stream `orders`; create it");
    assert_eq!(StdError::source(&error).unwrap().to_string(), "refused");
    assert!(error.report().is_none() && !error.is_passing());
    let aside = Aside::with_source("no boat", "no wood");
    assert_eq!(aside.to_string(), "no boat");
    assert_eq!(aside.source().unwrap().to_string(), "no wood");
    assert!(Aside::new("no boat").source().is_none());
    let retry = RetryAfter::new(secs(30), "closed");
    assert!(retry.source().is_none());
    assert_eq!((retry.to_string(), retry.after()), ("closed".into(), secs(30)));
    assert!(StdError::source(&Report::default()).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_report_is_a_line_of_all_that_was() {
    let broker = Scripted::new(secs(30), |said| match &*said.place {
        "forgotten" => Answer::Lasting,
        _ => Answer::Fine,
    });
    let known = Recent::new(10);
    desist_queue::Ledger::note(&known, &"known".into()).await.unwrap();
    let consumer = Consumer::new(broker.clone()).ledger(known);
    for place in ["done", "fails", "aside", "known", "forgotten", "waits", "waits"] {
        broker.deliver(message(place, 1));
    }
    let source = stop_source();
    let work = |stop: Stop, message: Message| async move {
        match message.place().as_str() {
            "fails" => Err("no ink".into()),
            "aside" => Err(Aside::new("no boat").into()),
            "waits" => Ok(desist_tokio::sleep(Duration::MAX, &stop).await?),
            _ => Ok::<_, BoxError>(()),
        }
    };
    let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
        tokio::time::sleep(millis(10)).await;
        source.cancel();
    });
    let report = report.unwrap();
    assert_eq!(
        report.to_string(),
        "1 message done, 1 known to be done already, 1 failed and to come again, 1 set aside, \
         1 given back, 1 delivered while in hand, 1 of which the broker was not told"
    );
    assert_eq!(report.delivered(), 7);
    assert!(!report.is_clean());
    assert_eq!(report.clone().into_result().unwrap_err().to_string(), report.to_string());
}

#[cfg(feature = "tracing")]
#[test]
fn what_goes_wrong_is_told_to_tracing() {
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    #[derive(Clone, Default)]
    struct Listener(Arc<Mutex<Vec<(Level, String)>>>);
    struct Words(String);

    impl Visit for Words {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.push_str(&format!("{}={value:?} ", field.name()));
        }
    }

    impl Subscriber for Listener {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "desist"
        }

        fn event(&self, event: &Event<'_>) {
            let mut words = Words(String::new());
            event.record(&mut words);
            self.0.lock().unwrap().push((*event.metadata().level(), words.0));
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    let listener = Listener::default();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    tracing::subscriber::with_default(listener.clone(), || {
        runtime.block_on(async {
            let broker = Scripted::new(secs(30), |said| match &*said.place {
                "forgotten" => Answer::Lasting,
                _ => Answer::Fine,
            });
            broker.fail(Error::passing("the broker is away"));
            for place in ["fails", "aside", "forgotten", "deaf"] {
                broker.deliver(message(place, 1));
            }
            let consumer = Consumer::new(broker.clone());
            let source = stop_source();
            let work = |_stop: Stop, message: Message| async move {
                match message.place().as_str() {
                    "fails" => Err("no ink".into()),
                    "aside" => Err(Aside::new("no boat").into()),
                    "deaf" => std::future::pending().await,
                    _ => Ok::<_, BoxError>(()),
                }
            };
            let (report, ()) = tokio::join!(consumer.run(&source.stop(), work), async {
                tokio::time::sleep(secs(1)).await;
                source.cancel();
            });
            report.unwrap();
        });
    });
    let told = listener.0.lock().unwrap().clone();
    for (level, words) in [
        (Level::WARN, "message=trouble with the broker error=the broker is away after="),
        (Level::INFO, "message=the broker is back "),
        (Level::WARN, "message failed"),
        (Level::WARN, "message set aside"),
        (Level::WARN, "message dropped"),
        (Level::WARN, "broker not told what became of a message"),
    ] {
        let is_told = told.iter().any(|(at, said)| *at == level && said.contains(words));
        assert!(is_told, "{words}: {told:#?}");
    }
    for field in ["fails", "aside", "forgotten", "deaf"] {
        assert!(told.iter().any(|(_, said)| said.contains(&format!("={field} "))), "{told:#?}");
    }
}

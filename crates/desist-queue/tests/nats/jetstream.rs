//! What a consumer does with a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use async_nats::jetstream::{self, consumer, stream};
use desist_queue::{Consumer, Message, Nats, News};
use desist_tokio::{Stop, StopSource};
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::running::{MS, nothing, pending, run, with_messages};
use crate::server::{PATIENCE, Server};
use crate::wire::Wire;

#[tokio::test]
async fn what_is_finished_is_acknowledged_and_nothing_else() {
    let Some((_server, nats)) = with_messages(3).await else { return };
    let mut running = run(Consumer::new(nats.consumer("ORDERS", "billing")));
    let mut ends = Vec::new();
    for number in 0..3 {
        let (message, end) = running.next().await;
        assert_eq!(message.id().as_str(), format!("order-{number}"));
        let place = format!("ORDERS:{}@", number + 1);
        assert!(message.place().as_str().starts_with(&place), "{}", message.place());
        assert_eq!((message.subject(), message.deliveries()), ("orders.new", 1));
        assert_eq!(message.json::<u64>().expect("a number"), number);
        ends.push(end);
    }
    assert_eq!(pending(&nats, "billing").await, (0, 3));
    ends.remove(0).send(Ok(())).expect("it waits");
    while pending(&nats, "billing").await.1 == 3 {}
    assert_eq!(pending(&nats, "billing").await, (0, 2));
    ends.remove(0).send(Ok(())).expect("it waits");
    drop(ends);
    let stop = running.stop.clone();
    while pending(&nats, "billing").await.1 == 2 {}
    stop.cancel();
    let report = running.end().await;
    assert_eq!((report.done(), report.given_back(), report.delivered()), (2, 1, 3));
    assert!(report.is_clean(), "{report}");
    // It is free at once, long before the server has lost its patience.
    let mut other = run(Consumer::new(nats.consumer("ORDERS", "billing")));
    let (message, end) = timeout(MS(5000), other.next()).await.expect("at once");
    assert_eq!(message.id().as_str(), "order-2");
    end.send(Ok(())).expect("it waits");
    assert_eq!(other.end().await.done(), 1);
    assert_eq!(pending(&nats, "billing").await, (0, 0));
}

#[tokio::test]
async fn what_is_on_its_way_at_a_stop_goes_back_at_once() {
    let Some((_server, nats)) = with_messages(0).await else { return };
    let publisher = nats.clone();
    let publishing = tokio::spawn(async move {
        for number in 0_u64.. {
            let id = format!("order-{number}");
            let _ = publisher.publish("orders.new", id, number.to_string()).await;
        }
    });
    // Many stops in the middle of a stream of messages: whatever was on its way to one
    // consumer must not wait for the server's patience, half a minute.
    for _ in 0..200 {
        let mut running = run(Consumer::new(nats.consumer("ORDERS", "billing")).concurrency(4));
        let (_, end) = running.next().await;
        end.send(Ok(())).expect("it waits");
        running.stop.cancel();
        let report = running.end().await;
        assert!(report.is_clean(), "{report}");
    }
    publishing.abort();
    let stop = StopSource::new();
    let consumer = Consumer::new(nats.consumer("ORDERS", "billing")).concurrency(100);
    let finished = async {
        while pending(&nats, "billing").await != (0, 0) {}
        stop.drain();
    };
    let asked = stop.stop();
    let all = async { tokio::join!(consumer.run(&asked, nothing), finished) };
    let all = timeout(MS(15_000), all).await;
    let (report, ()) = all.expect("none waits for the server");
    assert!(report.expect("nothing is gone").done() > 0);
}

#[tokio::test]
async fn an_idle_consumer_stops_soon() {
    let Some((_server, nats)) = with_messages(0).await else { return };
    let mut running = run(Consumer::new(nats.consumer("ORDERS", "billing")));
    nats.publish("orders.new", "order-0", "0").await.expect("it is there");
    let (_, end) = running.next().await;
    end.send(Ok(())).expect("it waits");
    while pending(&nats, "billing").await.1 == 1 {}
    let asked = Instant::now();
    running.end().await;
    assert!(asked.elapsed() < MS(2500), "it took {:?}", asked.elapsed());
}

/// The server keeps no request for ever, here for a second, and says so when it is over.
#[tokio::test]
async fn requests_that_have_ended_are_made_again() {
    let Some((_server, nats)) = with_messages(0).await else { return };
    let context = jetstream::new(nats.client());
    let stream = context.get_stream("ORDERS").await.expect("it is there");
    let config = consumer::pull::Config {
        durable_name: Some("billing".to_owned()),
        max_expires: MS(1000),
        ..consumer::pull::Config::default()
    };
    stream.create_consumer(config).await.expect("it is new");
    let mut running = run(Consumer::new(nats.consumer("ORDERS", "billing")).concurrency(4));
    for number in 0..4 {
        // Requests of several sizes are there by then, and end.
        assert!(timeout(MS(1300), running.next()).await.is_err(), "there is nothing");
        nats.publish("orders.new", format!("order-{number}"), "0").await.expect("it is there");
        let (message, end) = timeout(MS(2500), running.next()).await.expect("it is asked for");
        assert_eq!((message.id().as_str(), message.deliveries()), (&*format!("order-{number}"), 1));
        end.send(Ok(())).expect("it waits");
    }
    let report = running.end().await;
    assert_eq!((report.delivered(), report.done()), (4, 4), "none came that was not wanted");
}

/// The server keeps two requests only: who is refused has those that it keeps, and asks again.
#[tokio::test]
async fn many_consumers_share_the_few_requests_that_the_server_keeps() {
    let Some((_server, nats)) = with_messages(0).await else { return };
    let context = jetstream::new(nats.client());
    let stream = context.get_stream("ORDERS").await.expect("it is there");
    let config = consumer::pull::Config {
        durable_name: Some("billing".to_owned()),
        max_waiting: 2,
        ..consumer::pull::Config::default()
    };
    stream.create_consumer(config).await.expect("it is new");
    let mut all = Vec::new();
    for _ in 0..4 {
        let (stop, consumer) = (StopSource::new(), nats.consumer("ORDERS", "billing"));
        let ends = tokio::spawn(Consumer::new(consumer).concurrency(3).run(&stop.stop(), nothing));
        all.push((stop, ends));
    }
    for number in 0..200 {
        nats.publish("orders.new", format!("order-{number}"), "0").await.expect("it is there");
    }
    let finished = async { while pending(&nats, "billing").await != (0, 0) {} };
    timeout(PATIENCE, finished).await.expect("all are worked on");
    let (mut done, mut given_back) = (0, 0);
    for (stop, ends) in all {
        stop.drain();
        let report = ends.await.expect("no panic").expect("nothing is gone");
        done += report.done();
        given_back += report.given_back();
    }
    assert_eq!(done, 200);
    assert!(given_back <= 12, "{given_back} came that were not wanted");
}

#[tokio::test]
async fn long_work_is_kept_from_coming_again() {
    let Some((_server, nats)) = with_messages(1).await else { return };
    let slow = nats.consumer("ORDERS", "billing").ack_wait(MS(2000));
    let mut running = run(Consumer::new(slow.clone()));
    let mut other = run(Consumer::new(slow));
    let (message, end) = tokio::select! {
        begun = running.next() => begun,
        begun = other.next() => begun,
    };
    assert_eq!(message.deliveries(), 1);
    // More than twice the server's patience, in which it would come again.
    let again = async {
        tokio::select! { _ = running.next() => {}, _ = other.next() => {} }
    };
    assert!(timeout(MS(4500), again).await.is_err(), "it came again");
    end.send(Ok(())).expect("it waits");
    while pending(&nats, "billing").await.1 > 0 {}
    let (one, two) = tokio::join!(running.end(), other.end());
    assert_eq!((one.done() + two.done(), one.delivered() + two.delivered()), (1, 1));
}

#[tokio::test]
async fn a_server_that_is_restarted_is_found_again() {
    let Some((mut server, nats)) = with_messages(2).await else { return };
    let news = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&news);
    let consumer = Consumer::new(nats.consumer("ORDERS", "billing").ack_wait(MS(2000)))
        .on_news(move |news| told.lock().expect("no panic").push(news.to_string()));
    let mut running = run(consumer);
    let (_, first) = running.next().await;
    let (_, second) = running.next().await;
    for signal in [Signal::TERM, Signal::KILL] {
        server.stop(signal);
        server.start_again();
    }
    // Finished while it was away: told when it is back.
    server.stop(Signal::TERM);
    first.send(Ok(())).expect("it waits");
    tokio::time::sleep(MS(300)).await;
    server.start_again();
    second.send(Ok(())).expect("it waits");
    let nats = server.connect().await;
    let settled = async { while pending(&nats, "billing").await != (0, 0) {} };
    timeout(PATIENCE, settled).await.expect("both are acknowledged");
    // And it pulls again.
    nats.publish("orders.new", "order-2", "2").await.expect("it is there");
    let (message, end) = running.next().await;
    assert_eq!(message.id().as_str(), "order-2");
    end.send(Ok(())).expect("it waits");
    while pending(&nats, "billing").await.1 > 0 {}
    let report = running.end().await;
    assert_eq!(report.done(), 3, "{report}; {:?}", news.lock());
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_anew() {
    let Some((server, nats)) = with_messages(0).await else { return };
    let wire = Wire::to(server.port()).await;
    for is_told in [true, false] {
        // It hears that the connection was lost, or has to find out.
        let through = if is_told {
            Nats::connect(&wire.url()).await.expect("there is a wire")
        } else {
            Nats::new(async_nats::connect(wire.url()).await.expect("there is a wire"))
        };
        // What the server sends in the moment in which it is left comes when that is over.
        let consumer = through.consumer("ORDERS", "billing").ack_wait(MS(3000));
        let mut running = run(Consumer::new(consumer));
        for number in 0..3 {
            let id = format!("{is_told}-{number}");
            nats.publish("orders.new", id.as_str(), "0").await.expect("it is there");
            let (message, end) = running.next().await;
            assert_eq!(message.id().as_str(), id);
            wire.cut();
            end.send(Ok(())).expect("it waits");
            let settled = async { while pending(&nats, "billing").await != (0, 0) {} };
            timeout(PATIENCE, settled).await.expect("it is acknowledged");
        }
        assert_eq!(running.end().await.done(), 3);
    }
}

#[tokio::test]
async fn what_cannot_work_is_told_at_the_start() {
    // Nobody there.
    let error = Nats::connect("nats://127.0.0.1:9").await.expect_err("nobody listens there");
    assert!(error.is_passing());
    assert_eq!(
        error.to_string(),
        "no server of NATS at nats://127.0.0.1:9; start one with `nats-server -js`, or give the \
         address of one that runs"
    );

    // Not for this user, and nobody reads a password.
    let Some(closed) = Server::start_with(&["-js", "--user", "ada", "--pass", "secret"]) else {
        return;
    };
    let url = closed.url().replace("nats://", "nats://ada:wrong@");
    let error = Nats::connect(&url).await.expect_err("the wrong password");
    let (said, address) = (error.to_string(), closed.url());
    let expected = format!("the server of NATS at {address} does not let this user in; give");
    assert!(said.starts_with(&expected) && !error.is_passing(), "{said}");
    let options = async_nats::ConnectOptions::with_user_and_password("ada".into(), "secret".into());
    Nats::connect_with(&address, options).await.expect("the right one");

    // No JetStream: it may be about to come, so it is asked again; the news say why.
    let Some(bare) = Server::start_with(&[]) else { return };
    let nats = bare.connect().await;
    let error = nats.ensure_stream("ORDERS", ["orders.>"]).await.expect_err("no JetStream");
    let advice = "the server has no JetStream, or has just begun; start it with `-js`";
    assert_eq!(error.to_string(), advice);
    let (tell, mut told) = mpsc::unbounded_channel();
    let consumer = Consumer::new(nats.consumer("ORDERS", "billing")).on_news(move |news| {
        if let News::Trouble { error, .. } = news {
            let _ = tell.send(error.to_string());
        }
    });
    let running = run(consumer);
    assert_eq!(timeout(PATIENCE, told.recv()).await.expect("it is told").as_deref(), Some(advice));
    running.end().await;

    // No stream; names that cannot be; consumers that would lose messages.
    let Some((_server, nats)) = with_messages(1).await else { return };
    let context = jetstream::new(nats.client());
    let stream = context.get_stream("ORDERS").await.expect("it is there");
    let make = async |name: &str, config: consumer::pull::Config| {
        let config = consumer::pull::Config { durable_name: Some(name.to_owned()), ..config };
        stream.create_consumer(config).await.expect("it is new");
    };
    let usual = consumer::pull::Config::default;
    make("forgetful", consumer::pull::Config { max_deliver: 3, ..usual() }).await;
    let none = consumer::AckPolicy::None;
    make("careless", consumer::pull::Config { ack_policy: none, ..usual() }).await;
    let filter_subject = "orders.old".to_owned();
    make("narrow", consumer::pull::Config { filter_subject, ..usual() }).await;
    let pushed = consumer::push::Config {
        durable_name: Some("pushed".to_owned()),
        deliver_subject: "somewhere".to_owned(),
        ..consumer::push::Config::default()
    };
    stream.create_consumer(pushed).await.expect("it is new");
    let cases = [
        (nats.consumer("GONE", "billing"), "there is no stream `GONE`; make it with"),
        (nats.consumer("a b", "billing"), "`a b` cannot be the name of a stream"),
        (nats.consumer("ORDERS", "a.b"), "`ORDERS` and `a.b` cannot be names of a stream and its"),
        (nats.consumer("ORDERS", ""), "`ORDERS` and `` cannot be names of a stream and its"),
        (
            nats.consumer("ORDERS", "forgetful"),
            "the consumer `forgetful` of `ORDERS` gives messages up after 3",
        ),
        (
            nats.consumer("ORDERS", "careless"),
            "the consumer `careless` of `ORDERS` has the acknowledgement policy `none`",
        ),
        (
            nats.consumer("ORDERS", "narrow").filter("orders.new"),
            "the consumer `narrow` of `ORDERS` is for the subject `orders.old`, not",
        ),
        (nats.consumer("ORDERS", "pushed"), "the consumer `pushed` of `ORDERS` is pushed to"),
    ];
    for (consumer, expected) in cases {
        let ended = timeout(PATIENCE, Consumer::new(consumer).run(&Stop::never(), nothing)).await;
        let error = ended.expect("at once").expect_err(expected);
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(!error.is_passing(), "{error}");
    }
    for (aside, expected) in [
        (
            "orders.poison",
            "what is set aside to `orders.poison` would come again, for it is in the stream `ORDERS`",
        ),
        ("nowhere", "no stream has the subject `nowhere`, to which messages are to be set aside"),
    ] {
        let consumer = nats.consumer("ORDERS", "billing").aside_to(aside);
        let error = Consumer::new(consumer).run(&Stop::never(), nothing).await.expect_err(aside);
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    nats.ensure_stream("ORDERS_ASIDE", ["something.else"]).await.expect("it is new");
    let run = Consumer::new(nats.consumer("ORDERS", "billing")).run(&Stop::never(), nothing).await;
    let said = run.expect_err("nothing can be set aside").to_string();
    assert!(said.starts_with("no stream has the subject `aside.ORDERS`"), "{said}");
    for id in ["", "two\r\nlines"] {
        let error = nats.publish("orders.new", id, "x").await.expect_err("no identity");
        assert!(error.to_string().ends_with("or it is not told from others"), "{error}");
    }
    let error = nats.publish("parcels.new", "parcel-1", "x").await.expect_err("no stream");
    assert!(error.to_string().starts_with("no stream has the subject `parcels.new`"), "{error}");
    // Nothing of it was lost.
    assert_eq!(stream.get_info().await.expect("it is there").state.messages, 1);
}

#[tokio::test]
async fn a_stream_or_consumer_that_goes_ends_the_run_with_what_was_done() {
    let Some((_server, nats)) = with_messages(1).await else { return };
    let context = jetstream::new(nats.client());
    for what in ["consumer", "stream"] {
        let mut running = run(Consumer::new(nats.consumer("ORDERS", what)));
        let (_, end) = running.next().await;
        end.send(Ok(())).expect("it waits");
        while pending(&nats, what).await.1 > 0 {}
        let stream = context.get_stream("ORDERS").await.expect("it is there");
        if what == "stream" {
            context.delete_stream("ORDERS").await.expect("it is there");
        } else {
            stream.delete_consumer(what).await.expect("it is there");
        }
        let ended = timeout(PATIENCE, running.ends).await.expect("it ends").expect("no panic");
        let error = ended.expect_err("it is gone");
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(error.report().expect("it ran").done(), 1);
    }
}

/// With every hand busy nothing is asked for: it is found out when the broker is told.
#[tokio::test]
async fn a_consumer_that_goes_while_all_hands_are_busy_ends_the_run() {
    let Some((_server, nats)) = with_messages(2).await else { return };
    let mut running = run(Consumer::new(nats.consumer("ORDERS", "billing")).concurrency(1));
    let (_, end) = running.next().await;
    let context = jetstream::new(nats.client());
    let stream = context.get_stream("ORDERS").await.expect("it is there");
    stream.delete_consumer("billing").await.expect("it is there");
    end.send(Ok(())).expect("it waits");
    let ended = timeout(PATIENCE, running.ends).await.expect("it ends").expect("no panic");
    let error = ended.expect_err("it is gone");
    assert!(error.to_string().starts_with("the consumer `billing` of `ORDERS` is gone"), "{error}");
    assert_eq!(error.report().expect("it ran").unsettled(), 1);
}

#[tokio::test]
async fn consumers_of_one_name_share_and_each_name_has_all() {
    let Some((_server, nats)) = with_messages(40).await else { return };
    let count = |name: &'static str| {
        let worked = Arc::new(AtomicU64::new(0));
        let counts = Arc::clone(&worked);
        let consumer = Consumer::new(nats.consumer("ORDERS", name)).concurrency(3);
        let stop = StopSource::new();
        let asked = stop.stop();
        let ends = tokio::spawn(async move {
            let work = move |_stop: Stop, _message: Message| {
                let counts = Arc::clone(&counts);
                async move {
                    counts.fetch_add(1, SeqCst);
                    tokio::task::yield_now().await;
                }
            };
            consumer.run(&asked, work).await
        });
        (worked, stop, ends)
    };
    let all = [count("billing"), count("billing"), count("shipping")];
    let empty = async {
        while pending(&nats, "billing").await != (0, 0)
            || pending(&nats, "shipping").await != (0, 0)
        {}
    };
    timeout(PATIENCE, empty).await.expect("all is worked on");
    let mut worked = Vec::new();
    for (count, stop, ends) in all {
        stop.drain();
        assert!(ends.await.expect("no panic").expect("nothing was gone").is_clean());
        worked.push(count.load(SeqCst));
    }
    assert_eq!((worked[0] + worked[1], worked[2]), (40, 40), "{worked:?}");
}

#[tokio::test]
async fn what_is_published_twice_is_there_once() {
    let Some((_server, nats)) = with_messages(2).await else { return };
    nats.publish("orders.new", "order-1", "again").await.expect("it is there");
    let config = stream::Config { name: "ORDERS".to_owned(), ..stream::Config::default() };
    let context = jetstream::new(nats.client());
    let stream = context.get_or_create_stream(config).await.expect("it is there");
    assert_eq!(stream.get_info().await.expect("it is there").state.messages, 2);
    let consumer = nats.consumer("ORDERS", "billing").filter("orders.*");
    let mut running = run(Consumer::new(consumer).concurrency(1));
    for number in 0..2 {
        let (message, end) = running.next().await;
        assert_eq!(message.payload(), &number.to_string());
        end.send(Ok(())).expect("it waits");
    }
    assert_eq!(running.end().await.done(), 2);
}

//! What is set aside, and where.

use async_nats::jetstream::{self};
use desist_queue::{Aside, Consumer};
use desist_tokio::Stop;
use tokio::time::timeout;

use crate::running::{MS, nothing, pending, run, with_messages};
use crate::server::PATIENCE;

#[tokio::test]
async fn what_fails_comes_again_and_is_set_aside_with_the_reason() {
    let Some((_server, nats)) = with_messages(2).await else { return };
    let backoff = desist_queue::Backoff::new(MS(50));
    let consumer = Consumer::new(nats.consumer("ORDERS", "billing"));
    let mut running = run(consumer.max_deliveries(3).backoff(backoff).concurrency(1));
    let (nonsense, end) = running.next().await;
    end.send(Err(nonsense.json::<bool>().expect_err("a number").into())).expect("it waits");
    for delivery in 1..=3 {
        let (message, end) = running.next().await;
        assert_eq!((message.id().as_str(), message.deliveries()), ("order-1", delivery));
        end.send(Err("the printer\nis on fire".into())).expect("it waits");
    }
    let context = jetstream::new(nats.client());
    let aside = context.get_stream("ORDERS_ASIDE").await.expect("it was made");
    while aside.get_info().await.expect("it is there").state.messages < 2 {}
    let report = running.end().await;
    assert_eq!((report.set_aside(), report.failed(), report.done()), (2, 2, 0));
    assert_eq!(pending(&nats, "billing").await, (0, 0));
    let expected = [
        ("1", "0", "the payload is no bool in JSON: invalid type: integer `0`", "1"),
        ("2", "1", "the printer is on fire", "3"),
    ];
    for (place, (sequence, payload, reason, deliveries)) in (1..).zip(expected) {
        let message = aside.get_raw_message(place).await.expect("it is there");
        let header = |name| message.headers.get(name).map_or("", |value| value.as_str());
        assert_eq!(message.payload, payload);
        assert!(header("Desist-Aside-Reason").starts_with(reason), "{:?}", message.headers);
        assert_eq!(header("Desist-Aside-Sequence"), sequence);
        assert_eq!(header("Desist-Aside-Subject"), "orders.new");
        assert_eq!(header("Desist-Aside-Consumer"), "billing");
        assert_eq!(header("Desist-Aside-Deliveries"), deliveries);
    }
}

#[tokio::test]
async fn it_is_set_aside_where_that_was_said() {
    let Some((_server, nats)) = with_messages(1).await else { return };
    let consumer = nats.consumer("ORDERS", "billing").aside_to("poison.orders");
    let error = Consumer::new(consumer.clone()).run(&Stop::never(), nothing).await;
    let said = error.expect_err("there is no such stream").to_string();
    assert!(said.starts_with("no stream has the subject `poison.orders`"), "{said}");

    nats.ensure_stream("POISON", ["poison.>"]).await.expect("it is new");
    let mut running = run(Consumer::new(consumer));
    let (_, end) = running.next().await;
    end.send(Err(Aside::new("not today").into())).expect("it waits");
    let context = jetstream::new(nats.client());
    let poison = context.get_stream("POISON").await.expect("it was made");
    while poison.get_info().await.expect("it is there").state.messages < 1 {}
    assert_eq!(running.end().await.set_aside(), 1);
    assert!(context.get_stream("ORDERS_ASIDE").await.is_err(), "nobody needs it");
}

#[tokio::test]
async fn what_is_set_aside_keeps_its_headers_but_those_of_the_server() {
    let Some((_server, nats)) = with_messages(0).await else { return };
    let context = jetstream::new(nats.client());
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Tenant", "9");
    // Heeded again, it would keep the message out of the other stream.
    headers.insert("Nats-Expected-Stream", "ORDERS");
    headers.insert("Nats-Msg-Id", "order-7");
    let sent = context.publish_with_headers("orders.new", headers, "7".into()).await;
    sent.expect("it is sent").await.expect("it is there");
    let mut running = run(Consumer::new(nats.consumer("ORDERS", "billing")));
    let (message, end) = running.next().await;
    assert_eq!((message.id().as_str(), message.header("tenant")), ("order-7", Some("9")));
    end.send(Err(Aside::new("not today").into())).expect("it waits");
    let aside = context.get_stream("ORDERS_ASIDE").await.expect("it was made");
    let is_there =
        async { while aside.get_info().await.expect("it is there").state.messages < 1 {} };
    timeout(PATIENCE, is_there).await.expect("it is set aside");
    let message = aside.get_raw_message(1).await.expect("it is there");
    let header = |name| message.headers.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("Tenant").as_deref(), Some("9"));
    assert_eq!(header("Nats-Expected-Stream"), None);
    assert_eq!(header("Desist-Aside-Id").as_deref(), Some("order-7"));
    assert_eq!(running.end().await.set_aside(), 1);
}

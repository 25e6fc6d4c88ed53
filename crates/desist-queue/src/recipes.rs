//! How to do nothing twice.
//!
//! A message comes again when its acknowledgement was lost, when a process died after the
//! work, when the work took longer than anybody said; a server of NATS that is killed may
//! have forgotten thousands of acknowledgements that it had answered. So what must happen once has to be
//! written so that the second time changes nothing. In order of preference:
//!
//! # 1. The effect is the same the second time
//!
//! `UPDATE orders SET state = 'billed' WHERE id = $1` needs nothing else.
//!
//! # 2. The identity goes with the effect
//!
//! A table of what was done, written in the transaction of the effect:
//!
//! ```sql
//! CREATE TABLE done (message text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
//! ```
//!
//! ```text
//! pool.transaction(&stop, async |tx| {
//!     let id = message.id().as_str();
//!     let new = "INSERT INTO done (message) VALUES ($1) ON CONFLICT DO NOTHING";
//!     if tx.execute(new, &[&id]).await? == 0 {
//!         return Ok(()); // it was done: acknowledge it
//!     }
//!     // .. the effect ..
//! })
//! ```
//!
//! Both are there or neither is, whatever dies when. The identity is
//! [`Message::id`](crate::Message::id): what the publisher called it, so that what was
//! published twice is also done once.
//!
//! # 3. The effect is somebody else's
//!
//! An API that takes an idempotency key takes `message.id()`.
//!
//! # 4. Less often twice
//!
//! Where none of these can be, a [`Ledger`](crate::Ledger) keeps what was finished. Between
//! the end of the work and the note there is a moment in which a process can die, and then
//! it is done twice. [`Recent`](crate::Recent) is one in memory.
//!
//! ```
//! use desist_queue::testing::MemoryBroker;
//! use desist_queue::{BoxError, Consumer, Ledger, MessageId};
//! use std::collections::HashSet;
//! use std::sync::Mutex;
//!
//! /// In place of a table.
//! #[derive(Default)]
//! struct Done(Mutex<HashSet<MessageId>>);
//!
//! impl Ledger for Done {
//!     async fn is_done(&self, id: &MessageId) -> Result<bool, BoxError> {
//!         Ok(self.0.lock().map_err(|_| "poisoned")?.contains(id))
//!     }
//!
//!     async fn note(&self, id: &MessageId) -> Result<(), BoxError> {
//!         self.0.lock().map_err(|_| "poisoned")?.insert(id.clone());
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let ledger = Done::default();
//! ledger.note(&MessageId::from("order-17")).await.unwrap();
//! assert!(ledger.is_done(&MessageId::from("order-17")).await.unwrap());
//! let consumer = Consumer::new(MemoryBroker::new()).ledger(ledger);
//! # let _ = consumer;
//! # }
//! ```
//!
//! # With a host
//!
//! ```text
//! Host::builder()
//!     .service("billing", move |stop| async move {
//!         let nats = Nats::connect("nats://127.0.0.1:4222").await?;
//!         let billing = Consumer::new(nats.consumer("ORDERS", "billing"));
//!         billing.run(&stop, bill).await?.into_result()?;
//!         Ok::<_, BoxError>(())
//!     })
//!     .drain_for(Duration::from_secs(12)) // longer than the consumer's ten
//! ```

//! Works on what comes by NATS, if a server is given.

use std::time::Duration;

use desist::find_cancelled;
use desist_host::{BoxError, Service, Stop};
use desist_queue::{Consumer, Message, Nats, News, RetryAfter};
use desist_tokio::sleep;

use super::House;
use crate::data::{Shared, made_up};
use crate::log::{Asker, Entry, Log};
use crate::mediator::and_behind_it;
use crate::say;
use crate::work::SUBJECT;

const STREAM: &str = "SHOWCASE";
/// When the database was away.
const AGAIN: Duration = Duration::from_secs(2);

/// The connection: whoever publishes needs it, too.
pub(crate) struct Connection<S> {
    house: House<S>,
    address: String,
}

impl<S> Connection<S> {
    pub(crate) fn new(house: House<S>, address: String) -> Self {
        Self { house, address }
    }
}

impl<S: Send + Sync + 'static> Service for Connection<S> {
    async fn start(&mut self, stop: &Stop) -> Result<(), BoxError> {
        let nats = stop.token().run(Nats::connect(&self.address)).await??;
        make_stream(&nats, stop).await?;
        self.house.nats.fill(nats);
        Ok(())
    }

    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        stop.token().cancelled().await;
        Ok(())
    }
}

async fn make_stream(nats: &Nats, stop: &Stop) -> Result<(), BoxError> {
    stop.token().run(nats.ensure_stream(STREAM, [SUBJECT])).await??;
    Ok(())
}

/// Until it is asked to stop: what is in hand then is finished, or goes back.
pub(crate) async fn consume<S>(house: House<S>, stop: Stop) -> Result<(), BoxError> {
    let (nats, documents) = (house.nats.take()?, house.documents.take()?);
    // The server may have come back without what it had.
    make_stream(&nats, &stop).await?;
    let consumer = Consumer::new(nats.consumer(STREAM, "documents"))
        .concurrency(2)
        // What is no number is set aside at once; all else is the database, which comes back.
        .max_deliveries(1000)
        .on_news(|news| match news {
            // With its work in the log.
            News::Failed { .. } => {}
            _ => say(news),
        })
        .drain_for(Duration::from_secs(1));
    let work = move |stop: Stop, message| take(stop, message, documents.clone(), house.log.clone());
    consumer.run(&stop, work).await?.into_result()?;
    Ok(())
}

/// A document for a message; what comes a second time has the same key, and is there once.
async fn take(stop: Stop, message: Message, documents: Shared, log: Log) -> Result<(), BoxError> {
    let entry = Entry::begin(&log, "message", Asker::called("NATS"), stop.token().clone());
    let taken = async {
        let number: u64 = message.json()?;
        let mut document = made_up("message", number);
        document.key = format!("message {}", message.id());
        sleep(Duration::from_secs(1), &stop).await?;
        match documents.add(&stop, vec![document]).await {
            Err(error) if find_cancelled(&*error).is_none() => {
                let why = and_behind_it(&*error);
                Err(RetryAfter::new(AGAIN, why).into())
            }
            added => added.map(drop),
        }
    };
    let taken: Result<(), BoxError> = taken.await;
    entry.end(&taken, "");
    taken
}

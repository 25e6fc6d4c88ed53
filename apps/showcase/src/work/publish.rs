//! Puts messages where a consumer finds them.

use std::time::{SystemTime, UNIX_EPOCH};

use desist::Token;
use desist_host::BoxError;
use desist_mediator::{Handler, Invalid};
use desist_queue::Nats;

use super::{Asked, Work, at_most};

/// What is published there is worked on.
pub(crate) const SUBJECT: &str = "showcase.documents";

pub(crate) struct Publish {
    pub(crate) count: u64,
}

impl Work for Publish {
    type Response = ();

    const NAME: &'static str = "publish";

    fn validate(&self) -> Result<(), Invalid> {
        at_most(1000, "count", self.count)
    }
}

/// Does it, if there is a server.
pub(crate) struct Publisher {
    nats: Option<Nats>,
}

impl Publisher {
    pub(crate) fn new(nats: Option<Nats>) -> Self {
        Self { nats }
    }
}

impl Handler<Asked<Publish>> for Publisher {
    type Error = BoxError;

    async fn handle(&self, stop: Token, asked: Asked<Publish>) -> Result<(), BoxError> {
        let Asked { work: Publish { count }, entry, .. } = asked;
        let Some(nats) = &self.nats else {
            let advice = "start it with --nats nats://127.0.0.1:4222";
            return Err(Invalid::new("messages", format!("there is no queue; {advice}")).into());
        };
        // No other request has messages of the same names.
        let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let series = format!("{}-{since}", std::process::id());
        for number in 1..=count {
            let id = format!("{series}-{number}");
            stop.run(nats.publish(SUBJECT, id, number.to_string())).await??;
            entry.progress(number, Some(count));
        }
        Ok(())
    }
}

//! Asks another service, which stops when this does.

use desist::Token;
use desist_host::BoxError;
use desist_http::{SendError, SendWith as _};
use desist_mediator::Handler;

use super::{Asked, Work};
use crate::mediator::and_behind_it;

pub(crate) struct Downstream;

impl Work for Downstream {
    type Response = String;

    const NAME: &'static str = "call of another service";
}

/// Whom it asks.
pub(crate) struct Neighbour {
    client: reqwest::Client,
    url: String,
}

impl Neighbour {
    /// The long-running task of the instance at that address.
    pub(crate) fn at(address: &str) -> Result<Self, BoxError> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("{}/longrunningtask", address.trim_end_matches('/'));
        let asked = client.get(&url).build().map_err(|error| {
            let why = and_behind_it(&error);
            format!("{address:?} is no service to ask: {why}; say http://HOST:PORT")
        })?;
        if asked.url().scheme() != "http" {
            let said = format!(
                "{address:?} is asked over TLS, which is not built in; say http://HOST:PORT"
            );
            return Err(said.into());
        }
        Ok(Self { client, url })
    }
}

impl Handler<Asked<Downstream>> for Neighbour {
    type Error = SendError;

    async fn handle(&self, stop: Token, _asked: Asked<Downstream>) -> Result<String, SendError> {
        let answer = self.client.get(&self.url).send_with(&stop).await?.error_for_status()?;
        Ok(format!("{} said: {}", self.url, answer.text().await?))
    }
}

//! Asks another service, which stops when this does.

use desist::Token;
use desist_host::BoxError;
use desist_http::{SendError, SendWith as _};
use desist_mediator::Handler;
use reqwest::Url;

use super::{Asked, Work};

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
        plain(address).map_err(|why| {
            // There may be a password in it, so it is not repeated.
            format!("--downstream is no service to ask: {why}; say http://HOST:PORT")
        })?;
        Ok(Self { client, url: format!("{}/longrunningtask", address.trim_end_matches('/')) })
    }
}

/// That it is an address to which a path can be added, and which everybody may see.
fn plain(address: &str) -> Result<(), BoxError> {
    let url = Url::parse(address)?;
    if url.scheme() == "https" {
        return Err("it would be asked over TLS, which is not built in".into());
    }
    let is_http = url.scheme() == "http";
    let has_secret = !url.username().is_empty() || url.password().is_some();
    if !is_http || has_secret || url.query().is_some() || url.fragment().is_some() {
        return Err("it is more than an address, or something else".into());
    }
    Ok(())
}

impl Handler<Asked<Downstream>> for Neighbour {
    type Error = SendError;

    async fn handle(&self, stop: Token, _asked: Asked<Downstream>) -> Result<String, SendError> {
        let answer = self.client.get(&self.url).send_with(&stop).await?.error_for_status()?;
        Ok(format!("{} said: {}", self.url, answer.text().await?))
    }
}

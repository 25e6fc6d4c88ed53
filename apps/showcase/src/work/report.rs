//! A statement that would take a minute: what is stopped is stopped within the database.

use desist::Token;
use desist_host::BoxError;
use desist_mediator::Handler;

use super::{Asked, Work};
use crate::data::Shared;

pub(crate) struct Report;

impl Work for Report {
    type Response = i64;

    const NAME: &'static str = "report";
}

/// Makes them.
pub(crate) struct Reports {
    documents: Shared,
}

impl Reports {
    pub(crate) fn new(documents: Shared) -> Self {
        Self { documents }
    }
}

impl Handler<Asked<Report>> for Reports {
    type Error = BoxError;

    async fn handle(&self, stop: Token, _asked: Asked<Report>) -> Result<i64, BoxError> {
        self.documents.report(&stop).await
    }
}

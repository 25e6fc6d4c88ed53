//! News as events of `tracing`, target `desist`. They come from a thread of their own, so a
//! subscriber that blocks holds nobody up; and so they have no span around them.

use tracing::{error, info, warn};

use crate::news::{News, Told};

pub(crate) fn tell(told: &Told) {
    let news = &told.news;
    match news {
        News::Phase(phase) => info!(target: "desist", %phase, "{news}"),
        News::Failed { service, failure } => {
            error!(target: "desist", %service, %failure, "service failed");
        }
        News::Aborted { service, .. } | News::GivenUp { service, .. } => {
            warn!(target: "desist", %service, "{news}");
        }
        News::Resting { service, .. } => warn!(target: "desist", %service, "{news}"),
        News::Starting { service }
        | News::Started { service }
        | News::AskedToDrain { service }
        | News::AskedToStop { service }
        | News::Over { service, .. } => info!(target: "desist", %service, "{news}"),
    }
}

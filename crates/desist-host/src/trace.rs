//! News as events of `tracing`, target `desist`. They come from a thread of their own, so a
//! subscriber that blocks holds nobody up; and so they have no span around them.

use tracing::dispatcher::{get_default, with_default};
use tracing::{error, info, warn};

use crate::news::{Listening, News};

/// For the subscriber that is the default here, which it is not on that thread.
pub(crate) fn listener() -> Listening {
    let here = get_default(Clone::clone);
    Box::new(move |told| with_default(&here, || told.news.iter().for_each(tell)))
}

fn tell(news: &News) {
    match news {
        News::Stop { cause, .. } => {
            info!(target: "desist", reason = %cause.reason(), origin = %cause.origin(), "{news}");
        }
        News::Forced { signal } => warn!(target: "desist", %signal, "{news}"),
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

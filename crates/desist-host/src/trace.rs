//! News as events of `tracing`, target `desist`. They come from a thread of their own, so a
//! subscriber that blocks holds nobody up; and so they have no span around them.

use tracing::dispatcher::{get_default, with_default};
use tracing::{error, info, warn};

use crate::news::{Listening, News, Told};

/// For the subscriber that is the default here, which it is not on that thread.
pub(crate) fn listener() -> Listening {
    let here = get_default(Clone::clone);
    Box::new(move |told| with_default(&here, || tell(told)))
}

fn tell(told: &Told) {
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

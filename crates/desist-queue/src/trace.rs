//! What goes wrong, told to `tracing`.

use crate::News;

#[cfg(feature = "tracing")]
pub(crate) fn news(news: &News) {
    use tracing::{info, warn};

    match news {
        News::Failed { id, deliveries, why, after } => {
            warn!(target: "desist", message = %id, deliveries, why, ?after, "message failed");
        }
        News::SetAside { id, why } => {
            warn!(target: "desist", message = %id, why, "message set aside")
        }
        News::Dropped { id, asked } => {
            warn!(target: "desist", message = %id, ?asked, "message dropped")
        }
        News::Unheard { id, error, after } => {
            warn!(target: "desist", message = %id, %error, cause = cause(error), ?after, "broker not told yet");
        }
        News::Unsettled { id, error } => {
            warn!(target: "desist", message = %id, %error, cause = cause(error), "broker not told what became of a message");
        }
        News::Trouble { error, after } => {
            warn!(target: "desist", %error, cause = cause(error), ?after, "trouble with the broker")
        }
        News::Recovered => info!(target: "desist", "the broker is back"),
    }
}

#[cfg(feature = "tracing")]
fn cause(error: &crate::Error) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string)
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn news(_: &News) {}

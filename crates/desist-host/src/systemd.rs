//! What systemd is told, where it has started the process with `Type=notify`.
//!
//! It is a listener like others, so a manager that does not read holds nobody up.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::news::{Listening, News};
use crate::phase::Phase;

/// What is added to the time within which something happens: the manager's clock, and
/// its load, are not ours.
const MARGIN: Duration = Duration::from_secs(5);

/// None where nobody wants to know.
pub(crate) fn listener() -> Option<Listening> {
    std::env::var_os("NOTIFY_SOCKET")?;
    let mut phase = Phase::Starting;
    Some(Box::new(move |told| {
        if let News::Phase(now) = told.news {
            phase = now;
        }
        let status = told.news.to_string();
        let mut states = vec![NotifyState::Status(&status)];
        match told.news {
            News::Phase(Phase::Running) => states.push(NotifyState::Ready),
            News::Phase(Phase::Unready | Phase::Stopping) => states.push(NotifyState::Stopping),
            _ => {}
        }
        if let (true, Some(within)) = (phase != Phase::Running, told.within) {
            let micros = within.saturating_add(MARGIN).as_micros();
            states.push(NotifyState::ExtendTimeoutUsec(micros.try_into().unwrap_or(u32::MAX)));
        }
        // A manager that is gone wants to know nothing.
        let _ = sd_notify::notify(&states);
    }))
}

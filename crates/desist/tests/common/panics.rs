//! Panics that are planned: not printed, and remembered.

use std::panic;
use std::sync::{Mutex, Once};

use super::{lock, payload_text};

static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Panics whose text begins so are not printed.
pub(crate) const PLANNED: &str = "planned: ";

/// Listens at the panic hook, once for the whole process.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let text = payload_text(info.payload());
            if text.starts_with(PLANNED) {
                lock(&HEARD).push(text);
            } else {
                usual(info);
            }
        }));
    });
}

/// Panics with a text that is not printed.
pub(crate) fn planned(what: &str) -> ! {
    listen();
    panic!("{PLANNED}{what}");
}

/// Whether the hook has heard of the panic with this text.
pub(crate) fn heard(what: &str) -> bool {
    let text = format!("{PLANNED}{what}");
    lock(&HEARD).contains(&text)
}

/// Forgets what the hook has heard, with the memory it takes.
pub(crate) fn forget() {
    *lock(&HEARD) = Vec::new();
}

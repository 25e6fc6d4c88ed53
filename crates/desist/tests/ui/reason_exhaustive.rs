//! More reasons may come.

use desist::Reason;

fn main() {
    let _ = match Reason::Requested {
        Reason::Requested => 1,
        Reason::Superseded => 2,
        Reason::Disconnected => 3,
        Reason::Deadline => 4,
        Reason::SiblingFailed => 5,
        Reason::Dropped => 6,
        Reason::Overload => 7,
        Reason::LeaseLost => 8,
        Reason::Shutdown => 9,
        Reason::Other => 10,
    };
}

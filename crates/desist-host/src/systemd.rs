//! What systemd is told, where it has started the process with `Type=notify`.
//!
//! It is a listener like others, so a manager that does not read holds nobody up.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::news::{Listening, News};
use crate::phase::Phase;

/// What is added to the time within which something happens: the manager's clock, and
/// its load, are not ours.
const MARGIN: Duration = Duration::from_secs(5);

/// Of a status. A manager takes no message of more than 4096 bytes.
const MOST_CHARS: usize = 800;

/// None where nobody wants to know.
pub(crate) fn listener() -> Option<Listening> {
    let manager = address(&std::env::var_os("NOTIFY_SOCKET")?)?;
    let socket = UnixDatagram::unbound().ok()?;
    let mut phase = Phase::Starting;
    Some(Box::new(move |told| {
        let mut messages = Vec::new();
        for news in told.news.iter() {
            let state = match news {
                News::Phase(Phase::Running) => "READY=1\n",
                News::Stop { .. } => "STOPPING=1\n",
                _ => "",
            };
            if let News::Phase(now) = news {
                phase = *now;
            }
            messages.push(format!("{state}STATUS={}\n", line(&news.to_string())));
        }
        if messages.is_empty() {
            messages.push(String::new());
        }
        for mut message in messages {
            if let (true, Some(within)) = (phase != Phase::Running, told.within) {
                let micros = within.saturating_add(MARGIN).as_micros();
                let micros = u64::try_from(micros).unwrap_or(u64::MAX);
                message += &format!("EXTEND_TIMEOUT_USEC={micros}\n");
            }
            // A manager that is gone wants to know nothing. It may come back, so nobody is
            // connected to it.
            if !message.is_empty() {
                let _ = socket.send_to_addr(message.as_bytes(), &manager);
            }
        }
    }))
}

/// Of a path, or of a name that is in no file system.
fn address(socket: &OsStr) -> Option<SocketAddr> {
    match socket.as_bytes().split_first()? {
        (b'@', name) => SocketAddr::from_abstract_name(name).ok(),
        (b'/', _) => SocketAddr::from_pathname(socket).ok(),
        _ => None,
    }
}

/// What an error says may have lines, and each would be an assignment of its own.
fn line(status: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    status.chars().map(plain).take(MOST_CHARS).collect()
}

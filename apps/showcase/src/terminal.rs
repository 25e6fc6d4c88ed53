//! What stands in the terminal: said by anybody, printed by one thread.
//!
//! A terminal may not read: it was stopped with Ctrl-S, or a collector of logs hangs. Nobody
//! who works waits for that. What there is no room for is counted, and left out.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// So many lines wait for the terminal.
const ROOM: usize = 4096;

/// For which there was no room.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// How long a terminal is waited for.
const A_WHILE: Duration = Duration::from_secs(1);

enum Said {
    Line(String),
    /// Tells when all before it is printed.
    Flush(SyncSender<()>),
}

struct Terminal {
    lines: Option<SyncSender<Said>>,
    printed: Option<Receiver<()>>,
}

fn terminal() -> &'static Mutex<Terminal> {
    static TERMINAL: OnceLock<Mutex<Terminal>> = OnceLock::new();
    TERMINAL.get_or_init(|| {
        let ((lines, to_print), (tell, printed)) = (sync_channel(ROOM), sync_channel(1));
        let printer = thread::Builder::new().name("terminal".into());
        // Without a thread nothing is printed; the page has it all the same.
        let _ = printer.spawn(move || {
            print(&to_print);
            let _ = tell.send(());
        });
        Mutex::new(Terminal { lines: Some(lines), printed: Some(printed) })
    })
}

/// Until nothing more is said.
fn print(lines: &Receiver<Said>) {
    loop {
        let next = match lines.try_recv() {
            Err(TryRecvError::Empty) => {
                // What was said before has been printed: this is where those would stand.
                tell_what_is_left_out();
                lines.recv().ok()
            }
            next => next.ok(),
        };
        match next {
            None => return tell_what_is_left_out(),
            // Its terminal may be gone.
            Some(Said::Line(line)) => drop(writeln!(io::stdout(), "{line}")),
            Some(Said::Flush(tell)) => drop(tell.try_send(())),
        }
    }
}

fn tell_what_is_left_out() {
    // Ordering: it only counts.
    let many = LEFT_OUT.swap(0, Ordering::Relaxed);
    if many > 0 {
        let why = "the terminal did not read";
        let _ = writeln!(io::stdout(), "showcase: {many} lines were left out: {why}");
    }
}

/// A line, if there is room for it.
pub(crate) fn print_line(line: impl Display) {
    let terminal = terminal().lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lines) = &terminal.lines
        && lines.try_send(Said::Line(line.to_string())).is_err()
    {
        // Ordering: it only counts.
        LEFT_OUT.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until what was said is printed, but not for a terminal that does not read: what is
/// printed elsewhere then comes after it.
pub(crate) fn flush() {
    let (tell, printed) = sync_channel(1);
    let lines = terminal().lock().unwrap_or_else(PoisonError::into_inner).lines.clone();
    let is_sent = lines.is_some_and(|lines| lines.try_send(Said::Flush(tell)).is_ok());
    if is_sent {
        let _ = printed.recv_timeout(A_WHILE);
    }
}

/// Nothing more is said: waits until all is printed, but not for a terminal that does not read.
pub(crate) fn finish() {
    let mut terminal = terminal().lock().unwrap_or_else(PoisonError::into_inner);
    terminal.lines = None;
    if let Some(printed) = terminal.printed.take() {
        let _ = printed.recv_timeout(A_WHILE);
    }
}

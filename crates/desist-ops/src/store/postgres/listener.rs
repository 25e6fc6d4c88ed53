//! Who listens to calls: a connection of its own, made again whenever it is gone.
//!
//! It calls itself now and then. A call that does not come back is how a pooler is found out
//! that gives each transaction another connection, and how a peer that is gone and does not say
//! so is noticed long before the system notices.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, Client, Config, Error, Socket};

use super::asked::ALL;
use crate::hints::{Hints, Push};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How often it calls itself; and so long it waits for that.
const CALL: Duration = Duration::from_secs(5);
/// How long it waits before it connects again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

type Calls<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// One that is asked to connect and listen, once.
trait Listens: Send + Sync {
    fn listens<'a>(&'a self, node: &'a str, hints: &'a Hints) -> Calls<'a>;
}

pub(super) struct Listener {
    how: Box<dyn Listens>,
}

struct With<T> {
    config: Config,
    tls: T,
}

impl Listener {
    pub(super) fn new<T>(config: Config, tls: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send + Sync + 'static,
        T::TlsConnect: Send + Sync,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        Self { how: Box::new(With { config, tls }) }
    }

    /// For as long as it is polled.
    pub(super) async fn listen(&self, node: String, hints: Arc<Hints>) {
        let mut wait = AGAIN.0;
        loop {
            hints.push_is(Push::Connecting);
            let begin = Instant::now();
            let _ = self.how.listens(&node, &hints).await;
            if begin.elapsed() > AGAIN.1 {
                wait = AGAIN.0;
            }
            hints.push_is(Push::Connecting);
            // All at once would be too many for a server that has just come back.
            let part = u32::from(crate::id::letters::<1>()[0]) % 16;
            tokio::time::sleep(wait / 2 + wait / 32 * part).await;
            wait = (wait * 2).min(AGAIN.1);
        }
    }
}

impl<T> Listens for With<T>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send + Sync + 'static,
    T::TlsConnect: Send + Sync,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    fn listens<'a>(&'a self, node: &'a str, hints: &'a Hints) -> Calls<'a> {
        Box::pin(async move {
            let connects = self.config.connect(self.tls.clone());
            let Ok(connected) = timeout(CONNECT, connects).await else { return Ok(()) };
            let (client, mut connection) = connected?;
            let hears = async {
                loop {
                    match poll_fn(|cx| connection.poll_message(cx)).await {
                        Some(Ok(AsyncMessage::Notification(call))) => heard(call.payload(), hints),
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Err(error),
                        None => return Ok(()),
                    }
                }
            };
            let (hears, calls) = (pin!(hears), pin!(calls(&client, node, hints)));
            tokio::select! {
                ended = hears => ended,
                ended = calls => ended,
            }
        })
    }
}

/// Listens, and calls itself until that does not come back.
async fn calls(client: &Client, node: &str, hints: &Hints) -> Result<(), Error> {
    // A node's name is of letters and digits.
    let listens = format!("LISTEN {ALL}; LISTEN desist_ops_{node}");
    match timeout(CONNECT, client.batch_execute(&listens)).await {
        Ok(listens) => listens?,
        Err(_) => return Ok(()),
    }
    // P1: what was asked for before is not told again.
    hints.everything();
    let mut deaf = 0;
    loop {
        let came_back = hints.calls_itself();
        if !came_back {
            deaf += 1;
            hints.push_is(Push::Deaf);
            if deaf > 2 {
                return Ok(());
            }
        } else {
            deaf = 0;
        }
        let calls = format!("NOTIFY desist_ops_{node}, 'self'");
        match timeout(CALL, client.batch_execute(&calls)).await {
            Ok(called) => called?,
            Err(_) => return Ok(()),
        }
        tokio::time::sleep(CALL).await;
    }
}

fn heard(call: &str, hints: &Hints) {
    match call.split_once(' ') {
        Some(("cancel", id)) => {
            if let Ok(id) = id.parse() {
                hints.cancel(id);
                hints.changed(id);
            }
        }
        Some(("changed", id)) => {
            if let Ok(id) = id.parse() {
                hints.changed(id);
            }
        }
        None if call == "work" => hints.work(),
        None if call == "self" => hints.hears_itself(),
        // Of a newer version.
        _ => {}
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

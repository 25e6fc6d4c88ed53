//! A process that works on messages: this program again, as a child.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, io, thread};

use desist_queue::{Backoff, BoxError, Consumer, Message, Nats};
use desist_tokio::{Stop, signals, sleep};
use rustix::process::{Pid, Signal, kill_process};

use crate::effects::Effects;

const URL: &str = "DESIST_WORKER_URL";
const EFFECTS: &str = "DESIST_WORKER_EFFECTS";
const EARLY: &str = "DESIST_WORKER_EARLY";
const READY: &str = "listens to signals";

/// How long the server waits for a word of a message.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(4);
/// Those are never worked on with success.
pub(crate) const fn is_poison(number: u64) -> bool {
    number % 500 == 499
}

pub(crate) struct Worker {
    child: Child,
}

impl Worker {
    /// `early`: one that says that it has done what it has not done yet.
    pub(crate) fn start(url: &str, effects: &Path, early: bool) -> Self {
        let mut command = Command::new(env::current_exe().expect("this program"));
        command
            .args(["worker::the_worker", "--exact", "--quiet", "--nocapture"])
            .env(URL, url)
            .env(EFFECTS, effects)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if early {
            command.env(EARLY, "1");
        }
        Self { child: command.spawn().expect("this program") }
    }

    /// Until it listens to signals: before that a SIGTERM ends it like a SIGKILL.
    pub(crate) fn until_ready(&mut self) {
        let Some(said) = self.child.stdout.take() else { return };
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with(READY)), "it has ended");
        // Read on, so that it never waits for room.
        thread::spawn(move || lines.for_each(drop));
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is a child of ours");
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        // Its input stays open until it has ended: when that ends, so does it.
        let input = self.child.stdin.take();
        let status = self.child.wait().expect("it is a child of ours");
        drop(input);
        status
    }
}

#[test]
fn the_worker() {
    let Ok(url) = env::var(URL) else { return };
    // Whoever started it is gone: so is this.
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(99);
    });
    let effects = PathBuf::from(env::var_os(EFFECTS).expect("it is said where"));
    let is_clean = tokio::runtime::Runtime::new().expect("a runtime").block_on(run(&url, &effects));
    std::process::exit(if is_clean { 0 } else { 3 });
}

async fn run(url: &str, effects: &Path) -> bool {
    let stop = signals();
    println!("{READY}");
    let effects = Arc::new(Effects::open(effects));
    let Ok(nats) = stop.run(connected(url)).await else { return true };
    let consumer = Consumer::new(nats.consumer("ORDERS", "billing").ack_wait(ACK_WAIT))
        .concurrency(16)
        .max_deliveries(20)
        .backoff(Backoff::new(Duration::from_millis(20)).longest(Duration::from_millis(200)))
        .drain_for(Duration::from_millis(300))
        .grace(Duration::from_secs(1));
    let early = env::var_os(EARLY).is_some();
    let work = move |stop: Stop, message: Message| {
        let effects = Arc::clone(&effects);
        async move {
            if early {
                tokio::spawn(work(stop, message, effects));
                return Ok(());
            }
            work(stop, message, effects).await
        }
    };
    match consumer.run(&stop, work).await {
        Ok(report) => report.is_clean(),
        Err(error) => panic!("{error}"),
    }
}

/// It may be that the server is just being restarted.
async fn connected(url: &str) -> Nats {
    loop {
        match Nats::connect(url).await {
            Ok(nats) => return nats,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn work(stop: Stop, message: Message, effects: Arc<Effects>) -> Result<(), BoxError> {
    let number = message.json::<u64>()?;
    effects.begin(number);
    if is_poison(number) || (number % 50 == 7 && message.deliveries() == 1) {
        return Err("it fails".into());
    }
    sleep(Duration::from_millis(number * 7919 % 80), &stop).await?;
    effects.end(number);
    Ok(())
}

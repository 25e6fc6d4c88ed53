//! A process that runs operations: this program again, as a child.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::{env, thread};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::PATIENCE;

pub(crate) const SETUP: &str = "DESIST_OPS_WORKER";
pub(crate) const READY: &str = "listens to signals";

/// What a process is to be, as it is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) place: Place,
    pub(crate) label: String,
    /// Where it writes what it does.
    pub(crate) log: PathBuf,
    /// What those wait for that wait at a gate.
    pub(crate) gate: PathBuf,
    pub(crate) lease: u64,
    pub(crate) look_every: u64,
    pub(crate) drain_for: u64,
    pub(crate) concurrency: usize,
    pub(crate) push: bool,
    pub(crate) fence: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Place {
    Postgres(String),
    Sqlite(PathBuf),
}

pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    ready: Receiver<()>,
    is_ready: bool,
}

impl Process {
    pub(crate) fn start(setup: &Setup) -> Self {
        let mut command = Command::new(env::current_exe().expect("this program"));
        command
            .args(["worker::the_worker", "--exact", "--quiet", "--nocapture"])
            .env(SETUP, serde_json::to_string(setup).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program");
        let (input, said) = (child.stdin.take(), child.stdout.take().unwrap());
        let (tells, ready) = channel();
        // Read on, so that it never waits for room.
        thread::spawn(move || {
            let lines = BufReader::new(said).lines().map_while(Result::ok);
            // Who is not asked any more does not hear.
            lines.filter(|line| line.ends_with(READY)).for_each(|_| {
                let _ = tells.send(());
            });
        });
        Self { child, input, ready, is_ready: false }
    }

    /// Until it listens to signals: before that a SIGTERM ends it like a SIGKILL.
    pub(crate) fn until_ready(&mut self) {
        if !self.is_ready {
            self.ready.recv_timeout(PATIENCE).expect("it has ended, or does not begin");
            self.is_ready = true;
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is a child of ours");
    }

    /// Asks it to cancel that one; its answer is in its log.
    pub(crate) fn cancels(&mut self, id: impl std::fmt::Display) {
        // It may have been killed.
        let _ = self.input.as_mut().map(|input| writeln!(input, "cancel {id}"));
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        // Its input stays open until it has ended: when that ends, so does it.
        self.child.wait().expect("it is a child of ours")
    }

    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Asked to stop, it says whether it ended well.
    pub(crate) fn term(mut self) -> Option<i32> {
        self.until_ready();
        self.signal(Signal::TERM);
        self.wait().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test has failed; one that has been waited for is not there any more.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

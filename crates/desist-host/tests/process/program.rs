//! This test binary again, as a child that is a host and is sent signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// What the child does, if this is one.
pub(crate) const ROLE: &str = "DESIST_HOST_ROLE";

/// How long a child has to say what it must.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// More than any end takes that comes within its bounds, on a machine that has more to do;
/// and less than what a child would take that waits for what never comes.
pub(crate) const SOON: Duration = Duration::from_secs(6);

pub(crate) struct Program {
    pid: Pid,
    /// The child ends when it is closed.
    stdin: ChildStdin,
    says: mpsc::Receiver<String>,
    said: Vec<String>,
    complained: Option<JoinHandle<String>>,
    ends: mpsc::Receiver<(ExitStatus, Instant)>,
    signalled: Instant,
    is_over: bool,
}

/// A child that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// Since the last signal.
    pub(crate) took: Duration,
    pub(crate) said: Vec<String>,
    /// On standard error.
    pub(crate) complained: String,
}

impl Program {
    /// Starts this test binary again, to do nothing but what `role` names.
    pub(crate) fn start(role: &str) -> Self {
        Self::start_with(role, |command| command)
    }

    /// The same, and all its services have started.
    #[track_caller]
    pub(crate) fn running(role: &str) -> Self {
        let mut program = Self::start(role);
        program.expect("the host is running");
        program
    }

    pub(crate) fn start_with(role: &str, with: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a test binary"));
        command
            .args(["--exact", "the_child", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env_remove("NOTIFY_SOCKET")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self::of(with(&mut command).spawn().expect("a child can be started"))
    }

    fn of(mut child: Child) -> Self {
        let (tell, says) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        // None where the test has something else in its place.
        let complained = child.stderr.take().map(|mut from| {
            std::thread::spawn(move || {
                let mut all = String::new();
                from.read_to_string(&mut all).expect("text");
                all
            })
        });
        let pid = Pid::from_child(&child);
        let stdin = child.stdin.take().expect("it is piped");
        let (tell, ends) = mpsc::channel();
        std::thread::spawn(move || {
            let status = child.wait().expect("it can be waited for");
            tell.send((status, Instant::now()))
        });
        let signalled = Instant::now();
        Self { pid, stdin, says, said: Vec::new(), complained, ends, signalled, is_over: false }
    }

    /// Reads on until the child says this, if it has not said it already.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str) {
        if self.said.iter().any(|said| said == line) {
            return;
        }
        let begin = Instant::now();
        while let Ok(said) = self.says.recv_timeout(PATIENCE.saturating_sub(begin.elapsed())) {
            self.said.push(said);
            if self.said.last().is_some_and(|said| said == line) {
                return;
            }
        }
        panic!("the child ended, or took too long, and never said {line:?}: {:#?}", self.said);
    }

    /// What it waits for in [`word`](crate::word).
    pub(crate) fn word(&mut self) {
        self.stdin.write_all(b"go on\n").expect("it reads");
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        self.signalled = Instant::now();
        kill_process(self.pid, signal).expect("it can be sent");
    }

    /// Signals that come at once are one. That the first has been taken nobody says, so
    /// another is sent until one has ended it.
    pub(crate) fn end_by_another(mut self, signal: Signal) -> Ended {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            // It may be gone already.
            let _ = kill_process(self.pid, signal);
            if let Ok(ended) = self.ends.recv_timeout(PATIENCE / 1000) {
                return self.ended(ended);
            }
        }
        panic!("it does not end: {:#?}", self.said)
    }

    pub(crate) fn end(mut self) -> Ended {
        let ended = self.ends.recv_timeout(PATIENCE);
        let ended = ended.unwrap_or_else(|_| panic!("it does not end: {:#?}", self.said));
        self.ended(ended)
    }

    fn ended(&mut self, (status, at): (ExitStatus, Instant)) -> Ended {
        self.is_over = true;
        self.said.extend(self.says.iter());
        let complained = self.complained.take().map(|all| all.join().expect("it was read"));
        Ended {
            code: status.code(),
            took: at.saturating_duration_since(self.signalled),
            said: std::mem::take(&mut self.said),
            complained: complained.unwrap_or_default(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.is_over && self.ends.try_recv().is_err() {
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}

impl Ended {
    /// With this code, and soon after the last signal.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(self.took < SOON, "{self:#?}");
        self
    }

    /// It said these lines, in this order.
    #[track_caller]
    pub(crate) fn says(&self, lines: &[&str]) {
        let mut said = self.said.iter();
        for line in lines {
            assert!(said.any(|said| said == line), "no {line:?}, or not in this order: {self:#?}");
        }
    }

    /// Nothing that it said has this in it.
    #[track_caller]
    pub(crate) fn never_says(&self, what: &str) {
        assert!(!self.said.iter().any(|said| said.contains(what)), "{what:?} in {self:#?}");
    }

    /// The first line of the report.
    #[track_caller]
    pub(crate) fn verdict(&self) -> &str {
        let verdict = self.complained.lines().find(|line| line.starts_with("the host stopped in"));
        verdict.unwrap_or_else(|| panic!("no report: {self:#?}"))
    }

    /// Its row in the report, without its name.
    #[track_caller]
    pub(crate) fn row(&self, service: &str) -> String {
        let is_row =
            |line: &&str| line.strip_prefix(service).is_some_and(|rest| rest.starts_with("  "));
        let mut lines = self.complained.lines().skip_while(|line| !is_row(line));
        let row = lines.next().unwrap_or_else(|| panic!("no row for {service:?}: {self:#?}"));
        // What there is to say of it stands below.
        let more = lines.take_while(|line| line.starts_with("    "));
        [row].into_iter().chain(more).collect::<Vec<_>>().join("\n")
    }

    /// Its row has this in it.
    #[track_caller]
    pub(crate) fn reports(&self, service: &str, how: &str) {
        assert!(self.row(service).contains(how), "{how:?} of {service:?} in {self:#?}");
    }

    #[track_caller]
    pub(crate) fn is_silent(&self) {
        assert_eq!(self.complained, "", "{self:#?}");
    }
}

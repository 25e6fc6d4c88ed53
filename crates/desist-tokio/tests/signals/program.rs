//! This test binary again, as a child that is sent signals.

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What the child does, if this is one.
pub(super) const ROLE: &str = "DESIST_SIGNALS_ROLE";

/// How long a child has to say what it must.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Program {
    pid: u32,
    /// The child ends when it is closed.
    _stdin: ChildStdin,
    said: mpsc::Receiver<String>,
    pub(super) complained: Option<ChildStderr>,
    ended: mpsc::Receiver<ExitStatus>,
    is_over: bool,
}

impl Program {
    /// Starts this test binary again, to do nothing but what `role` names.
    pub(super) fn start(role: &str) -> Self {
        Self::start_with(role, |command| command)
    }

    pub(super) fn start_with(role: &str, with: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a test binary"));
        command
            .args(["--exact", "the_child", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = with(&mut command).spawn().expect("a child can be started");
        let (tell, said) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        let (pid, _stdin) = (child.id(), child.stdin.take().expect("it is piped"));
        let complained = child.stderr.take();
        let (tell, ended) = mpsc::channel();
        std::thread::spawn(move || tell.send(child.wait().expect("it can be waited for")));
        Self { pid, _stdin, said, complained, ended, is_over: false }
    }

    /// Reads on until the child says something that ends like this.
    pub(super) fn expect(&mut self, line: &str) -> String {
        let begin = Instant::now();
        while let Ok(said) = self.said.recv_timeout(PATIENCE.saturating_sub(begin.elapsed())) {
            if said.ends_with(line) {
                return said;
            }
        }
        panic!("the child ended, or took too long, and never said {line:?}");
    }

    /// Reads on until it has said both, in whichever order.
    pub(super) fn expect_both(&mut self, one: &str, other: &str) {
        let begin = Instant::now();
        let mut left = vec![one, other];
        while !left.is_empty() {
            let patience = PATIENCE.saturating_sub(begin.elapsed());
            let Ok(said) = self.said.recv_timeout(patience) else {
                panic!("the child ended, or took too long, and never said {left:?}");
            };
            left.retain(|line| !said.ends_with(line));
        }
    }

    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid.to_string()]).status();
        assert!(sent.expect("there is a kill").success());
    }

    pub(super) fn end(&mut self) -> ExitStatus {
        let status = self.ended.recv_timeout(PATIENCE).expect("it ends in time");
        self.is_over = true;
        status
    }

    /// What it wrote to standard error, when it has ended with this code.
    pub(super) fn ends_with(mut self, code: i32) -> String {
        let status = self.end();
        let mut error = String::new();
        let complained = self.complained.as_mut().expect("it is piped");
        complained.read_to_string(&mut error).expect("text");
        assert_eq!(status.code(), Some(code), "{error}");
        error
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.is_over && self.ended.try_recv().is_err() {
            self.signal("KILL");
        }
    }
}

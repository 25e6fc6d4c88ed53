//! Real signals to a real process: this program again, as a child.
#![cfg(unix)]
#![allow(clippy::print_stdout)] // The child says what it does.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use desist_tokio::{Signals, TaskGroup, signals};

/// What the child does, if this is one.
const ROLE: &str = "DESIST_SIGNALS_ROLE";

/// How long a child has to say what it must.
const PATIENCE: Duration = Duration::from_secs(30);

struct Program {
    child: Child,
    /// The child ends when it is closed, and `wait` closes it.
    _stdin: ChildStdin,
    said: mpsc::Receiver<String>,
}

impl Program {
    /// Starts this test binary again, to do nothing but what `role` names.
    fn start(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("a test binary"))
            .args(["--exact", "the_child", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child can be started");
        let (tell, said) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        let _stdin = child.stdin.take().expect("it is piped");
        Self { child, _stdin, said }
    }

    /// Reads on until the child says this.
    fn expect(&mut self, line: &str) {
        while let Ok(said) = self.said.recv_timeout(PATIENCE) {
            if said.ends_with(line) {
                return;
            }
        }
        panic!("the child ended, or took too long, and never said {line:?}");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.expect("there is a kill").success());
    }

    fn ends_with(mut self, code: i32) -> String {
        let mut error = String::new();
        self.child.stderr.take().expect("it is piped").read_to_string(&mut error).expect("text");
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.code(), Some(code), "{error}");
        error
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_child() {
    if std::env::var_os(ROLE).is_some() {
        // Whoever started it is gone: so is this.
        std::thread::spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(99);
        });
    }
    match std::env::var(ROLE).as_deref() {
        Ok("default") => watch(signals()),
        Ok("at once") => watch(listening(Signals::new().drain_for(Duration::ZERO))),
        Ok("never") => watch(listening(Signals::new().drain_for(Duration::MAX))),
        Ok("many") => many(),
        Ok("panics") => watch(listening(
            Signals::new().drain_for(Duration::MAX).on_second(|_| panic!("on the way out")),
        )),
        Ok("held") => {
            let held = std::io::stderr().lock();
            let stop = listening(Signals::new().drain_for(Duration::MAX));
            std::mem::forget(held);
            watch(stop);
        }
        Ok("own end") => {
            watch(listening(Signals::new().drain_for(Duration::MAX).on_second(|signal| {
                println!("second: {signal}");
                std::process::exit(7);
            })))
        }
        Ok("gone") => gone(),
        Ok("again") => again(),
        Ok("blocked") => blocked(),
        Ok("drains") => drains(),
        Ok(other) => panic!("no such role: {other}"),
        Err(_) => {}
    }
}

fn listening(signals: Signals) -> desist_tokio::Stop {
    signals.listen().expect("signals can be listened to")
}

fn watch(stop: desist_tokio::Stop) {
    println!("\nready");
    let draining = stop.draining().blocking_wait();
    println!("draining: {}, {}", draining.reason(), draining.detail().expect("the signal"));
    let cancelled = stop.token().blocking_wait();
    println!("cancelled: {}, {}", cancelled.reason(), cancelled.detail().expect("the signal"));
    std::process::exit(0);
}

/// The time to drain is over at once, again and again: every stop must come.
fn many() {
    // Each has a time of its own, for those with the same one share a source.
    let times = (1..=500).map(|micros| Duration::from_micros(500 + micros));
    let stops: Vec<_> = times.map(|time| listening(Signals::new().drain_for(time))).collect();
    println!("\nready");
    for stop in &stops {
        stop.token().blocking_wait();
    }
    println!("all have stopped");
    std::process::exit(0);
}

/// Nobody holds a stop: the ends that were set come all the same, as they were set.
fn gone() {
    for name in ["one", "two"] {
        drop(listening(Signals::new().on_second(move |_| println!("{name} is told"))));
    }
    drop(signals());
    let stop = signals();
    println!("\nready");
    stop.draining().blocking_wait();
    println!("draining");
    loop {
        std::thread::park();
    }
}

/// Who listens after the first signal is asked by the second.
fn again() {
    let first = listening(
        Signals::new().drain_for(Duration::MAX).on_second(|_| println!("the first has its end")),
    );
    println!("\nready");
    first.draining().blocking_wait();
    let second = listening(Signals::new().drain_for(Duration::ZERO));
    println!("listens again: {}", second.is_cancelled());
    let cancelled = second.blocking_wait();
    println!("the second is asked: {}", cancelled.detail().expect("the signal"));
    println!("the first is asked to stop: {}", first.is_cancelled());
    loop {
        std::thread::park();
    }
}

/// Its only worker is blocked for ever, and so is a callback.
fn blocked() {
    let stop = signals();
    stop.draining()
        .on_cancel(|_| {
            println!("the callback blocks");
            loop {
                std::thread::park();
            }
        })
        .detach();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!("\nready");
        loop {
            std::thread::park();
        }
    });
}

/// What an honest service does.
fn drains() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stop = signals();
        let group = TaskGroup::under(&stop);
        group.spawn("service", |stop| async move {
            println!("\nready");
            stop.draining().await;
            println!("drained");
        });
        let ended = group.join().await;
        println!("ended: {}", ended[0]);
        std::process::exit(0);
    });
}

#[test]
fn sigterm_drains_and_then_cancels_with_the_name_of_the_signal() {
    let mut program = Program::start("default");
    program.expect("ready");
    program.signal("TERM");
    program.expect("draining: shutdown, SIGTERM");
    program.expect("cancelled: shutdown, SIGTERM");
    program.ends_with(0);
}

#[test]
fn sigint_does_the_same() {
    let mut program = Program::start("at once");
    program.expect("ready");
    program.signal("INT");
    program.expect("draining: shutdown, SIGINT");
    program.expect("cancelled: shutdown, SIGINT");
    program.ends_with(0);
}

#[test]
fn a_second_signal_ends_the_process_and_says_so() {
    for (first, second, code) in [("TERM", "TERM", 143), ("TERM", "INT", 130), ("INT", "INT", 130)]
    {
        let mut program = Program::start("never");
        program.expect("ready");
        program.signal(first);
        program.expect(&format!("draining: shutdown, SIG{first}"));
        program.signal(second);
        let error = program.ends_with(code);
        assert!(error.contains(&format!("a second signal, SIG{second}")), "{error}");
    }
}

#[test]
fn a_second_signal_does_what_was_set() {
    let mut program = Program::start("own end");
    program.expect("ready");
    program.signal("INT");
    program.expect("draining: shutdown, SIGINT");
    program.signal("TERM");
    program.expect("second: SIGTERM");
    program.ends_with(7);
}

#[test]
fn a_second_signal_ends_the_process_though_nobody_holds_a_stop() {
    let mut program = Program::start("gone");
    program.expect("ready");
    program.signal("INT");
    program.expect("draining");
    program.signal("TERM");
    program.expect("one is told");
    program.expect("two is told");
    program.ends_with(143);
}

#[test]
fn who_listens_after_the_first_signal_is_asked_by_the_second() {
    let mut program = Program::start("again");
    program.expect("ready");
    program.signal("INT");
    program.expect("listens again: false");
    program.signal("TERM");
    program.expect("the second is asked: SIGTERM");
    program.expect("the first is asked to stop: false");
    program.signal("TERM");
    program.ends_with(143);
}

/// What is listened for again and again is kept once.
#[test]
fn a_stop_for_the_signals_that_is_dropped_leaves_nothing() {
    let first = signals();
    for _ in 0..100_000 {
        assert_eq!(signals(), first, "one source serves all with the same time to drain");
    }
}

#[test]
fn a_second_signal_is_heard_where_everything_is_blocked() {
    let mut program = Program::start("blocked");
    program.expect("ready");
    program.signal("TERM");
    program.expect("the callback blocks");
    program.signal("TERM");
    program.ends_with(143);
}

#[test]
fn a_group_under_the_signals_drains() {
    let mut program = Program::start("drains");
    program.expect("ready");
    program.signal("TERM");
    program.expect("drained");
    program.expect("ended: task `service` finished");
    program.ends_with(0);
}

#[test]
fn the_stop_comes_whoever_is_first_when_the_drain_is_over() {
    let mut program = Program::start("many");
    program.expect("ready");
    program.signal("TERM");
    program.expect("all have stopped");
    program.ends_with(0);
}

#[test]
fn a_second_signal_ends_the_process_though_its_end_panics() {
    let mut program = Program::start("panics");
    program.expect("ready");
    program.signal("TERM");
    program.expect("draining: shutdown, SIGTERM");
    program.signal("TERM");
    program.ends_with(143);
}

#[test]
fn a_second_signal_ends_the_process_though_nothing_can_be_said() {
    let mut program = Program::start("held");
    program.expect("ready");
    program.signal("INT");
    program.expect("draining: shutdown, SIGINT");
    program.signal("INT");
    program.ends_with(130);
    // And where nobody reads what it says.
    let mut program = Program::start("never");
    program.expect("ready");
    drop(program.child.stderr.take());
    program.signal("TERM");
    program.expect("draining: shutdown, SIGTERM");
    program.signal("TERM");
    assert_eq!(program.child.wait().expect("it ends").code(), Some(143));
}

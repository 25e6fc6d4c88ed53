//! Real signals to a real process: this program again, as a child.
#![cfg(unix)]
#![allow(clippy::print_stdout)] // The child says what it does.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use desist_tokio::{Signals, TaskGroup, signals};
use program::{Program, ROLE};
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};

#[path = "signals/program.rs"]
mod program;

#[test]
fn the_child() {
    if std::env::var_os(ROLE).is_some_and(|role| role != "no thread") {
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
        Ok("quit") => watch(listening(Signals::new().drain_for(Duration::MAX).with_quit())),
        Ok("quit later") => quit_later(),
        Ok("no quit") => {
            // No core is left lying about.
            let none = Rlimit { current: Some(0), maximum: Some(0) };
            setrlimit(Resource::Core, none).expect("less is always allowed");
            watch(listening(Signals::new().drain_for(Duration::MAX)));
        }
        Ok("many") => many(),
        Ok("bomb at the end") => watch(listening(
            Signals::new().drain_for(Duration::MAX).on_second(|_| std::panic::panic_any(Bomb)),
        )),
        Ok("bomb in a callback") => {
            let stop = listening(Signals::new().drain_for(Duration::from_millis(100)));
            stop.draining().on_cancel(|_| std::panic::panic_any(Bomb)).detach();
            watch(stop);
        }
        Ok("stuck drain") => {
            let stop = listening(Signals::new().drain_for(Duration::from_millis(100)));
            stop.draining()
                .on_cancel(|_| {
                    println!("the drain is stuck");
                    loop {
                        std::thread::park();
                    }
                })
                .detach();
            watch(stop);
        }
        Ok("stuck end") => stuck_end(),
        Ok("stuck exit") => stuck_exit(),
        Ok("no thread") => no_thread(),
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
    let drained = cancelled.at().saturating_duration_since(draining.at());
    println!("{} ms of draining", drained.as_millis());
    println!("cancelled: {}, {}", cancelled.reason(), cancelled.detail().expect("the signal"));
    std::process::exit(0);
}

/// Somebody listens already, and SIGQUIT comes as soon as the `listen` that asks for
/// it has returned.
fn quit_later() {
    let before = listening(Signals::new().drain_for(Duration::MAX));
    let quits = || Signals::new().drain_for(Duration::MAX / 2).with_quit();
    // Asked for twice, it is heard once.
    let stops = [listening(quits()), listening(quits())];
    kill_process(getpid(), Signal::QUIT).expect("it can be sent");
    for stop in stops {
        println!("who asked: {}", stop.draining().blocking_wait().detail().expect("the signal"));
    }
    watch(before);
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

/// What a panic carries, and panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in the payload");
        }
    }
}

/// One end never ends, and others are still heard.
fn stuck_end() {
    let stuck = Signals::new().drain_for(Duration::MAX).on_second(|_| {
        println!("this end is stuck");
        loop {
            std::thread::park();
        }
    });
    let first = listening(stuck);
    println!("\nready");
    first.draining().blocking_wait();
    let second = listening(Signals::new().drain_for(Duration::MAX));
    println!("draining");
    second.draining().blocking_wait();
    println!("the other is asked");
    loop {
        std::thread::park();
    }
}

/// A destructor of the main thread hangs in the exit.
fn stuck_exit() {
    struct Stuck;
    impl Drop for Stuck {
        fn drop(&mut self) {
            println!("the exit hangs");
            loop {
                std::thread::park();
            }
        }
    }
    // The thread that exits runs its destructors.
    thread_local!(static HELD: Stuck = const { Stuck });
    let stop = signals();
    println!("\nready");
    stop.draining().blocking_wait();
    HELD.with(|_| {});
    std::process::exit(0);
}

/// No thread can be had, and the caller is in a runtime.
fn no_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(async { Signals::new().listen().unwrap_err() });
    println!("\nit says: {error}");
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
    let said = program.expect("ms of draining");
    let drained = said.split(' ').next().unwrap().parse().unwrap();
    let drained = Duration::from_millis(drained);
    assert!(drained >= Signals::DRAIN && drained < Signals::DRAIN * 2, "{said}");
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

fn the_second_ends_it(role: &str, pairs: [(&str, &str, i32); 3]) {
    for (first, second, code) in pairs {
        let mut program = Program::start(role);
        program.expect("ready");
        program.signal(first);
        program.expect(&format!("draining: shutdown, SIG{first}"));
        program.signal(second);
        let error = program.ends_with(code);
        assert!(error.contains(&format!("a second signal, SIG{second}")), "{error}");
    }
}

#[test]
fn a_second_signal_ends_the_process_and_says_so() {
    the_second_ends_it("never", [("TERM", "TERM", 143), ("TERM", "INT", 130), ("INT", "INT", 130)]);
}

#[test]
fn sigquit_is_a_signal_as_any_other_where_it_was_chosen() {
    the_second_ends_it(
        "quit",
        [("QUIT", "INT", 130), ("QUIT", "QUIT", 131), ("TERM", "QUIT", 131)],
    );
}

#[test]
fn sigquit_is_heard_at_once_and_by_all_in_a_process_that_listens_already() {
    let mut program = Program::start("quit later");
    program.expect("who asked: SIGQUIT");
    program.expect("who asked: SIGQUIT");
    program.expect("draining: shutdown, SIGQUIT");
    program.signal("QUIT");
    program.ends_with(131);
}

#[test]
fn sigquit_does_what_it_always_did_where_it_was_not_chosen() {
    // What a shell starts in the background may ignore it, and so does its child.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
    if ignored & 1 << (Signal::QUIT.as_raw() - 1) != 0 {
        return;
    }
    let mut program = Program::start("no quit");
    program.expect("ready");
    program.signal("QUIT");
    assert_eq!(program.end().signal(), Some(Signal::QUIT.as_raw()));
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
    program.expect_both("one is told", "two is told");
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
fn a_payload_that_panics_when_it_is_dropped_holds_nothing_up() {
    let mut program = Program::start("bomb at the end");
    program.expect("ready");
    program.signal("TERM");
    program.expect("draining: shutdown, SIGTERM");
    program.signal("TERM");
    program.ends_with(143);
    let mut program = Program::start("bomb in a callback");
    program.expect("ready");
    program.signal("TERM");
    program.expect("draining: shutdown, SIGTERM");
    program.expect("cancelled: shutdown, SIGTERM");
    program.ends_with(0);
}

#[test]
fn the_stop_comes_although_who_is_asked_to_drain_blocks() {
    let mut program = Program::start("stuck drain");
    program.expect("ready");
    program.signal("TERM");
    program.expect_both("the drain is stuck", "cancelled: shutdown, SIGTERM");
    program.ends_with(0);
}

#[test]
fn an_end_that_is_stuck_keeps_nobody_else_from_hearing() {
    let mut program = Program::start("stuck end");
    program.expect("ready");
    program.signal("TERM");
    program.expect("draining");
    program.signal("TERM");
    program.expect_both("this end is stuck", "the other is asked");
    program.signal("TERM");
    program.ends_with(143);
}

#[test]
fn a_second_signal_ends_a_process_that_hangs_in_its_exit() {
    let mut program = Program::start("stuck exit");
    program.expect("ready");
    program.signal("TERM");
    program.expect("the exit hangs");
    program.signal("TERM");
    assert_eq!(program.end().signal(), Some(9), "nothing else ends it");
}

#[test]
fn where_no_thread_can_be_had_it_is_said() {
    // More stack than there is address space.
    let size = (1_u64 << 47).to_string();
    let mut program =
        Program::start_with("no thread", |command| command.env("RUST_MIN_STACK", size));
    program.expect("it says: Resource temporarily unavailable (os error 11)");
    program.ends_with(0);
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
    drop(program.complained.take());
    program.signal("TERM");
    program.expect("draining: shutdown, SIGTERM");
    program.signal("TERM");
    assert_eq!(program.end().code(), Some(143));
}

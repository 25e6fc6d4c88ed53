//! Writers that are slow, or fail, and outsiders who hold the pipes.

use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use desist::{Source, Token};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::Sleep;

use super::{Command, Ending, SOON, lives, numbers, script};
use crate::common::{self, PATIENCE, on_both};

/// Takes so much, after so long, each time, until it fails.
struct Slow {
    pause: Duration,
    most: usize,
    sleeps: Option<Pin<Box<Sleep>>>,
    taken: Arc<AtomicUsize>,
    fails_after: usize,
}

impl Slow {
    fn new(pause: Duration, most: usize) -> (Self, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let slow =
            Self { pause, most, sleeps: None, taken: Arc::clone(&taken), fails_after: usize::MAX };
        (slow, taken)
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let pause = self.pause;
        let sleeps = self.sleeps.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        ready!(sleeps.as_mut().poll(cx));
        self.sleeps = None;
        if self.taken.load(Ordering::SeqCst) >= self.fails_after {
            return Poll::Ready(Err(io::Error::other("the disk is full")));
        }
        let taken = bytes.len().min(self.most);
        self.taken.fetch_add(taken, Ordering::SeqCst);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// They go when the test does.
struct Outsider(i32);

impl Drop for Outsider {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_raw(self.0).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
    }
}

/// Begins `outside` in a group of its own, and goes on when that is there.
fn with_outsider(outside: &str, then: &str) -> (Command, mpsc::Receiver<Outsider>) {
    let (reads, mut writes) = common::pipe();
    let (tell, told) = mpsc::channel();
    let begins = format!("setsid sh -c 'echo $$ >&2; {outside}' & read line; {then}");
    let command = script(&begins).stdin(reads).each_stderr(move |said| {
        let number = numbers(said)[0];
        tell.send(Outsider(i32::try_from(number).unwrap())).unwrap();
        writes.write_all(b"go\n").unwrap();
    });
    (command, told)
}

on_both! {
    /// Longer than the pipes are read when everybody is gone.
    async fn one_writer_that_is_slow_loses_nothing_beside_one_that_is_not() {
        let (ours, mut reader) = tokio::io::duplex(16);
        let command = script("head -c 4000 /dev/zero; echo said >&2");
        let command = command.stdout_to(ours).stderr_to(tokio::io::sink());
        let token = Token::never();
        let reads = async {
            let (mut read, mut piece) = (0, [0; 64]);
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                match reader.read(&mut piece).await.unwrap() {
                    0 => return read,
                    more => read += more,
                }
            }
        };
        let (exit, read) = tokio::join!(command.run(&token, PATIENCE), reads);
        let exit = exit.unwrap();
        assert_eq!((read, exit.is_complete()), (4_000, true));
        assert!(exit.success().is_ok());
    }

    /// It takes a little, again and again, and never nothing for a second.
    async fn a_writer_that_goes_on_is_waited_for_after_a_stop() {
        let (slow, taken) = Slow::new(Duration::from_millis(100), 1_000);
        let source = Source::new();
        let asks = source.clone();
        let command = script("head -c 20000 /dev/zero; echo ready >&2; sleep 600");
        let command = command.stdout_to(slow).each_stderr(move |_| {
            asks.cancel();
        });
        let exit = command.run(&source.token(), PATIENCE).await.unwrap();
        assert_eq!((taken.load(Ordering::SeqCst), exit.is_complete()), (20_000, true), "{exit}");
    }

    async fn what_a_writer_does_not_take_in_the_grace_is_lost_and_said() {
        let (mut slow, _taken) = Slow::new(Duration::ZERO, 1_000);
        slow.fails_after = 1;
        let source = Source::new();
        let asks = source.clone();
        let cleans = "trap 'echo bye; exit 0' TERM; echo ready; echo ready >&2; \
                      while :; do sleep 0.01; done";
        let command = script(cleans).stdout_to(slow).each_stderr(move |_| {
            asks.cancel();
        });
        let exit = command.run(&source.token(), PATIENCE).await.unwrap();
        assert_eq!(exit.status().code(), Some(0), "it had its grace");
        assert!(!exit.is_complete() && exit.success().is_err());
    }

    /// After a stop nobody waits for ever for one that takes nothing.
    async fn a_writer_that_takes_nothing_after_a_stop_is_given_up() {
        let (ours, _reader) = tokio::io::duplex(16);
        let source = Source::new();
        let asks = source.clone();
        let command = script("head -c 1000 /dev/zero; echo $$ >&2").stdout_to(ours);
        let command = command.each_stderr(move |said| {
            let (pid, asks) = (numbers(said)[0], asks.clone());
            std::thread::spawn(move || {
                while lives(pid) {
                    std::thread::yield_now();
                }
                asks.cancel();
            });
        });
        let exit = command.run(&source.token(), PATIENCE).await.unwrap();
        assert!(matches!(exit.ending(), Ending::Finished) && !exit.is_complete(), "{exit}");
        let error = exit.success().unwrap_err();
        assert!(error.to_string().contains("some of its output was not passed on"), "{error}");
    }

    /// That somebody holds the pipe does not hide it.
    async fn a_failure_is_told_also_where_the_pipe_is_held() {
        let (mut slow, _taken) = Slow::new(Duration::from_millis(200), 1_000);
        slow.fails_after = 0;
        let (held, told) = with_outsider("exec sleep 600", "echo out");
        let error = held.stdout_to(slow).run(&Token::never(), SOON).await.unwrap_err();
        assert!(error.to_string().ends_with("its output is lost in part"), "{error}");
        drop(told.recv().unwrap());
    }

    /// Silent for less than a second, and never done.
    async fn an_outsider_who_says_a_little_again_and_again_holds_nobody_up() {
        for stops in [false, true] {
            let source = Source::new();
            let then = if stops { "echo ready; sleep 600" } else { "echo ready" };
            let (command, told) = with_outsider("while :; do echo tick; sleep 0.3; done", then);
            let asks = source.clone();
            let mut said = Vec::new();
            let command = command.each_stdout(move |piece| {
                said.extend_from_slice(piece);
                if stops && said.windows(5).any(|word| word == b"ready") {
                    asks.cancel();
                }
            });
            let exit = tokio::time::timeout(PATIENCE, command.run(&source.token(), SOON)).await;
            let exit = exit.expect("it comes to its end").unwrap();
            drop(told.recv().unwrap());
            assert!(!exit.is_complete(), "{exit}");
            assert_eq!(exit.success().is_ok(), !stops, "what was its own is there");
        }
    }

    /// Nor does one who says as much as he can, and no memory is filled with it.
    async fn an_outsider_who_says_much_holds_nobody_up_and_is_not_collected() {
        let (command, told) = with_outsider("exec yes", "exit 0");
        let exit = tokio::time::timeout(PATIENCE, command.run(&Token::never(), SOON)).await;
        let exit = exit.expect("it comes to its end").unwrap();
        drop(told.recv().unwrap());
        assert!(!exit.is_complete(), "{exit}");
        // As much as came before the leader had ended, and then no more than that.
        assert!(exit.stdout().len() < 64 << 20, "{} bytes", exit.stdout().len());
    }

    /// Both are read in turn.
    async fn a_flood_on_the_one_output_does_not_drown_the_other() {
        let source = Source::new();
        let asks = source.clone();
        let command = script("(sleep 0.3; echo ready >&2) & exec yes");
        // It has always more to read than it is given time for.
        let command = command.each_stdout(|_| busy(Duration::from_millis(4)));
        let exit = command.each_stderr(move |_| {
            asks.cancel();
        });
        let exit = tokio::time::timeout(PATIENCE, exit.run(&source.token(), SOON)).await;
        let exit = exit.expect("it was heard").unwrap();
        assert!(exit.is_complete(), "{exit}");
    }
}

fn busy(pause: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < pause {
        std::hint::spin_loop();
    }
}

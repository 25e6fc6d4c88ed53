//! Real processes: they stop when asked, and leave nobody behind.
#![cfg(unix)]

#[path = "process/apart.rs"]
mod apart;
mod common;
#[path = "process/pipes.rs"]
mod pipes;

use std::fs;
use std::future::{Future, poll_fn};
use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use common::{PATIENCE, on_both, poll_once};
use desist::{Reason, Source, Token, find_cancelled};
use desist_tokio::command;
use desist_tokio::process::{Command, Ending, Exit};

const SOON: Duration = Duration::from_millis(30);

fn script(script: &str) -> Command {
    command("sh").args(["-c", script])
}

/// Runs it, and asks it to stop when it has said `ready`.
async fn stopped_when_ready(command: Command, grace: Duration) -> Exit {
    let source = Source::new();
    let asks = source.clone();
    let mut said = Vec::new();
    let command = command.each_stdout(move |piece| {
        said.extend_from_slice(piece);
        if said.windows(5).any(|word| word == b"ready") {
            asks.cancel_with(Reason::Shutdown);
        }
    });
    command.run(&source.token(), grace).await.expect("it is started")
}

/// Whether that process lives, and is no zombie.
fn lives(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z' && state != 'X')
}

/// As the system calls it: R, S, T, Z.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Whether it is still in the table of processes, dead or alive.
fn is_listed(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn numbers(said: &[u8]) -> Vec<u32> {
    let said = String::from_utf8(said.to_vec()).unwrap();
    said.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

on_both! {
    async fn one_that_ends_by_itself_has_its_status_and_what_it_said() {
        let exit = script("echo out; echo err >&2; exit 3").run(&Token::never(), SOON).await.unwrap();
        assert!(matches!(exit.ending(), Ending::Finished));
        assert_eq!(exit.status().code(), Some(3));
        assert_eq!((exit.stdout(), exit.stderr()), (&b"out\n"[..], &b"err\n"[..]));
        assert!(exit.is_complete());
        let error = exit.success().unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed, exit status: 3: err");
        assert!(find_cancelled(&error).is_none());
    }

    async fn one_that_heeds_the_request_is_stopped_and_not_killed() {
        let script = script("trap 'echo bye >&2; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
        let exit = stopped_when_ready(script, PATIENCE).await;
        let Ending::Stopped(why) = exit.ending() else { panic!("{exit}") };
        assert_eq!(why.reason(), Reason::Shutdown);
        // Its own child was asked as well, which it may mention.
        assert!(exit.status().code() == Some(0) && exit.stderr().ends_with(b"bye\n"));
        let error = exit.success().unwrap_err();
        assert_eq!(error.to_string(), "`sh` stopped when it was asked to, exit status: 0: bye");
        assert_eq!(find_cancelled(&error).unwrap().reason(), Reason::Shutdown);
    }

    async fn one_that_ignores_the_request_is_killed_after_the_grace() {
        use std::os::unix::process::ExitStatusExt;
        let begin = Instant::now();
        let exit = stopped_when_ready(
            script("trap '' TERM; echo ready; while :; do sleep 0.01; done"),
            SOON,
        )
        .await;
        assert!(matches!(exit.ending(), Ending::Killed(_)), "{exit}");
        assert_eq!(exit.status().signal(), Some(9));
        assert!(begin.elapsed() >= SOON);
        let said = exit.success().unwrap_err().to_string();
        assert!(said.contains("did not stop within its grace and was killed"), "{said}");
    }

    /// A stopped process hears nothing before it goes on.
    async fn one_that_is_suspended_hears_the_request() {
        let (tell, told) = mpsc::channel::<Vec<u8>>();
        let source = Source::new();
        let asks = source.clone();
        std::thread::spawn(move || {
            let pid = numbers(&told.recv().unwrap())[0];
            while state(pid) != Some('T') {
                std::thread::yield_now();
            }
            asks.cancel();
        });
        let command = script("echo $$; kill -STOP $$; exec sleep 600")
            .each_stdout(move |piece| tell.send(piece.to_vec()).unwrap());
        let exit = command.run(&source.token(), PATIENCE).await.unwrap();
        assert!(matches!(exit.ending(), Ending::Stopped(_)), "{exit}");
    }

    /// However slow whoever reads it is.
    async fn what_is_passed_on_comes_whole_after_the_end() {
        use tokio::io::AsyncReadExt;
        let (writer, mut reader) = tokio::io::duplex(64);
        let reads = tokio::spawn(async move {
            let (mut read, mut piece) = (Vec::new(), [0; 256]);
            loop {
                tokio::time::sleep(Duration::from_millis(25)).await;
                match reader.read(&mut piece).await.unwrap() {
                    0 => return read,
                    some => read.extend_from_slice(&piece[..some]),
                }
            }
        });
        let exit = script("seq 1 1500").stdout_to(writer).run(&Token::never(), PATIENCE).await.unwrap();
        assert!(exit.is_complete());
        let expected: String = (1..=1500).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(reads.await.unwrap()).unwrap(), expected);
    }

    /// Whoever reads goes with the stop, and the command has its grace all the same.
    async fn a_reader_that_goes_with_the_stop_takes_no_grace_away() {
        let (writer, mut reader) = tokio::io::duplex(64);
        let folder = common::folder();
        let done = folder.path().join("done");
        let source = Source::new();
        let asks = source.clone();
        tokio::spawn(async move {
            use tokio::io::AsyncReadExt;
            let mut read = Vec::new();
            while !read.ends_with(b"ready\n") {
                assert!(reader.read_buf(&mut read).await.unwrap() > 0);
            }
            asks.cancel_with(Reason::Disconnected);
            drop(reader);
        });
        let cleans = format!(
            "trap 'echo much; sleep 0.1; echo more; touch {}; exit 0' TERM; echo ready; while :; do sleep 0.01; done",
            done.display()
        );
        let exit = script(&cleans).stdout_to(writer).run(&source.token(), PATIENCE).await.unwrap();
        let Ending::Stopped(why) = exit.ending() else { panic!("{exit}") };
        assert_eq!(why.reason(), Reason::Disconnected);
        assert!(done.exists() && exit.status().success());
    }

    /// It had ended when the request came, and nobody had looked yet.
    async fn one_that_has_ended_before_it_is_asked_has_finished() {
        let source = Source::new();
        let token = source.token();
        let (tell, told) = mpsc::channel();
        let (reads, says) = common::pipe();
        let command = script("echo $$; read line; exit 7")
            .stdin(reads)
            .each_stdout(move |piece| tell.send(piece.to_vec()).unwrap());
        let mut run = pin!(command.run(&token, PATIENCE));
        let mut pids = Vec::new();
        while pids.is_empty() {
            assert!(poll_once(run.as_mut()).is_pending());
            pids.extend(told.try_iter().flat_map(|piece| numbers(&piece)));
            tokio::task::yield_now().await;
        }
        drop(says);
        // This thread is busy until the child is a zombie.
        while state(pids[0]) != Some('Z') {
            std::thread::yield_now();
        }
        source.cancel();
        let exit = run.await.unwrap();
        assert!(matches!(exit.ending(), Ending::Finished), "{exit}");
        assert_eq!(exit.status().code(), Some(7));
    }

    /// What was given to the child is not held by us.
    async fn a_pipe_that_was_given_ends_when_the_child_closes_it() {
        use std::io::Read;
        let (mut reader, writer) = common::pipe();
        let (mut told, says) = common::pipe();
        let token = Token::never();
        let command = script("exec >&-; read line").stdout(writer).stdin(told.try_clone().unwrap());
        let reads = tokio::task::spawn_blocking(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            // Only now the child may end.
            drop(says);
        });
        let exit = command.run(&token, PATIENCE).await.unwrap();
        reads.await.unwrap();
        assert!(matches!(exit.ending(), Ending::Finished));
        let _ = told.read(&mut [0; 1]).unwrap();
    }

    async fn output_is_told_in_large_pieces() {
        let (tell, told) = mpsc::channel();
        let command = script("head -c 4000000 /dev/zero").each_stdout(move |piece| tell.send(piece.len()).unwrap());
        let _ = command.run(&Token::never(), PATIENCE).await.unwrap();
        let pieces: Vec<_> = told.iter().collect();
        assert_eq!(pieces.iter().sum::<usize>(), 4_000_000);
        assert!(pieces.len() < 4_000, "{}", pieces.len());
    }

    async fn whoever_it_forked_is_asked_and_killed_with_it() {
        // The leader goes at once; of its two children one heeds and one does not.
        let folder = common::folder();
        let family = "mkfifo deaf; \
                      (trap '' TERM; echo > deaf; while :; do sleep 0.01; done) & echo $!; \
                      sh -c 'trap \"exit 0\" TERM; while :; do sleep 0.01; done' & echo $!; \
                      read line < deaf; echo ready; wait";
        let (tell, told) = mpsc::channel();
        let source = Source::new();
        let asks = source.clone();
        let command = script(family).current_dir(folder.path()).each_stdout(move |piece| {
            tell.send(piece.to_vec()).unwrap();
            if piece.windows(5).any(|word| word == b"ready") {
                asks.cancel();
            }
        });
        let exit = command.run(&source.token(), SOON * 5).await.unwrap();
        assert!(matches!(exit.ending(), Ending::Killed(_)), "{exit}");
        let pids = numbers(&told.iter().flatten().collect::<Vec<_>>());
        assert!(pids.len() >= 2, "{pids:?}");
        common::until("all of them are gone", || !pids.iter().any(|pid| lives(*pid))).await;
    }

    /// The leader is gone at once, and the rest of the group has the grace all the same.
    async fn the_rest_of_the_group_has_the_grace() {
        let folder = common::folder();
        let done = folder.path().join("done");
        let family = format!(
            "sh -c 'trap \"sleep 0.1; touch {}; exit 0\" TERM; echo ready; while :; do sleep 0.01; done' & wait",
            done.display()
        );
        let exit = stopped_when_ready(script(&family), PATIENCE).await;
        if cfg!(target_os = "linux") {
            assert!(matches!(exit.ending(), Ending::Stopped(_)), "{exit}");
            assert!(done.exists(), "it had the time to clean up");
        }
    }

    async fn whoever_is_left_in_the_group_goes_with_one_that_ends_by_itself() {
        let exit = script("sleep 600 & echo $!").run(&Token::never(), PATIENCE).await.unwrap();
        assert!(exit.status().success() && exit.is_complete(), "{exit}");
        let [pid] = numbers(exit.stdout())[..] else { panic!("{exit}") };
        common::until("it is gone", || !lives(pid)).await;
    }

    /// As a daemon does: it is not ours to kill, and does not hold us up by our pipe.
    async fn one_that_leaves_the_group_is_outside_and_holds_nobody_up() {
        let folder = common::folder();
        // It says that it has left before the leader ends.
        let daemon = "mkfifo left; setsid sh -c 'echo > left; exec sleep 60' & echo $!; read line < left";
        let daemon = script(daemon).current_dir(folder.path());
        let exit = daemon.run(&Token::never(), PATIENCE).await.unwrap();
        assert!(exit.status().success(), "{exit}");
        assert!(!exit.is_complete(), "it holds the pipe");
        let [pid] = numbers(exit.stdout())[..] else { panic!("{exit}") };
        assert!(lives(pid));
        let killed = command("kill").arg(pid.to_string()).run(&Token::never(), PATIENCE).await;
        assert!(killed.unwrap().status().success());
    }

    async fn a_run_that_is_dropped_kills_and_reaps() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let family = "trap '' TERM; echo $$; (trap '' TERM; sleep 600) & echo $!; echo ready; wait";
        let command = script(family)
            .each_stdout(move |piece| heard.lock().unwrap().extend_from_slice(piece));
        let token = Token::never();
        {
            let mut run = pin!(command.run(&token, PATIENCE));
            poll_fn(|cx| {
                assert!(run.as_mut().poll(cx).is_pending());
                let is_ready = said.lock().unwrap().ends_with(b"ready\n");
                if is_ready { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        let pids = numbers(&said.lock().unwrap());
        common::until("all are gone", || !pids.iter().any(|pid| lives(*pid))).await;
        common::until("the leader is reaped", || !is_listed(pids[0])).await;
    }

    async fn one_that_is_asked_before_it_is_started_is_not_started() {
        let token = Token::cancelled_with(Reason::Disconnected);
        let folder = common::folder();
        let trace = folder.path().join("trace");
        let error = command("touch").arg(&trace).run(&token, PATIENCE).await.unwrap_err();
        assert_eq!(find_cancelled(&error).unwrap().reason(), Reason::Disconnected);
        assert_eq!(error.to_string(), "`touch` was not started, for the stop had been asked for");
        assert!(!trace.exists());
        assert!(find_cancelled(&io::Error::from(error)).is_some());
    }

    async fn what_cannot_be_started_says_why() {
        let folder = common::folder();
        let plain = folder.path().join("plain");
        fs::write(&plain, "#!/bin/sh\n").unwrap();
        let lost = folder.path().join("no such folder");
        for (command, said, kind) in [
            (command("/no/such/program"), "could not be started", io::ErrorKind::NotFound),
            (command(&plain), "could not be started", io::ErrorKind::PermissionDenied),
            (
                command("true").current_dir(&lost),
                "could not be started, for what it was to work in is no folder",
                io::ErrorKind::NotFound,
            ),
        ] {
            let error = command.run(&Token::never(), SOON).await.unwrap_err();
            assert!(error.to_string().ends_with(said), "{error}");
            assert_eq!(io::Error::from(error).kind(), kind);
        }
    }

    /// Far more than pipes hold, both ways at once.
    async fn much_goes_in_and_comes_out() {
        let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_ne_bytes).collect();
        let exit = script("tee /dev/stderr").input(bytes.clone()).run(&Token::never(), PATIENCE).await.unwrap();
        assert!(exit.stdout() == bytes && exit.stderr() == bytes && exit.is_complete());
    }

    async fn input_that_it_does_not_want_is_no_error() {
        let exit = command("true").input(vec![0; 1 << 20]).run(&Token::never(), PATIENCE).await.unwrap();
        assert!(exit.status().success());
    }

    async fn what_is_streamed_comes_as_it_is_written_and_is_not_collected() {
        let (writer, mut reader) = tokio::io::duplex(64);
        let source = Source::new();
        let asks = source.clone();
        let reads = tokio::spawn(async move {
            use tokio::io::AsyncReadExt;
            let mut read = Vec::new();
            while !read.ends_with(b"ready\n") {
                assert!(reader.read_buf(&mut read).await.unwrap() > 0);
            }
            asks.cancel();
            // It is shut down at the end.
            reader.read_to_end(&mut read).await.unwrap();
            read
        });
        let command = script("trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.01; done");
        let exit = command.stdout_to(writer).run(&source.token(), PATIENCE).await.unwrap();
        assert_eq!(reads.await.unwrap(), b"ready\nbye\n");
        assert_eq!(exit.stdout(), b"");
    }

    async fn a_writer_that_fails_ends_the_command() {
        struct Full;
        impl tokio::io::AsyncWrite for Full {
            fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
                Poll::Ready(Err(io::ErrorKind::StorageFull.into()))
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
        let command = script("echo $$ >&2; echo out; sleep 600").stdout_to(Full);
        let error = command.run(&Token::never(), PATIENCE).await.unwrap_err();
        assert_eq!(error.to_string(), "`sh` was killed, for what it wrote could not be passed on");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::StorageFull);
    }

    async fn a_grace_of_zero_kills_at_once() {
        let exit = stopped_when_ready(script("trap '' TERM; echo ready; sleep 600"), Duration::ZERO).await;
        assert!(matches!(exit.ending(), Ending::Killed(_)), "{exit}");
    }

    /// Nothing is asked of a run that nobody polls; and one is enough to start it.
    async fn it_is_started_by_its_first_poll() {
        let folder = common::folder();
        let trace = folder.path().join("trace");
        let token = Token::never();
        let mut run = pin!(command("touch").arg(&trace).run(&token, PATIENCE));
        assert!(!trace.exists());
        let ended = match poll_once(run.as_mut()) {
            Poll::Ready(ended) => ended,
            Poll::Pending => run.await,
        };
        ended.unwrap().success().unwrap();
        assert!(trace.exists());
    }
}

/// The grace is real time: a process knows no other.
#[tokio::test(start_paused = true)]
async fn a_paused_runtime_does_not_shorten_the_grace() {
    let script = script("trap 'sleep 0.1; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    let exit = stopped_when_ready(script, PATIENCE).await;
    assert!(matches!(exit.ending(), Ending::Stopped(_)), "{exit}");
}

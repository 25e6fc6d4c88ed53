//! In processes of their own, for others have children, too.

use std::fs;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use desist::Token;
use desist_tokio::command;

use super::{SOON, is_listed, numbers, script, state, stopped_when_ready};
use crate::common::{self, PATIENCE, poll_once};

/// Nothing is left of a hundred runs of every kind: no process, no descriptor.
#[test]
#[cfg(target_os = "linux")]
fn a_hundred_runs_leave_no_zombie_and_no_descriptor() {
    // In a process of its own, for other tests have children, too.
    const ROLE: &str = "DESIST_PROCESS_ROLE";
    if std::env::var_os(ROLE).is_none() {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "apart::a_hundred_runs_leave_no_zombie_and_no_descriptor",
            "--nocapture",
        ]);
        let output = command.env(ROLE, "counts").stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        return;
    }
    let runtime = common::multi_thread();
    let one_round = || async {
        let token = Token::never();
        let _ = script("exit 1").run(&token, SOON).await.unwrap();
        let _ = command("/no/such/program").run(&token, SOON).await.unwrap_err();
        let _ = stopped_when_ready(script("echo ready; sleep 600"), PATIENCE).await;
        let _ =
            stopped_when_ready(script("trap '' TERM; echo ready; sleep 600"), Duration::ZERO).await;
        let mut dropped = Box::pin(script("sleep 600").run(&token, SOON));
        assert!(poll_once(dropped.as_mut()).is_pending());
    };
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let children = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let lists = tasks.filter_map(Result::ok).map(|task| task.path().join("children"));
        lists.filter_map(|list| fs::read_to_string(list).ok()).collect::<String>()
    };
    runtime.block_on(one_round());
    let before = open();
    for _ in 0..20 {
        runtime.block_on(one_round());
    }
    runtime.block_on(common::until("no child is left", || children().trim().is_empty()));
    assert_eq!(open(), before);
}

/// In a container we are who has to reap: nobody else does.
#[test]
#[cfg(target_os = "linux")]
fn where_orphans_are_ours_none_is_left_a_zombie() {
    const ROLE: &str = "DESIST_SUBREAPER_ROLE";
    if std::env::var_os(ROLE).is_none() {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "apart::where_orphans_are_ours_none_is_left_a_zombie",
            "--nocapture",
        ]);
        let output = command.env(ROLE, "reaps").stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let runtime = common::current_thread();
    runtime.block_on(async {
        let exit = script("sleep 600 & echo $!").run(&Token::never(), PATIENCE).await.unwrap();
        let [pid] = numbers(exit.stdout())[..] else { panic!("{exit}") };
        assert!(!is_listed(pid), "it is {:?}", state(pid));
        // And of a run that is dropped.
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let command = script("sleep 600 & echo $!; wait")
            .each_stdout(move |piece| heard.lock().unwrap().extend_from_slice(piece));
        let token = Token::never();
        {
            let mut run = pin!(command.run(&token, PATIENCE));
            poll_fn(|cx| {
                assert!(run.as_mut().poll(cx).is_pending());
                let said = said.lock().unwrap().ends_with(b"\n");
                if said { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        let pid = numbers(&said.lock().unwrap())[0];
        common::until("it is reaped", || !is_listed(pid)).await;
    });
}

/// Started where children are not told of, as some supervisors do.
#[test]
fn where_the_end_of_children_was_ignored_they_are_waited_for_all_the_same() {
    const ROLE: &str = "DESIST_IGNORED_ROLE";
    if std::env::var_os(ROLE).is_none() {
        for _ in 0..5 {
            let mut command = std::process::Command::new("sh");
            command
                .args(["-c", "trap '' CHLD; exec \"$@\"", "sh"])
                .arg(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "apart::where_the_end_of_children_was_ignored_they_are_waited_for_all_the_same",
                    "--nocapture",
                ]);
            let output = command.env(ROLE, "runs").stdin(Stdio::null()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        return;
    }
    common::current_thread().block_on(async {
        let exit = command("true").run(&Token::never(), PATIENCE).await.unwrap();
        assert!(exit.status().success());
    });
}

//! A child and whoever is in its process group.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use desist::Source;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::signal::unix::{self, SignalKind};

/// How long those that were killed are waited for, where they are ours to reap.
const PATIENCE: Duration = Duration::from_secs(5);

/// The leader is not reaped as long as this is there and not asked to reap it, so its
/// number, and that of its group, is nobody else's.
///
/// Dropped, it kills the group, and has the leader reaped.
pub(super) struct Family {
    /// `None`: it is reaped.
    leader: Option<Child>,
    pid: Pid,
    /// Tells that a child of ours has ended, whichever.
    ended: unix::Signal,
}

impl Family {
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        // Before there is a child: one that is quick is not missed, nor reaped by the
        // system where the signal was ignored.
        let ended = unix::signal(SignalKind::child())?;
        let mut leader = command.process_group(0).spawn()?;
        let Some(pid) = i32::try_from(leader.id()).ok().and_then(Pid::from_raw) else {
            let _killed = leader.kill();
            let _reaped = leader.wait();
            return Err(io::Error::other("the system gave it a number that is none"));
        };
        Ok(Self { leader: Some(leader), pid, ended })
    }

    pub(super) fn leader(&mut self) -> Option<&mut Child> {
        self.leader.as_mut()
    }

    /// Whether the leader has ended; it is not reaped.
    pub(super) fn has_gone(&mut self) -> io::Result<bool> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let looked = waitid(WaitId::Pid(self.pid), look);
        if matches!(looked, Err(rustix::io::Errno::CHILD)) {
            // Somebody else has reaped it: its number may be a stranger's by now.
            self.leader = None;
        }
        Ok(looked?.is_some())
    }

    /// Waits until the leader has ended; it is not reaped.
    pub(super) async fn exited(&mut self) -> io::Result<()> {
        while !self.has_gone()? {
            if self.ended.recv().await.is_none() {
                return Err(io::Error::other("the runtime does not tell of children any more"));
            }
        }
        Ok(())
    }

    /// One that is stopped must go on to hear it.
    pub(super) fn ask(&mut self) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    pub(super) fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    fn signal(&mut self, signal: Signal) {
        // Somebody else may have reaped it.
        let _gone = self.has_gone();
        if self.leader.is_some() {
            // It fails only where all of them have other rights by now.
            let _sent = kill_process_group(self.pid, signal);
        }
    }

    /// Waits until nobody in the group lives. The leader has ended.
    pub(super) async fn until_empty(&self) {
        let mut pause = Duration::from_millis(1);
        while self.has_members() {
            // There is no event to wait for: they are not our children.
            Source::with_timeout(pause).token().await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Whether anybody lives in the group. The leader has ended.
    pub(super) fn has_members(&self) -> bool {
        members::any_lives(self.pid)
    }

    /// Where orphans become our children, as in a container, those of the group are
    /// reaped. The leader has ended, and is not.
    pub(super) async fn until_adopted_are_reaped(&self) {
        if !members::are_adopted() {
            return;
        }
        let limit = Source::with_timeout(PATIENCE).token();
        let _all_gone = limit.run(self.until_empty()).await;
        members::reap(self.pid);
    }

    /// Reaps the leader, which has ended, or was killed: from now on nobody is signalled.
    pub(super) fn reap(&mut self) -> io::Result<ExitStatus> {
        let Some(mut leader) = self.leader.take() else {
            return Err(io::Error::other("it is reaped already"));
        };
        leader.wait()
    }
}

/// Who else is in a group, where the system tells.
#[cfg(target_os = "linux")]
mod members {
    use std::fs;

    use rustix::process::{Pid, WaitId, WaitIdOptions, child_subreaper, getpid, waitid};

    pub(super) fn any_lives(group: Pid) -> bool {
        of(group).any(|member| !member.is_gone)
    }

    pub(super) struct Member {
        pid: i32,
        pub(super) is_gone: bool,
    }

    fn of(group: Pid) -> impl Iterator<Item = Member> {
        let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        processes.filter_map(move |process| {
            let is_number = process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
            let stat = is_number.then(|| fs::read(process.path().join("stat")).ok()).flatten()?;
            member(&stat, group.as_raw_nonzero().get())
        })
    }

    /// Of a line of `/proc/PID/stat`: the number, the name in parentheses, in which may
    /// be anything, the state, the parent, the group.
    pub(super) fn member(stat: &[u8], group: i32) -> Option<Member> {
        let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
        let number = stat.split(|byte| *byte == b' ').next()?;
        let pid = std::str::from_utf8(number).ok()?.parse().ok()?;
        let rest = std::str::from_utf8(&stat[name_ends + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let is_gone = matches!(fields.next()?, "Z" | "X");
        let its_group = fields.nth(1)?.parse::<i32>().ok()?;
        (its_group == group).then_some(Member { pid, is_gone })
    }

    pub(super) fn are_adopted() -> bool {
        getpid().is_init() || child_subreaper().is_ok_and(|reaper| reaper.is_some())
    }

    /// Those that have ended; the leader is left.
    pub(super) fn reap(group: Pid) {
        for member in of(group).filter(|member| member.is_gone) {
            let pid = Pid::from_raw(member.pid).filter(|pid| *pid != group);
            if let Some(pid) = pid {
                let _reaped =
                    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
            }
        }
    }
}

/// The system does not tell: the rest is killed when the leader has ended.
#[cfg(not(target_os = "linux"))]
mod members {
    use rustix::process::Pid;

    pub(super) fn any_lives(_: Pid) -> bool {
        false
    }

    pub(super) fn are_adopted() -> bool {
        false
    }

    pub(super) fn reap(_: Pid) {}
}

impl Drop for Family {
    fn drop(&mut self) {
        self.kill();
        let Some(mut leader) = self.leader.take() else { return };
        let (pid, are_adopted) = (self.pid, members::are_adopted());
        if !are_adopted && matches!(leader.try_wait(), Ok(Some(_))) {
            return;
        }
        // It takes the kernel a moment, and whoever drops this must not wait for it.
        let reaper = thread::Builder::new().name("desist-reaper".into());
        let (hand_over, handed_over) = std::sync::mpsc::channel::<Child>();
        let begun = reaper.spawn(move || {
            if let Ok(leader) = handed_over.recv() {
                reap_all(leader, pid, are_adopted);
            }
        });
        if begun.is_ok() {
            let _handed_over = hand_over.send(leader);
        } else {
            let _reaped = leader.wait();
        }
    }
}

/// All of them were killed.
fn reap_all(mut leader: Child, group: Pid, are_adopted: bool) {
    let begin = Instant::now();
    while are_adopted && members::any_lives(group) && begin.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(1));
    }
    if are_adopted {
        members::reap(group);
    }
    let _reaped = leader.wait();
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::members::member;

    #[test]
    fn a_member_is_known_by_its_group_whatever_its_name_is() {
        let lives = |stat: &[u8]| member(stat, 70).map(|member| !member.is_gone);
        assert_eq!(lives(b"71 (sh) S 1 70 70 0 -1"), Some(true));
        assert_eq!(lives(b"71 (a) Z 1 (b) R 1 70 70 0"), Some(true));
        assert_eq!(lives(b"71 (s\xff) S 1 70 70 0 -1"), Some(true), "whatever its name is");
        assert_eq!(lives(b"71 (sh) S 1 71 70 0 -1"), None, "another group");
        assert_eq!(lives(b"70 (sh) Z 1 70 70 0 -1"), Some(false), "the leader that has ended");
        assert!(lives(b"").is_none() && lives(b"71 (sh").is_none());
    }
}

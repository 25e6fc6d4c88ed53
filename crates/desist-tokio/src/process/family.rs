//! A child and whoever is in its process group.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::Duration;

use desist::Source;
use rustix::process::{Pid, Signal, kill_process_group};

/// The leader is not reaped as long as this is there and not asked to reap it, so its
/// number, and that of its group, is nobody else's.
///
/// Dropped, it kills the group, and has the leader reaped.
pub(super) struct Family {
    /// `None`: it is reaped.
    leader: Option<Child>,
    pub(super) pid: Pid,
}

impl Family {
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let mut leader = command.process_group(0).spawn()?;
        let Some(pid) = i32::try_from(leader.id()).ok().and_then(Pid::from_raw) else {
            let _killed = leader.kill();
            let _reaped = leader.wait();
            return Err(io::Error::other("the system gave it a number that is none"));
        };
        Ok(Self { leader: Some(leader), pid })
    }

    pub(super) fn leader(&mut self) -> Option<&mut Child> {
        self.leader.as_mut()
    }

    /// One that is stopped must go on to hear it.
    pub(super) fn ask(&self) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
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
    #[cfg(target_os = "linux")]
    fn has_members(&self) -> bool {
        let group = self.pid.as_raw_nonzero().get();
        let Ok(processes) = std::fs::read_dir("/proc") else { return false };
        processes.filter_map(Result::ok).any(|process| {
            let is_number = process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
            is_number
                && std::fs::read_to_string(process.path().join("stat"))
                    .is_ok_and(|stat| is_living_member(&stat, group))
        })
    }

    /// The system does not tell: the rest is killed when the leader has ended.
    #[cfg(not(target_os = "linux"))]
    fn has_members(&self) -> bool {
        false
    }

    /// Reaps the leader, which has ended, or was killed: from now on nobody is signalled.
    pub(super) fn reap(&mut self) -> io::Result<ExitStatus> {
        let Some(mut leader) = self.leader.take() else {
            return Err(io::Error::other("it is reaped already"));
        };
        leader.wait()
    }
}

/// Of a line of `/proc/PID/stat`: the number, the name in parentheses, in which may be
/// anything, the state, the parent, the group.
#[cfg(target_os = "linux")]
fn is_living_member(stat: &str, group: i32) -> bool {
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_ascii_whitespace();
    let is_gone = fields.next().is_none_or(|state| matches!(state, "Z" | "X"));
    let its_group = fields.nth(1).and_then(|group| group.parse::<i32>().ok());
    !is_gone && its_group == Some(group)
}

impl Drop for Family {
    fn drop(&mut self) {
        self.kill();
        let Some(mut leader) = self.leader.take() else { return };
        if matches!(leader.try_wait(), Ok(Some(_))) {
            return;
        }
        // It takes the kernel a moment, and whoever drops this must not wait for it.
        let reaper = thread::Builder::new().name("desist-reaper".into());
        let (hand_over, handed_over) = std::sync::mpsc::channel::<Child>();
        let begun = reaper.spawn(move || {
            if let Ok(mut leader) = handed_over.recv() {
                let _reaped = leader.wait();
            }
        });
        if begun.is_ok() {
            let _handed_over = hand_over.send(leader);
        } else {
            let _reaped = leader.wait();
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::is_living_member;

    #[test]
    fn a_member_is_known_by_its_group_whatever_its_name_is() {
        assert!(is_living_member("71 (sh) S 1 70 70 0 -1", 70));
        assert!(is_living_member("71 (a) Z 1 (b) R 1 70 70 0", 70));
        assert!(!is_living_member("71 (sh) S 1 71 70 0 -1", 70), "another group");
        assert!(!is_living_member("70 (sh) Z 1 70 70 0 -1", 70), "the leader that has ended");
        assert!(!is_living_member("", 70) && !is_living_member("71 (sh", 70));
    }
}

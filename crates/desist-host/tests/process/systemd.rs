//! What systemd is told, over its own protocol.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use desist_host::{BoxError, HostBuilder, Service, Stop};
use rustix::process::Signal;

use crate::program::{PATIENCE, Program};
use crate::{Polite, asked, word};

const SHUTDOWN: Duration = Duration::from_secs(20);
const START: Duration = Duration::from_secs(40);
/// What the host adds to what it needs.
const MARGIN: Duration = Duration::from_secs(5);

pub(crate) fn role(role: &str, host: HostBuilder) -> Option<HostBuilder> {
    let host = host.shutdown_timeout(SHUTDOWN).add("db", Polite("db")).start_timeout(START);
    let host = match role {
        "notifies" => host.add("web", Slow { fails: false }).start_timeout(START),
        "notifies, and cleans up" => host
            .add("web", CleansUp)
            .grace(Duration::from_secs(60))
            .shutdown_timeout(Duration::from_secs(120)),
        "notifies, and fails" => host.add("web", Slow { fails: true }).start_timeout(START),
        _ => return None,
    };
    Some(host)
}

/// Its run ends when it is told to, and its cleanup goes on for the time it has.
struct CleansUp;

impl Service for CleansUp {
    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        asked("web", &stop).await;
        word().await;
        println!("web has run");
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        word().await;
        Ok(())
    }
}

/// Starts, and stops, when it is told to by the test.
struct Slow {
    fails: bool,
}

impl Service for Slow {
    async fn start(&mut self, _stop: &Stop) -> Result<(), BoxError> {
        println!("web starts");
        word().await;
        if self.fails {
            Err(format!("no port\nREADY=1\n{}", "x".repeat(10_000)).into())
        } else {
            Ok(())
        }
    }

    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        asked("web", &stop).await;
        word().await;
        Ok(())
    }
}

/// The manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    /// As it stands in the environment.
    name: String,
    path: Option<PathBuf>,
    heard: Vec<Message>,
}

#[derive(Debug, Clone)]
struct Message {
    lines: Vec<String>,
}

impl Message {
    fn has(&self, line: &str) -> bool {
        self.lines.iter().any(|one| one == line)
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }

    fn extends(&self) -> Option<Duration> {
        let micros = self.value("EXTEND_TIMEOUT_USEC")?.parse().expect("a number");
        Some(Duration::from_micros(micros))
    }
}

impl Manager {
    fn at_path(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("notify-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).expect("a short path");
        Self::of(socket, path.to_str().expect("text").to_owned(), Some(path))
    }

    fn abstract_name() -> Self {
        let name = format!("desist-host-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a short name");
        let socket = UnixDatagram::bind_addr(&address).expect("nobody else has it");
        Self::of(socket, format!("@{name}"), None)
    }

    fn of(socket: UnixDatagram, name: String, path: Option<PathBuf>) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        Self { socket, name, path, heard: Vec::new() }
    }

    fn start(&self, role: &str) -> Program {
        Program::start_with(role, |command| command.env("NOTIFY_SOCKET", &self.name))
    }

    /// None: nothing came.
    fn next(&mut self) -> Option<Message> {
        let mut buffer = [0; 4096];
        let read = self.socket.recv(&mut buffer).ok()?;
        assert!(read < buffer.len(), "a manager takes no more: {:?}", &buffer[..99]);
        let text = std::str::from_utf8(&buffer[..read]).expect("text");
        Some(Message { lines: text.lines().map(ToOwned::to_owned).collect() })
    }

    /// Reads on until it is told this.
    #[track_caller]
    fn expect(&mut self, line: &str) {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let Some(message) = self.next() else { break };
            let is_it = message.has(line);
            self.heard.push(message);
            if is_it {
                return;
            }
        }
        panic!("never told {line:?}: {:#?}", self.heard);
    }

    /// What was heard since.
    fn take(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.heard)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[track_caller]
fn never(messages: &[Message], line: &str) {
    assert!(!messages.iter().any(|message| message.has(line)), "{line:?} in {messages:#?}");
}

/// All that is said of the time is sane, and something is said.
#[track_caller]
fn extends(messages: &[Message], most: Duration) {
    let times: Vec<_> = messages.iter().filter_map(Message::extends).collect();
    assert!(!times.is_empty(), "{messages:#?}");
    let are_sane = times.iter().all(|time| *time > Duration::ZERO && *time <= most + MARGIN);
    assert!(are_sane, "{times:?} in {messages:#?}");
}

fn told_in_order(mut manager: Manager) {
    let mut program = manager.start("notifies");
    manager.expect("STATUS=starting `web`");
    program.expect("web starts");
    let starting = manager.take();
    never(&starting, "READY=1");
    never(&starting, "STOPPING=1");
    extends(&starting, START);
    // It takes as long as `web` does.
    assert!(starting.last().and_then(Message::extends) > Some(START / 2), "{starting:#?}");

    program.word();
    manager.expect("READY=1");
    let running = manager.take();
    assert!(running.iter().any(|message| message.has("STATUS=`web` has started")), "{running:#?}");
    let ready = running.last().expect("it is the last");
    assert_eq!(ready.value("STATUS"), Some("the host is running"));
    assert_eq!(ready.extends(), None, "there is no end to this");

    program.signal(Signal::TERM);
    manager.expect("STOPPING=1");
    let stopping = manager.take();
    assert_eq!(stopping.len(), 1, "nobody is asked before that: {stopping:#?}");
    manager.expect("STATUS=`web` is asked to stop");
    program.expect("web is asked: shutdown, SIGTERM");
    program.word();
    manager.expect("STATUS=the host is stopped");
    let stopping = [stopping, manager.take()].concat();
    never(&stopping, "READY=1");
    extends(&stopping, SHUTDOWN);
    program.end().with(0).is_silent();
}

#[test]
fn systemd_is_told_when_all_have_started_and_before_anybody_is_asked() {
    told_in_order(Manager::at_path("order"));
}

#[test]
fn systemd_is_told_where_its_socket_has_an_abstract_name() {
    told_in_order(Manager::abstract_name());
}

#[test]
fn nothing_is_ready_where_a_start_fails_whatever_its_error_says() {
    let mut manager = Manager::at_path("fails");
    let mut program = manager.start("notifies, and fails");
    program.expect("web starts");
    program.word();
    manager.expect("STATUS=the host is stopped");
    program.end().with(1).reports("web", "no port\n    READY=1");
    let heard = manager.take();
    never(&heard, "READY=1");
    assert!(heard.iter().any(|message| message.has("STOPPING=1")), "{heard:#?}");
    assert!(
        heard.iter().any(|message| message.value("STATUS").is_some_and(|status| status
            .starts_with("`web` failed: ")
            && status.contains("no port"))),
        "{heard:#?}"
    );
}

/// Each step is told, also one of which there is nothing else to tell: a manager that is
/// told nothing kills when the time is over that was granted before.
#[test]
fn systemd_is_told_that_a_cleanup_has_its_own_time() {
    let mut manager = Manager::at_path("cleans");
    let mut program = manager.start("notifies, and cleans up");
    manager.expect("READY=1");
    program.signal(Signal::TERM);
    program.expect("web is asked: shutdown, SIGTERM");
    manager.expect("STATUS=`web` is asked to stop");
    program.word();
    program.expect("web has run");
    // It comes while the cleanup waits for the next word.
    let granted = manager.next().and_then(|message| message.extends());
    assert!(granted > Some(Duration::from_secs(50)), "{granted:?}");
    program.word();
    manager.expect("STATUS=the host is stopped");
    program.end().with(0);
}

/// Starts, stops when it is asked, and ends soon.
fn is_not_held_up(mut program: Program) {
    program.expect("web starts");
    program.word();
    program.expect("the host is running");
    program.signal(Signal::TERM);
    program.expect("web is asked: shutdown, SIGTERM");
    program.word();
    let ended = program.end().with(0);
    ended.says(&["db cleans up", "main has returned"]);
    ended.is_silent();
}

#[test]
fn a_manager_that_does_not_read_holds_nobody_up() {
    let manager = Manager::at_path("full");
    // Each sender has room for so much itself, so there are several, until one has no luck
    // with its first.
    let mut senders = Vec::new();
    loop {
        let sender = UnixDatagram::unbound().expect("a socket");
        sender.set_nonblocking(true).expect("it can be set");
        sender.connect(&manager.name).expect("it is there");
        let mut sent = 0;
        while sender.send(b"STATUS=.").is_ok() {
            sent += 1;
        }
        senders.push(sender);
        if sent == 0 {
            break;
        }
    }
    is_not_held_up(manager.start("notifies"));
}

#[test]
fn a_socket_that_is_not_there_harms_nobody() {
    let nowhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-such-socket");
    for name in [nowhere.to_str().expect("text"), "@desist-host-nowhere", "", "vsock:2:9", "@"] {
        let program = Program::start_with("notifies", |it| it.env("NOTIFY_SOCKET", name));
        is_not_held_up(program);
    }
}

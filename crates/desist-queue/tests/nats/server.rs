//! A server of NATS of a test's own: on a free port, with its data in a folder of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use std::{env, fs, thread};

use desist_queue::Nats;
use rustix::process::{Pid, Signal, kill_process};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    program: PathBuf,
    folder: Folder,
    port: u16,
    child: Option<Child>,
}

/// A folder that goes with its test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // Ordering: relaxed, alone: it only counts.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("desist-nats-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder in the temporary one");
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where the program is, if it is anywhere; that it is not is a failure where CI is set.
fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join("nats-server")).find(|file| file.is_file());
    #[allow(clippy::print_stderr)]
    if found.is_none() {
        let advice =
            "nats-server is not installed, so this is not tested; apt-get install nats-server";
        assert!(env::var_os("CI").is_none(), "{advice}");
        eprintln!("{advice}");
    }
    found
}

impl Server {
    /// None, if it is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&["-js"])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Option<Self> {
        let mut server = Self { program: program()?, folder: Folder::new(), port: 0, child: None };
        server.run(arguments);
        Some(server)
    }

    /// Until it is ready.
    fn run(&mut self, arguments: &[&str]) {
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let mut child = Command::new(&self.program)
            .args(["-a", "127.0.0.1", "-p", &port, "-sd"])
            .arg(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server is a program");
        let stderr = child.stderr.take().expect("it is piped");
        let said = lines(BufReader::new(stderr));
        self.child = Some(child);
        loop {
            let line = said.recv_timeout(PATIENCE).expect("the server says that it is ready");
            if let Some((_, address)) = line.split_once("Listening for client connections on ") {
                let port = address.rsplit(':').next().and_then(|port| port.trim().parse().ok());
                self.port = port.unwrap_or_else(|| panic!("a port in {line:?}"));
            }
            if line.contains("Server is ready") {
                return;
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn connect(&self) -> Nats {
        Nats::connect(&self.url()).await.expect("the server is ready")
    }

    /// Stops it, and keeps its data.
    pub(crate) fn stop(&mut self, signal: Signal) {
        if let Some(mut child) = self.child.take() {
            let pid = Pid::from_child(&child);
            kill_process(pid, signal).expect("it is a child of ours");
            child.wait().expect("it is a child of ours");
        }
    }

    /// Starts it anew where it was, with its data.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "it has not been stopped");
        self.run(&["-js"]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Signal::KILL);
    }
}

/// Read as long as there are any, whoever takes them.
fn lines(reader: impl BufRead + Send + 'static) -> Receiver<String> {
    let (tell, said) = channel();
    thread::spawn(move || {
        for line in reader.lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    said
}

//! The program as a user runs it: a process of its own, asked by HTTP and by signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Showcase {
    child: Child,
    said: BufReader<ChildStdout>,
    pub(crate) addr: SocketAddr,
    /// What it takes for the system's temporary folder.
    pub(crate) temporary: Arc<Folder>,
    data: Folder,
}

/// One that goes with its test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        // Ordering: it only counts.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let folder = format!("showcase-{name}-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        let _left_by_another = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Showcase {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these words after its name.
    pub(crate) fn start_with(words: &[&str]) -> Self {
        Self::start_on(Folder::new("data"), words)
    }

    /// On the data that another one left.
    pub(crate) fn start_on(data: Folder, words: &[&str]) -> Self {
        Self::start_with_all(data, Arc::new(Folder::new("temporary")), words)
    }

    /// With a temporary folder that others have, too.
    pub(crate) fn start_beside(temporary: &Arc<Folder>) -> Self {
        Self::start_with_all(Folder::new("data"), Arc::clone(temporary), &[])
    }

    fn start_with_all(data: Folder, temporary: Arc<Folder>, words: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_showcase"))
            .env("PORT", "0")
            .env("TMPDIR", temporary.path())
            .arg("--data")
            .arg(data.path())
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let addr = loop {
            let mut line = String::new();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ends without an address");
            if let Some(addr) = line.trim().strip_prefix("showcase: http://") {
                break addr.parse().unwrap();
            }
        };
        Self { child, said, addr, temporary, data }
    }

    /// Waits until it prints a line with this in it, which is given.
    pub(crate) fn says(&mut self, what: &str) -> String {
        let mut line = String::new();
        while !line.contains(what) {
            line.clear();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "it never says {what}");
        }
        line
    }

    pub(crate) fn request(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        stream
    }

    pub(crate) fn answer(&self, head: &str) -> String {
        let mut answer = String::new();
        self.request(head).read_to_string(&mut answer).unwrap();
        answer
    }

    /// What an old client is answered, which knows of no pieces: head and body.
    pub(crate) fn whole(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
        (head.to_owned(), body.to_owned())
    }

    /// An upload of so many bytes, of which only some are sent.
    pub(crate) fn upload(&self, length: usize, sent: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "POST /upload HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        )
        .unwrap();
        stream.write_all(sent).unwrap();
        stream
    }

    /// What its routes of operations answer.
    pub(crate) fn operations(&self, method: &str, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} /operations{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             x-desist: 1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
        assert!(head.starts_with("HTTP/1.1 2"), "{answer}");
        serde_json::from_str(body).expect(body)
    }

    /// Starts an operation and gives its id.
    pub(crate) fn starts(&self, kind: &str, input: &str) -> String {
        let body = format!("{{\"kind\":\"{kind}\",\"input\":{input}}}");
        self.operations("POST", "", &body)["id"].as_str().unwrap().to_owned()
    }

    /// The operation, as soon as it is in this state.
    pub(crate) fn until(&self, id: &str, state: &str) -> Value {
        let until = Instant::now() + 2 * PATIENCE;
        loop {
            let operation = self.operations("GET", &format!("/{id}"), "");
            if operation["state"] == state {
                return operation;
            }
            assert!(Instant::now() < until && operation["finished"] == false, "{operation:#}");
            // Here it is what people see who ask now and then that is tested.
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it as no signal that it hears does, and gives what it leaves.
    pub(crate) fn killed(mut self) -> Folder {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.data, Folder::new("none"))
    }

    /// The log, line by line.
    pub(crate) fn log(&self) -> mpsc::Receiver<String> {
        let stream = self.request("GET /log");
        let (tell, told) = mpsc::channel();
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        // It listens from its head on.
        assert!(lines.next().is_some_and(|line| line.contains("200")));
        std::thread::spawn(move || lines.try_for_each(|line| tell.send(line)));
        told
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Asks it to stop and gives its code and its last words.
    pub(crate) fn ends(self) -> (Option<i32>, String) {
        self.ends_by(&["-INT"])
    }

    /// The end of one that was asked, and what it leaves, as well.
    pub(crate) fn ends_and_leaves(mut self) -> (Folder, Option<i32>, String) {
        let data = std::mem::replace(&mut self.data, Folder::new("none"));
        let (code, said) = self.ends_by(&[]);
        (data, code, said)
    }

    /// As it is called among several.
    pub(crate) fn instance(&self) -> String {
        let (_, about) = self.whole("/about");
        let about: Value = serde_json::from_str(&about).expect(&about);
        about["instance"].as_str().unwrap().to_owned()
    }

    /// The same, with the report of the host after what it says meanwhile.
    pub(crate) fn ends_by(mut self, signals: &[&str]) -> (Option<i32>, String) {
        let mut said = String::new();
        for signal in signals {
            self.signal(signal);
            // A signal that comes before the last one was heard is lost.
            while !said.contains("the host is stopping") {
                assert_ne!(self.said.read_line(&mut said).unwrap(), 0, "{said}");
            }
        }
        self.said.read_to_string(&mut said).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let code = self.child.wait().unwrap().code();
        // Who is forced has no time to clean up.
        let left = std::fs::read_dir(self.temporary.path()).unwrap().count();
        assert!(left == 0 || signals.len() > 1, "it leaves nothing");
        (code, said)
    }
}

impl Drop for Showcase {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn hears(log: &mpsc::Receiver<String>, what: &str, said: &str) -> String {
    // For all lines: a log that is silent says so now and then.
    let until = Instant::now() + PATIENCE;
    while let Ok(line) = log.recv_timeout(until.saturating_duration_since(Instant::now())) {
        if line.contains(&format!("\"what\":\"{what}\"")) && line.contains(said) {
            return line;
        }
    }
    panic!("the log never says {said} of {what}");
}

//! A Postgres of the tests' own, as Debian has it.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// The user that has a password, and it.
pub(crate) const LOCKED: (&str, &str) = ("locked", "correct-horse");

/// One that runs until this is dropped, or the process ends, however it does.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its keeper: a shell that ends it and clears up when its standard input ends, which is
    /// ours.
    keeper: Child,
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
    owner: (u32, u32),
    settings: Vec<String>,
}

/// Where its programs are; `None`: they are missing, and that was said.
///
/// # Panics
///
/// They are missing in CI.
pub(crate) fn find() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("postgres").is_file() && bin.join("initdb").is_file())
        .collect();
    // "9.6" is before "15".
    found.sort_by_key(|bin| {
        let version = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<f64>().ok()).map_or(0, |n| (n * 100.0) as u64)
    });
    let newest = found.pop();
    if newest.is_none() {
        let missing = "postgres is missing; install it with: apt-get install postgresql";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        // Past the capture of what tests print: a test that was not run is to be seen.
        let _ = writeln!(std::io::stderr(), "NOT TESTED: {missing}");
    }
    newest
}

impl Server {
    /// With these settings, as `("max_connections", "50")`.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Option<Self> {
        Self::start_with(&[], settings)
    }

    /// And with these files in its folder, which nobody else can read.
    pub(crate) fn start_with(files: &[(&str, &str)], settings: &[(&str, &str)]) -> Option<Self> {
        let bin = find()?;
        let folder = folder();
        // It refuses root.
        let uid = std::fs::metadata(&folder).unwrap().uid();
        let owner = if uid == 0 { (id("-u"), id("-g")) } else { own(&folder) };
        chown(&folder, Some(owner.0), Some(owner.1)).unwrap();
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            chown(&path, Some(owner.0), Some(owner.1)).unwrap();
        }
        let settings = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let keeper = sleeper();
        let mut server = Self { keeper, bin, folder, port: 0, owner, settings };
        server.initialize();
        // Somebody else may have the port by the time that it listens.
        for _ in 0..10 {
            server.port = free_port();
            if server.up() {
                let (user, password) = LOCKED;
                server.psql(&format!("CREATE ROLE {user} LOGIN PASSWORD '{password}'"));
                return Some(server);
            }
        }
        panic!("postgres does not start: {}", server.log());
    }

    fn initialize(&self) {
        let mut initdb = self.command("initdb");
        initdb.args(["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C"]);
        let done = initdb.arg("-D").arg(self.data()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let rules = "local all all trust\n\
                     host all locked 127.0.0.1/32 scram-sha-256\n\
                     host all all 127.0.0.1/32 trust\n";
        std::fs::write(self.data().join("pg_hba.conf"), rules).unwrap();
    }

    /// Whether it runs in the end.
    fn up(&mut self) -> bool {
        // Nothing that it has is outside of its folder.
        let mut settings = vec![
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".into(),
            format!("unix_socket_directories={}", self.folder.display()),
            "fsync=off".into(),
            "dynamic_shared_memory_type=mmap".into(),
        ];
        settings.extend(self.settings.iter().cloned());
        let keeper = r#"
            folder=$1; shift
            "$@" >> "$folder/log" 2>&1 & pid=$!
            read -r _
            kill -QUIT $pid 2> /dev/null
            wait $pid
            rm -rf "$folder"
        "#;
        let log = std::fs::File::create(self.folder.join("keeper")).unwrap();
        let mut shell = self.as_owner(Command::new("sh"));
        shell.args(["-c", keeper, "keeper"]).arg(&self.folder).arg(self.bin.join("postgres"));
        shell.arg("-D").arg(self.data());
        for setting in settings {
            shell.args(["-c", &setting]);
        }
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        // Of a group of its own: Ctrl-C is not for it, which sees to the end.
        self.keeper = shell.process_group(0).spawn().unwrap();
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE && self.keeper.try_wait().unwrap().is_none() {
            if self.try_psql("SELECT 1").is_ok_and(|one| one == "1") {
                return true;
            }
            if self.log().contains("could not bind") {
                return false;
            }
            // There is no event of it to wait for.
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// By the socket in its folder, as its administrator.
    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://postgres@localhost:{}/postgres?host={}",
            self.port,
            self.folder.display()
        )
    }

    /// By TCP.
    pub(crate) fn tcp_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its socket.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it answers, a line for each row, as `a|b`.
    pub(crate) fn psql(&self, sql: &str) -> String {
        self.try_psql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn try_psql(&self, sql: &str) -> Result<String, String> {
        self.try_psql_at(&self.folder.display().to_string(), self.port, sql)
    }

    /// There, which is not always this server itself.
    pub(super) fn try_psql_at(&self, host: &str, port: u16, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres"]);
        psql.args(["-h", host, "-p", &port.to_string(), "-c", sql]);
        let done = psql.env("PGAPPNAME", "tests").output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Kills all of it with SIGKILL.
    pub(crate) fn kill(&self) {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let postmaster = file.lines().next().unwrap().trim().to_owned();
        let children = format!("/proc/{postmaster}/task/{postmaster}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let all = std::iter::once(postmaster.as_str()).chain(children.split_whitespace());
        // One that has ended by itself in between is no matter.
        let _ = Command::new("kill").arg("-9").args(all).stderr(Stdio::null()).status().unwrap();
    }

    /// Another program as the same user, until the standard input of its keeper ends.
    pub(crate) fn beside(&self, program: &Path, arguments: &[&str]) -> Child {
        let keeper = r#"log=$1; shift; "$@" >> "$log" 2>&1 & read -r _; kill -9 $!"#;
        let mut shell = self.as_owner(Command::new("sh"));
        shell.args(["-c", keeper, "keeper"]).arg(self.folder.join("log")).arg(program);
        shell.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        shell.process_group(0).spawn().unwrap()
    }

    /// After it was killed.
    pub(crate) fn start_again(&mut self) {
        // Its folder is needed: it must not clear up. It is a group of its own, of which by
        // now it is the last.
        let keeper = self.keeper.id().to_string();
        let _ = Command::new("kill").args(["-9", &keeper]).status().unwrap();
        let _ = self.keeper.wait();
        let socket = self.folder.join(format!(".s.PGSQL.{}", self.port));
        for left in [
            self.data().join("postmaster.pid"),
            socket.with_extension(format!("{}.lock", self.port)),
            socket,
        ] {
            let _ = std::fs::remove_file(left);
        }
        assert!(self.up(), "{}", self.log());
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, program: &str) -> Command {
        self.as_owner(Command::new(self.bin.join(program)))
    }

    fn as_owner(&self, mut command: Command) -> Command {
        command.current_dir(&self.folder).env("LC_ALL", "C");
        if own(&self.folder) != own(Path::new("/proc/self")) {
            command.uid(self.owner.0).gid(self.owner.1);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input is its word.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn sleeper() -> Child {
    Command::new("true").spawn().unwrap()
}

fn own(path: &Path) -> (u32, u32) {
    let metadata = std::fs::metadata(path).unwrap();
    (metadata.uid(), metadata.gid())
}

/// Of the user that the package has made.
fn id(which: &str) -> u32 {
    let id = Command::new("id").args([which, "postgres"]).output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim().parse().expect("the package makes a user postgres")
}

fn folder() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Ordering: it only counts.
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    // A socket's path is short.
    let folder = std::env::temp_dir().join(format!("desist-pg-{}-{next}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

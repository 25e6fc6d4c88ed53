//! A Postgres server of the tests' own: Debian's programs, a folder and a port of its own,
//! and gone with the process of the tests, however that ends.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Postgres {
    /// Ends the server, and removes its folder, when nobody holds its input any more.
    keeper: Child,
    folder: PathBuf,
    pub(crate) port: u16,
}

/// Where its programs are; `None`: they are missing, and that was said.
///
/// # Panics
///
/// They are missing in CI.
fn programs() -> Option<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = installed.map(|version| version.path().join("bin")).collect();
    folders.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.splice(0..0, std::env::split_paths(&path));
    let found = folders.into_iter().rev().find(|folder| folder.join("initdb").is_file());
    if found.is_none() {
        let missing = "postgres is missing; install it with: apt-get install postgresql";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        // Past the capture of what tests print: a test that was not run is to be seen.
        let _ = writeln!(std::io::stderr(), "NOT TESTED: {missing}");
    }
    found
}

/// It initializes, serves until its input ends, and cleans up.
const KEEPER: &str = r#"
set -eu
trap '' INT
as=
if [ "$(id -u)" = 0 ]; then
    chown -R postgres "$folder"
    as='setpriv --reuid=postgres --regid=postgres --init-groups'
fi
cd "$folder"
$as "$bin/initdb" -D data -A trust -U postgres --no-sync -E UTF8 --locale=C >log 2>&1
printf '%s\n' 'host all secret all scram-sha-256' >hba
cat data/pg_hba.conf >>hba
cat hba >data/pg_hba.conf
$as "$bin/postgres" -D data -p "$port" -k "$folder" -c listen_addresses=127.0.0.1 \
    -c fsync=off -c max_connections=200 $settings >>log 2>&1 &
server=$!
read -r _ || true
kill -QUIT "$server" 2>/dev/null || true
wait "$server" || true
rm -rf "$folder"
"#;

impl Postgres {
    /// That of all tests of this process.
    pub(crate) async fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        static STARTS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _starts = STARTS.lock().await;
        if SHARED.get().is_none() {
            let started = Self::start().await;
            let _ = SHARED.set(started);
        }
        SHARED.get().and_then(Option::as_ref)
    }

    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(&[], "").await
    }

    /// With these files in its folder, of which the last is secret, and settings.
    pub(crate) async fn start_with(files: &[(&str, &str)], settings: &str) -> Option<Self> {
        let bin = programs()?;
        for _ in 0..5 {
            if let Some(server) = Self::start_once(&bin, files, settings).await {
                return Some(server);
            }
        }
        panic!("postgres does not start")
    }

    async fn start_once(bin: &Path, files: &[(&str, &str)], settings: &str) -> Option<Self> {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        // Ordering: it only counts.
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("desist-postgres-{}-{next}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
            let mine = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(folder.join(name), mine).unwrap();
        }
        // Somebody else may have it by the time that it listens.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let keeper = Command::new("sh")
            .args(["-c", KEEPER])
            .env("folder", &folder)
            .env("bin", bin)
            .env("port", port.to_string())
            .env("settings", settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { keeper, folder, port };
        let begin = Instant::now();
        // There is no event of it to wait for.
        while begin.elapsed() < PATIENCE && server.keeper.try_wait().unwrap().is_none() {
            if tokio_postgres::connect(&server.address(), tokio_postgres::NoTls).await.is_ok() {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let said = std::fs::read_to_string(server.folder.join("log")).unwrap_or_default();
        let _ = writeln!(std::io::stderr(), "{said}");
        None
    }

    /// Over its socket.
    pub(crate) fn address(&self) -> String {
        let folder = self.folder.display();
        format!("host={folder} port={} user=postgres dbname=postgres", self.port)
    }

    /// Over TCP.
    pub(crate) fn tcp(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port)
    }

    /// From beside, of a test.
    pub(crate) async fn client(&self) -> tokio_postgres::Client {
        let connected = tokio_postgres::connect(&self.address(), tokio_postgres::NoTls).await;
        let (client, connection) = connected.unwrap();
        tokio::spawn(connection);
        client
    }

    /// As the kernel does when there is no memory.
    pub(crate) fn kill(&self) {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap();
        let children = Command::new("pgrep").args(["-P", pid]).output().unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        // Some may be gone by then.
        let _ = Command::new("kill").arg("-KILL").args(children.split_whitespace()).status();
        assert!(Command::new("kill").args(["-KILL", pid]).status().unwrap().success());
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

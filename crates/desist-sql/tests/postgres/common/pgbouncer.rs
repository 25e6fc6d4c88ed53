//! PgBouncer in front of a server.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{PATIENCE, Postgres};

/// One that runs until this is dropped, or the process of the tests has ended.
pub(crate) struct PgBouncer {
    keeper: Child,
    pub(crate) port: u16,
}

const KEEPER: &str = r#"
set -eu
as=
if [ "$(id -u)" = 0 ]; then
    chown -R postgres "$folder"
    as='setpriv --reuid=postgres --regid=postgres --init-groups'
fi
$as "$program" "$folder/ini" >"$folder/out" 2>&1 &
bouncer=$!
read -r _ || true
kill -QUIT "$bouncer" 2>/dev/null || kill -KILL "$bouncer" 2>/dev/null || true
kill -KILL "$bouncer" 2>/dev/null || true
wait "$bouncer" || true
rm -rf "$folder"
"#;

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders.map(|folder| folder.join("pgbouncer")).find(|path| path.is_file());
    if found.is_none() {
        let missing = "pgbouncer is missing; install it with: apt-get install pgbouncer";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        // Past the capture of what tests print: a test that was not run is to be seen.
        let _ = writeln!(std::io::stderr(), "NOT TESTED: {missing}");
    }
    found
}

impl PgBouncer {
    pub(crate) async fn start(server: &Postgres, mode: &str) -> Option<Self> {
        let program = program()?;
        for attempt in 0..5 {
            if let Some(bouncer) = Self::start_once(&program, server, mode, attempt).await {
                return Some(bouncer);
            }
        }
        panic!("pgbouncer does not start")
    }

    async fn start_once(
        program: &Path,
        server: &Postgres,
        mode: &str,
        attempt: usize,
    ) -> Option<Self> {
        let name = format!("desist-pgbouncer-{}-{mode}-{attempt}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nauth_type = trust\nauth_file = {folder}/users\n\
             unix_socket_dir =\npool_mode = {mode}\ndefault_pool_size = 4\nlogfile = {folder}/log\n",
            server.port,
            folder = folder.display()
        );
        std::fs::write(folder.join("ini"), ini).unwrap();
        std::fs::write(folder.join("users"), "\"postgres\" \"\"\n").unwrap();
        let keeper = Command::new("sh")
            .args(["-c", KEEPER])
            .env("folder", &folder)
            .env("program", program)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let bouncer = Self { keeper, port };
        let begin = Instant::now();
        // There is no event of it to wait for.
        while begin.elapsed() < PATIENCE / 3 {
            if tokio_postgres::connect(&bouncer.address(), tokio_postgres::NoTls).await.is_ok() {
                return Some(bouncer);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }

    pub(crate) fn address(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

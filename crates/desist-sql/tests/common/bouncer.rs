//! PgBouncer in front of a server.

use std::io::Write;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use super::{PATIENCE, Server, free_port};

/// One that runs until this is dropped, or the process of the tests has ended.
pub(crate) struct Bouncer {
    keeper: Child,
    pub(crate) port: u16,
}

/// Where it is; `None`: it is missing, and that was said.
///
/// # Panics
///
/// It is missing in CI.
fn find() -> Option<PathBuf> {
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

impl Bouncer {
    /// `None`: it is missing, and that was said.
    pub(crate) fn start(server: &Server, mode: &str) -> Option<Self> {
        let program = find()?;
        let folder = server.folder().display();
        let users = server.folder().join("users");
        std::fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        // Somebody else may have the port by the time that it listens.
        for _ in 0..10 {
            let port = free_port();
            let config = server.folder().join(format!("bouncer-{port}.ini"));
            let text = format!(
                "[databases]\n* = host={folder} port={}\n\
                 [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\n\
                 default_pool_size = 4\nignore_startup_parameters = extra_float_digits\n",
                server.port(),
                users.display()
            );
            std::fs::write(&config, text).unwrap();
            let keeper = server.beside(&program, &[config.to_str().unwrap()]);
            let bouncer = Self { keeper, port };
            let begin = Instant::now();
            while begin.elapsed() < PATIENCE / 10 {
                if server.try_psql_at("127.0.0.1", port, "SELECT 1").is_ok() {
                    return Some(bouncer);
                }
                // There is no event of it to wait for.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("pgbouncer does not start: {}", server.log());
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        // The end of its input is its word.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

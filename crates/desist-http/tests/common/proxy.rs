//! nginx and HAProxy, as Debian has them, in front of a server.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// One that runs until this is dropped.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    child: Child,
    folder: PathBuf,
}

/// Where a program is that a test needs; `None`: it is missing, and that was said.
///
/// # Panics
///
/// It is missing in CI.
pub(crate) fn find(program: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where servers are, and root's shell alone looks.
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders.map(|folder| folder.join(program)).find(|path| path.is_file());
    if found.is_none() {
        let missing = format!("{program} is missing; install it with: apt-get install {package}");
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        // Past the capture of what tests print: a test that was not run is to be seen.
        let _ = writeln!(std::io::stderr(), "NOT TESTED: {missing}");
    }
    found
}

impl Proxy {
    /// nginx; `directives` go into its only location.
    pub(crate) async fn nginx(
        server: SocketAddr,
        directives: &str,
        protocol: &str,
    ) -> Option<Self> {
        let pass = format!(
            "proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection '';
             {directives}"
        );
        Self::nginx_that(server, &pass, protocol).await
    }

    pub(crate) async fn nginx_of_grpc(server: SocketAddr) -> Option<Self> {
        Self::nginx_that(server, "grpc_pass grpc://server;", "http2").await
    }

    async fn nginx_that(server: SocketAddr, pass: &str, protocol: &str) -> Option<Self> {
        let nginx = find("nginx", "nginx-light")?;
        let config = |folder: &Path, port| {
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path {}/{name};", folder.display()))
                .concat();
            format!(
                "daemon off; master_process off; pid {}/pid; error_log stderr warn;
                 events {{ worker_connections 64; }}
                 http {{
                     access_log off; {temporary}
                     upstream server {{ server {server}; keepalive 8; }}
                     server {{
                         listen 127.0.0.1:{port} {protocol};
                         location / {{ {pass} }}
                     }}
                 }}",
                folder.display()
            )
        };
        let arguments = |config: &Path| vec!["-c".into(), config.into()];
        Some(Self::start(&nginx, config, arguments).await)
    }

    /// HAProxy; `options` go where its defaults are.
    pub(crate) async fn haproxy(server: SocketAddr, options: &str, protocol: &str) -> Option<Self> {
        Self::haproxy_that(&server.to_string(), options, protocol).await
    }

    pub(crate) async fn haproxy_of_grpc(server: SocketAddr) -> Option<Self> {
        Self::haproxy_that(&format!("{server} proto h2"), "", "proto h2").await
    }

    async fn haproxy_that(server: &str, options: &str, protocol: &str) -> Option<Self> {
        let haproxy = find("haproxy", "haproxy")?;
        let config = |_: &Path, port| {
            format!(
                "global\n\
                 defaults\n mode http\n timeout connect 5s\n timeout client 60s\n \
                 timeout server 60s\n {options}\n\
                 frontend front\n bind 127.0.0.1:{port} {protocol}\n default_backend back\n\
                 backend back\n server server {server}\n"
            )
        };
        let arguments = |config: &Path| vec!["-db".into(), "-f".into(), config.into()];
        Some(Self::start(&haproxy, config, arguments).await)
    }

    async fn start(
        program: &Path,
        config: impl Fn(&Path, u16) -> String,
        arguments: impl Fn(&Path) -> Vec<PathBuf>,
    ) -> Self {
        let folder = folder();
        let path = folder.join("config");
        // Somebody else may have the port by the time that it listens.
        for _ in 0..10 {
            let port = free_port();
            std::fs::write(&path, config(&folder, port)).unwrap();
            let log = std::fs::File::create(folder.join("log")).unwrap();
            let mut child = Command::new(program)
                .args(arguments(&path))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if listens(&mut child, addr).await {
                return Self { addr, child, folder };
            }
            let _ = (child.kill(), child.wait());
        }
        let log = std::fs::read_to_string(folder.join("log")).unwrap();
        panic!("{} does not start: {log}", program.display());
    }
}

/// Whether it does in the end; there is no event of it to wait for.
async fn listens(child: &mut Child, addr: SocketAddr) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE && child.try_wait().unwrap().is_none() {
        if tokio::net::TcpStream::connect(addr).await.is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

fn folder() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Ordering: it only counts.
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("desist-proxy-{}-{next}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

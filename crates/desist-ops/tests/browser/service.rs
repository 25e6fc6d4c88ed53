//! A service with a console: this program again, as a process that can be killed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use desist_http::InFlight;
use desist_ops::console::{Console, HostState};
use desist_ops::http::{Access, Ask, Routes};
use desist_ops::{Operations, Sqlite};
use desist_tokio::{Spawner, StopSource, TaskGroup};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::PATIENCE;
use crate::kinds::{Gates, with_kinds};
use crate::orders::Orders;

const SETUP: &str = "DESIST_OPS_BROWSER";

#[derive(Debug, Serialize, Deserialize)]
struct Setup {
    database: PathBuf,
    /// 0: any.
    port: u16,
    lease: Duration,
    /// What is done before anybody can connect.
    first: Vec<Value>,
}

/// Every way to put a console up that is of interest, each at a path of its own.
fn app(
    operations: &Operations<Sqlite>,
    in_flight: &InFlight,
    tasks: Spawner<()>,
    is_let_in: Arc<AtomicBool>,
) -> Router {
    let routes = || Routes::new(operations.clone());
    let all = |_: &Ask<'_>| Access::granted("bob");
    let own = |ask: &Ask<'_>| match ask.operation() {
        Some(operation) if operation.actor.as_deref() != Some("bob") => Access::Denied,
        _ => Access::granted("bob"),
    };
    let secret = {
        let is_let_in = Arc::clone(&is_let_in);
        move |ask: &Ask<'_>| {
            let is_secret = ask.operation().is_some_and(|one| one.tags.contains(&"secret".into()));
            // Ordering: nothing else is read.
            match is_secret && !is_let_in.load(Ordering::SeqCst) {
                true => Access::Denied,
                false => Access::granted("bob"),
            }
        }
    };
    // Ordering: nothing else is read.
    let for_a_while = move |_: &Ask<'_>| match is_let_in.load(Ordering::SeqCst) {
        true => Access::granted("bob"),
        false => Access::Denied,
    };
    let changes = |routes| Console::new(routes).allow_changes();
    let whole = changes(routes().authorize(all))
        .in_flight(in_flight)
        .tasks("indexers", tasks)
        .host(|| HostState::new("running"));
    Router::new()
        .merge(whole.at("/console"))
        .merge(changes(routes().authorize(own)).at("/own"))
        .merge(changes(routes().authorize(for_a_while)).at("/for-a-while"))
        .merge(changes(routes().authorize(secret)).at("/secret-for-a-while"))
        .merge(changes(routes()).at("/without-a-hook"))
        .merge(changes(routes().authorize(|_| Access::Denied)).at("/denied"))
        .merge(Console::new(routes().authorize(all)).at("/read-only"))
        // What a page of somebody else has: nothing of it.
        .route("/foreign", get(|| async { axum::response::Html("<!doctype html><title>Foreign") }))
        // A request that goes on.
        .route("/slow", get(std::future::pending::<()>))
}

#[test]
fn the_service() {
    let Ok(setup) = env::var(SETUP) else { return };
    let setup: Setup = serde_json::from_str(&setup).unwrap();
    tokio::runtime::Runtime::new().expect("a runtime").block_on(serve(setup));
    std::process::exit(0);
}

async fn serve(setup: Setup) {
    let gates = Gates::new();
    let builder = Operations::builder(Sqlite::open(&setup.database).await.unwrap());
    let builder = builder.label("replica-1").lease(setup.lease);
    let operations = with_kinds(builder, &gates).open().await.unwrap();
    let stop = StopSource::new();
    let running = tokio::spawn(operations.run(&stop.stop()));
    let (in_flight, tasks) = (InFlight::new(), TaskGroup::new());
    tasks.spawn("reader", |_| std::future::pending::<()>());
    let is_let_in = Arc::new(AtomicBool::new(true));
    let app = app(&operations, &in_flight, tasks.spawner(), Arc::clone(&is_let_in));
    let orders = Orders { operations, gates, is_let_in };
    for order in setup.first {
        let answer = orders.line(&order.to_string()).await;
        assert!(answer["error"].is_null(), "{answer}");
    }
    let listener = TcpListener::bind(("127.0.0.1", setup.port)).await.unwrap();
    say(&json!({ "port": listener.local_addr().unwrap().port() }));
    let server = desist_http::serve(listener, app).in_flight(&in_flight).until(stop.stop());
    let serving = tokio::spawn(server.into_future());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        say(&orders.line(&line).await);
    }
    // Whoever started it asks it to stop, or is gone.
    stop.drain();
    let _ = tokio::time::timeout(PATIENCE, serving).await;
    running.abort();
}

/// In a line of its own, though the harness of tests prints, too.
fn say(value: &Value) {
    println!("\n@{value}");
}

/// One that a test has for itself.
pub(crate) struct Service {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    pub(crate) port: u16,
    lease: Duration,
}

impl Service {
    /// In that folder, where it also keeps what it complains of.
    pub(crate) async fn begin(folder: &Path, lease: Duration) -> Self {
        Self::with(
            folder,
            Setup { database: folder.join("operations.db"), port: 0, lease, first: Vec::new() },
        )
        .await
    }

    /// After it was killed or stopped; it does these before anybody can connect.
    pub(crate) async fn again(&mut self, folder: &Path, first: Vec<Value>) {
        let (port, lease) = (self.port, self.lease);
        *self = Self::with(
            folder,
            Setup { database: folder.join("operations.db"), port, lease, first },
        )
        .await;
    }

    async fn with(folder: &Path, setup: Setup) -> Self {
        let log = std::fs::File::options().append(true).create(true).open(folder.join("service"));
        let mut child = Command::new(env::current_exe().expect("this program"))
            .args(["service::the_service", "--exact", "--quiet", "--nocapture"])
            .env(SETUP, serde_json::to_string(&setup).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .kill_on_drop(true)
            .spawn()
            .expect("this program");
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let input = child.stdin.take();
        let mut service = Self { child, input, output, port: 0, lease: setup.lease };
        let ready = tokio::time::timeout(PATIENCE, service.answer()).await.expect("no port");
        service.port = ready["port"].as_u64().and_then(|port| port.try_into().ok()).unwrap_or(0);
        assert_ne!(service.port, 0, "the service has ended, or does not begin: {ready}");
        service
    }

    /// What it makes of an order.
    pub(crate) async fn obeys(&mut self, order: &str) -> Value {
        let Some(input) = &mut self.input else { return json!({ "error": "it was stopped" }) };
        match input.write_all(format!("{order}\n").as_bytes()).await {
            Ok(()) => self.answer().await,
            Err(error) => json!({ "error": format!("the service: {error}") }),
        }
    }

    async fn answer(&mut self) -> Value {
        while let Ok(Some(line)) = self.output.next_line().await {
            if let Some(answer) = line.strip_prefix('@') {
                return serde_json::from_str(answer).unwrap();
            }
        }
        json!({ "error": "the service has ended" })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        kill_process(id.expect("it has not ended"), signal).expect("it is a child of ours");
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("it is a child of ours");
    }

    /// Asked to, it says goodbye.
    pub(crate) async fn stop(&mut self) {
        self.input = None;
        let _ = tokio::time::timeout(PATIENCE, self.child.wait()).await;
    }
}

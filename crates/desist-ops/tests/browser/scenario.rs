//! A scenario: node drives a browser, and says what its service is to do, a line for each.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::programs::{Programs, here};
use crate::service::Service;

/// One that has not ended by then hangs; it takes seconds.
const LONGEST: Duration = Duration::from_secs(120);
/// With more browsers than that a small machine is slow.
static ROOM: Semaphore = Semaphore::const_new(2);

pub(crate) async fn runs(name: &str) {
    let Some(programs) = Programs::find() else { return };
    let _room = ROOM.acquire().await.unwrap();
    let folder = Folder::new(name);
    let mut service = Service::begin(&folder.0, lease(name)).await;
    let mut node = Command::new(&programs.node)
        .arg(here().join("scenarios").join(format!("{name}.mjs")))
        .env("DESIST_CHROMIUM", &programs.chromium)
        .env("DESIST_PACKAGES", &programs.packages)
        .env("DESIST_FOLDER", &folder.0)
        .env("DESIST_PORT", service.port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(folder.0.join("scenario")).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let began = Instant::now();
    let went = timeout(LONGEST, talk(&mut node, &mut service, &folder.0)).await;
    // Its browser ends when it has lost who drives it.
    let _ = node.kill().await;
    let said = |file| std::fs::read_to_string(folder.0.join(file)).unwrap_or_default();
    println!("{name}: {:.1?}\n{}", began.elapsed(), said("scenario"));
    assert!(matches!(&went, Ok(Ok(()))), "{name}: {went:?}\nthe service: {}", said("service"));
}

/// What a process that has died ran is known to be lost after that: one waits for it, and all others
/// keep what they run, on however busy a machine.
fn lease(name: &str) -> Duration {
    Duration::from_secs(if name == "restart" { 3 } else { 60 })
}

/// Until it has ended.
async fn talk(node: &mut Child, service: &mut Service, folder: &Path) -> Result<(), String> {
    let mut input = node.stdin.take().unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.map_err(|error| error.to_string())? {
        let order: Value =
            serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))?;
        let answer = match order["order"].as_str() {
            Some("kill") => {
                service.kill().await;
                json!({ "answer": null })
            }
            Some("freeze") => {
                service.signal(Signal::STOP);
                json!({ "answer": null })
            }
            Some("thaw") => {
                service.signal(Signal::CONT);
                json!({ "answer": null })
            }
            Some("stop") => {
                service.stop().await;
                json!({ "answer": null })
            }
            Some("begin") => {
                let first = order["first"].as_array().cloned().unwrap_or_default();
                service.again(folder, first).await;
                json!({ "answer": null })
            }
            _ => service.obeys(&line).await,
        };
        // One that has failed does not hear it.
        let _ = input.write_all(format!("{answer}\n").as_bytes()).await;
    }
    let ended = node.wait().await.map_err(|error| error.to_string())?;
    if ended.success() { Ok(()) } else { Err(format!("it failed: {ended}")) }
}

/// Of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = format!("desist-browser-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

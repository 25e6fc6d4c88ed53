//! What has to be there: node, Chromium, and the packages of `package.json`.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub(crate) struct Programs {
    pub(crate) node: PathBuf,
    pub(crate) chromium: PathBuf,
    /// The folder that `node_modules` is in.
    pub(crate) packages: PathBuf,
}

/// Beside the sources of these tests.
pub(crate) fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

impl Programs {
    /// `None`: something is missing, and that was said.
    ///
    /// # Panics
    ///
    /// It is missing in CI.
    pub(crate) fn find() -> Option<&'static Self> {
        static FOUND: OnceLock<Result<Programs, String>> = OnceLock::new();
        match FOUND.get_or_init(Self::look) {
            Ok(programs) => Some(programs),
            Err(missing) => {
                assert!(std::env::var_os("CI").is_none(), "{missing}");
                // Past the capture of what tests print: a test that was not run is to be seen.
                let _ = writeln!(std::io::stderr(), "NOT TESTED: {missing}");
                None
            }
        }
    }

    fn look() -> Result<Self, String> {
        let named = std::env::var_os("CHROMIUM").map(PathBuf::from).filter(|path| path.is_file());
        let (chromium, node, npm) =
            (named.or_else(|| on_path("chromium")), on_path("node"), on_path("npm"));
        let missing: Vec<_> = [("chromium", &chromium), ("node", &node), ("npm", &npm)]
            .into_iter()
            .filter_map(|(name, path)| path.is_none().then_some(name))
            .collect();
        let (Some(chromium), Some(node), Some(npm)) = (chromium, node, npm) else {
            let missing = missing.join(", ");
            return Err(format!(
                "a page in a browser: {missing} missing; install with: \
                 apt-get install chromium nodejs npm"
            ));
        };
        Ok(Self { node, chromium, packages: installed(&npm)? })
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/bin".into()]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Below the folder of what is built, once for each lock file.
fn installed(npm: &Path) -> Result<PathBuf, String> {
    let lock = fs::read_to_string(here().join("package-lock.json")).unwrap();
    let place =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{:016x}", hash(&lock)));
    if place.is_dir() {
        return Ok(place);
    }
    // Whoever installs at the same time does so elsewhere: there is nothing half of it at `place`.
    let own = place.with_extension(std::process::id().to_string());
    fs::create_dir_all(&own).unwrap();
    for file in ["package.json", "package-lock.json"] {
        fs::copy(here().join(file), own.join(file)).unwrap();
    }
    let ran = Command::new(npm)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"])
        .current_dir(&own)
        .output()
        .unwrap();
    let moved = if ran.status.success() { fs::rename(&own, &place) } else { Ok(()) };
    let _ = fs::remove_dir_all(&own);
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        return Err(format!("a page in a browser: `npm ci` failed: {said}"));
    }
    match moved {
        // Somebody was faster.
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(place),
        moved => moved.map(|()| place).map_err(|error| error.to_string()),
    }
}

/// FNV-1a: the same in each process.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

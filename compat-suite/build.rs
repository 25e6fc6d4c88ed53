//! Finds the suites in tokio-util's package, which cargo has fetched already: they
//! are run, not copied.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// How many tests each had when this was written: fewer would prove less.
const SUITES: [(&str, usize); 3] =
    [("future", 12), ("sync_cancellation_token", 19), ("task_tracker", 19)];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let tests = tokio_util()?.join("tests");
    let mut modules = String::new();
    for (suite, least) in SUITES {
        let path = tests.join(suite).with_extension("rs");
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("tokio-util has no {}: {error}", path.display()))?;
        let found = text.matches("#[test]").count() + text.matches("#[tokio::test").count();
        if found < least {
            return Err(format!("{}: {found} tests, once {least}", path.display()).into());
        }
        modules += &format!("#[path = {path:?}]\nmod {suite};\n");
    }
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&out).join("suites.rs"), modules)?;
    Ok(())
}

/// The folder of the package that the workspace is locked to.
fn tokio_util() -> Result<PathBuf, Box<dyn Error>> {
    let cargo = env::var_os("CARGO").ok_or("cargo sets CARGO")?;
    let target = env::var("TARGET")?;
    let asked = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", &target])
        .output()?;
    if !asked.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&asked.stderr)).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&asked.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata has no packages")?;
    let manifest = packages
        .iter()
        .filter(|package| package["name"] == "tokio-util")
        .find_map(|package| package["manifest_path"].as_str())
        .ok_or("tokio-util is not in the lock file")?;
    Ok(Path::new(manifest).parent().ok_or("a manifest is in a folder")?.to_owned())
}

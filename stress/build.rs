//! What ThreadSanitizer lacks where std is not compiled with it: `fence.c`.

#![forbid(unsafe_code)]

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=fence.c");
    if env::var_os("CARGO_CFG_DESIST_WATCHED").is_none() {
        return;
    }
    let out = env::var_os("OUT_DIR").expect("cargo names a folder");
    let object = Path::new(&out).join("fence.o");
    let status = Command::new("cc")
        .args(["-O2", "-fPIE", "-c", "fence.c", "-o"])
        .arg(&object)
        .status()
        .expect("cc can be run");
    assert!(status.success(), "cc compiles fence.c");
    for name in ["__tsan_atomic64_fetch_sub", "__tsan_atomic_thread_fence"] {
        println!("cargo::rustc-link-arg-bins=-Wl,--wrap={name}");
    }
    println!("cargo::rustc-link-arg-bins={}", object.display());
}

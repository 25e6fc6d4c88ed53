//! The page without a browser: its own small tests, and what it brings along of others.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::programs::{Programs, here};

#[test]
fn the_parts_of_the_page_do_what_they_say() {
    let Some(programs) = Programs::find() else { return };
    let files = fs::read_dir(here().join("unit")).unwrap().map(|file| file.unwrap().path());
    let tests: Vec<_> =
        files.filter(|file| file.to_string_lossy().ends_with(".test.mjs")).collect();
    assert!(!tests.is_empty());
    let ran = Command::new(&programs.node).arg("--test").args(tests).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn the_plot_is_byte_for_byte_the_one_that_is_published() {
    let Some(programs) = Programs::find() else { return };
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/page");
    let published = programs.packages.join("node_modules/uplot/dist");
    for (our, its) in [("uplot.js", "uPlot.iife.min.js"), ("uplot.css", "uPlot.min.css")] {
        let same = fs::read(ours.join(our)).unwrap() == fs::read(published.join(its)).unwrap();
        assert!(same, "{our} is not {its} of the pinned package");
    }
}

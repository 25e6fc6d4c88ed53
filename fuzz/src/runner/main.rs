//! The fuzzer for a stable compiler: replays the corpus, then mutates its entries for a while.
//! It watches no coverage; the corpus, which libFuzzer has found, does that for it.
//!
//! What runs the input is a process of its own, so that a crash and a hang are seen, too.
#![forbid(unsafe_code)]

mod mutate;
mod options;
mod shrink;
mod worker;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs};

use desist_fuzz::Target;
use options::{Fuzz, Mode};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let outcome = match options::parse(env::args().skip(1)) {
        Ok(Mode::Fuzz(fuzz)) => run(&fuzz),
        Ok(Mode::Work(work)) => worker::work(&work).map(|()| true),
        Ok(Mode::Replay(replay)) => worker::replay(&replay).map(|()| true),
        Err(problem) => Err(format!("{problem}\n{}", options::USAGE).into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("desist-fuzz: {error}");
            ExitCode::from(2)
        }
    }
}

/// True if nothing was found.
fn run(fuzz: &Fuzz) -> Outcome<bool> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = fuzz.corpus.clone().unwrap_or_else(|| home.join("corpus"));
    let seed = fuzz.seed.map_or_else(
        || {
            Ok::<_, Box<dyn Error>>(u64::from(
                SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos(),
            ))
        },
        Ok,
    )?;
    let each = Duration::from_secs(fuzz.seconds) / u32::try_from(fuzz.targets.len())?;
    for &target in &fuzz.targets {
        println!("{}: seed {seed}, {:.1} s", target.name(), each.as_secs_f64());
        let current = env::temp_dir().join(format!("desist-fuzz-{}", std::process::id()));
        let status = Command::new(env::current_exe()?)
            .args(["--work", target.name(), &seed.to_string(), &each.as_millis().to_string()])
            .args([&corpus.join(target.name()), &current])
            .status()?;
        let input = fs::read(&current);
        let _ = fs::remove_file(&current);
        match status.code() {
            Some(0) => {}
            // It could not even begin, and has said why.
            Some(2) => return Ok(false),
            _ => {
                eprintln!("{}: FAILED: {status}", target.name());
                report(target, &input?, home)?;
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Keeps the input, makes it small, and says how to see it fail again.
fn report(target: Target, input: &[u8], home: &Path) -> Outcome<()> {
    let folder = home.join("artifacts").join(target.name());
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("fail-{:016x}", mutate::hash(input)));
    fs::write(&file, input)?;
    eprintln!("{}: {} bytes fail: {}", target.name(), input.len(), file.display());
    let again = match shrink::shrink(target, input)? {
        Some(small) => {
            let name = PathBuf::from(format!("{}.min", file.display()));
            fs::write(&name, &small)?;
            eprintln!("{}: shrunk to {} bytes: {small:?}", target.name(), small.len());
            for line in target.describe(&small) {
                eprintln!("    {line}");
            }
            name
        }
        None => {
            eprintln!("{}: replayed alone it does not fail every time", target.name());
            file
        }
    };
    let manifest = home.join("Cargo.toml");
    let (manifest, again) = (manifest.display(), again.display());
    eprintln!("again: cargo run --release --manifest-path {manifest} -- --replay {again}");
    Ok(())
}

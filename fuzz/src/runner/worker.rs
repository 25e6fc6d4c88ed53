//! The process that runs inputs. It dies of the first that fails.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use desist_fuzz::Target;

use crate::Outcome;
use crate::mutate::{Random, mutant};
use crate::options::{Replay, Work};

/// What the process ends with when an input takes too long.
const HANGS: i32 = 70;

/// How many inputs were begun.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// How often an entry is run: with threads, it is not the same each time.
fn rounds(target: Target, often: usize) -> usize {
    match target {
        Target::Model => 1,
        Target::Threads => often,
    }
}

/// Ends the process if one input takes longer than this.
fn watch(patience: Duration) {
    thread::spawn(move || {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            thread::sleep(Duration::from_millis(200));
            let begun = BEGUN.load(Ordering::Relaxed);
            if begun != seen {
                (seen, since) = (begun, Instant::now());
            } else if since.elapsed() > patience {
                eprintln!("HANG: input {begun} takes longer than {patience:?}");
                std::process::exit(HANGS);
            }
        }
    });
}

/// The entries of the corpus, in a fixed order. An empty one is an error: nothing would be shown.
fn corpus(folder: &Path) -> Outcome<Vec<Vec<u8>>> {
    let listed = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut files = listed.map(|entry| Ok(entry?.path())).collect::<Outcome<Vec<_>>>()?;
    files.sort();
    if files.is_empty() {
        return Err(format!("{}: there is nothing in it", folder.display()).into());
    }
    files.iter().map(|file| Ok(fs::read(file)?)).collect()
}

pub(crate) fn work(work: &Work) -> Outcome<()> {
    let corpus = corpus(&work.corpus)?;
    let mut current = File::create(&work.current)?;
    let mut run = |data: &[u8]| -> Outcome<()> {
        current.set_len(0)?;
        current.rewind()?;
        current.write_all(data)?;
        BEGUN.fetch_add(1, Ordering::Relaxed);
        work.target.run(data);
        Ok(())
    };
    watch(work.patience);
    for data in &corpus {
        for _ in 0..rounds(work.target, 20) {
            run(data)?;
        }
    }
    let mut random = Random::seeded(work.seed);
    let (begun, mut mutants) = (Instant::now(), 0_u32);
    while begun.elapsed() < work.time {
        run(&mutant(&corpus, &mut random))?;
        mutants += 1;
    }
    let spent = begun.elapsed().as_secs_f64();
    println!(
        "{}: {} entries of the corpus replayed, {mutants} mutants in {spent:.1} s, {:.0}/s",
        work.target.name(),
        corpus.len(),
        f64::from(mutants) / spent.max(0.001),
    );
    Ok(())
}

pub(crate) fn replay(replay: &Replay) -> Outcome<()> {
    let data = fs::read(&replay.file)?;
    if !replay.quiet {
        replay.target.describe(&data).iter().for_each(|line| println!("{line}"));
    }
    watch(replay.patience);
    let rounds = rounds(replay.target, 500);
    for _ in 0..rounds {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        replay.target.run(&data);
    }
    if !replay.quiet {
        println!(
            "{}: {} bytes, run {rounds} times: nothing failed",
            replay.target.name(),
            data.len()
        );
    }
    Ok(())
}

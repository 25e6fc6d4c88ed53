//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use desist_fuzz::Target;

pub(crate) const USAGE: &str = "\
usage: desist-fuzz [SECONDS] [CORPUS] [--target model|threads] [--seed NUMBER]
       desist-fuzz --replay FILE [--target model|threads]

SECONDS are spent on both targets together, after their corpus was replayed.
CORPUS has a folder for each target.";

/// How long one input may take. Most take less than a thousandth of a second.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq)]
pub(crate) enum Mode {
    Fuzz(Fuzz),
    Replay(Replay),
    Work(Work),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Fuzz {
    pub(crate) seconds: u64,
    pub(crate) corpus: Option<PathBuf>,
    pub(crate) targets: Vec<Target>,
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Replay {
    pub(crate) file: PathBuf,
    pub(crate) target: Target,
    pub(crate) patience: Duration,
    /// For the shrinking, which asks for nothing but success.
    pub(crate) quiet: bool,
}

/// For the process that does the work; nobody types this.
#[derive(Debug, PartialEq)]
pub(crate) struct Work {
    pub(crate) target: Target,
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    pub(crate) corpus: PathBuf,
    /// Where it says what it is running.
    pub(crate) current: PathBuf,
    pub(crate) patience: Duration,
}

pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Mode, String> {
    let mut arguments = arguments.peekable();
    let (mut seed, mut target, mut replay, mut patience) = (None, None, None, None);
    let (mut plain, mut quiet) = (Vec::new(), false);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--seed" => seed = Some(number(&value()?)?),
            "--target" => target = Some(named(&value()?)?),
            "--replay" => replay = Some(PathBuf::from(value()?)),
            "--patience" => patience = Some(Duration::from_secs(number(&value()?)?)),
            "--quiet" => quiet = true,
            "--work" => {
                return Ok(Mode::Work(Work {
                    target: named(&value()?)?,
                    seed: number(&value()?)?,
                    time: Duration::from_millis(number(&value()?)?),
                    corpus: value()?.into(),
                    current: value()?.into(),
                    patience: PATIENCE,
                }));
            }
            option if option.starts_with('-') => return Err(format!("{option} is unknown")),
            _ => plain.push(argument),
        }
    }
    if let Some(file) = replay {
        let target = target.or_else(|| folder_of(&file)).ok_or("say --target model or threads")?;
        let patience = patience.unwrap_or(PATIENCE);
        return Ok(Mode::Replay(Replay { file, target, patience, quiet }));
    }
    let mut plain = plain.into_iter();
    let seconds = plain.next().map_or(Ok(30), |text| number(&text))?;
    let corpus = plain.next().map(PathBuf::from);
    if let Some(more) = plain.next() {
        return Err(format!("{more} is too much"));
    }
    let targets = target.map_or_else(|| Target::ALL.to_vec(), |target| vec![target]);
    Ok(Mode::Fuzz(Fuzz { seconds, corpus, targets, seed }))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn named(text: &str) -> Result<Target, String> {
    Target::named(text).ok_or(format!("{text} is no target"))
}

/// Inputs lie in folders that are named like their targets.
fn folder_of(file: &Path) -> Option<Target> {
    Target::named(file.parent()?.file_name()?.to_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Mode, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_typed_is_understood() {
        let fuzz = |seconds, corpus: Option<&str>, targets: &[Target], seed| {
            let (corpus, targets) = (corpus.map(PathBuf::from), targets.to_vec());
            Ok(Mode::Fuzz(Fuzz { seconds, corpus, targets, seed }))
        };
        assert_eq!(parsed(""), fuzz(30, None, &Target::ALL, None));
        assert_eq!(parsed("7 some/where"), fuzz(7, Some("some/where"), &Target::ALL, None));
        assert_eq!(
            parsed("--target threads 7 --seed 5"),
            fuzz(7, None, &[Target::Threads], Some(5))
        );
        let Ok(Mode::Replay(replay)) = parsed("--replay artifacts/model/fail-1") else {
            panic!("it is to be replayed");
        };
        assert_eq!((replay.target, replay.quiet), (Target::Model, false));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["--replay fail-1", "--seed", "--seed x", "x", "1 a b", "--what", "--target x"]
        {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}

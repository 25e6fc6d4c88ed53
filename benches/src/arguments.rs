//! What the command line asks for.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::measure::Settings;
use crate::{peers, rows};

const USAGE: &str = "\
usage: desist-benches [ROWS] [--peers NAMES] [--quick] [--check] [--to FILE]
       memory                [--peers NAMES] [--quick] [--check] [--to FILE]
       growth         [ROWS] [--peers NAMES] [--quick] [--to FILE]

  ROWS           rows or families, separated by commas: 1a,4b or 6b or 6*; without: all
  --peers NAMES  only peers whose name contains one of these, beside desist: tokio,nexus
  --quick        few rounds and no set of a million: a smoke test
  --check        exit 1 if desist costs more than 1.5 times what tokio-util does in a row, or
                 what it may there by the lists in check.rs, or is heavier than it was
  --to FILE      write it to FILE as well: a table as Markdown, growth as tab-separated values
";

#[derive(Debug)]
pub(crate) enum Request {
    Help,
    Measure(Arguments),
}

#[derive(Debug, Default)]
pub(crate) struct Arguments {
    row_patterns: Vec<String>,
    pub(crate) check: bool,
    pub(crate) to: Option<String>,
    pub(crate) settings: Settings,
}

impl Arguments {
    pub(crate) fn wants_row(&self, id: &str) -> bool {
        self.row_patterns.is_empty() || self.row_patterns.iter().any(|pattern| names(pattern, id))
    }
}

/// `6b-1k` is named by itself, by its family `6b` and by any prefix with a star.
fn names(pattern: &str, id: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => id.starts_with(prefix),
        None => id == pattern || id.split('-').next() == Some(pattern),
    }
}

pub(crate) fn parse(
    mut words: impl Iterator<Item = String>,
    known_rows: &[(&str, &str)],
) -> Result<Request, String> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-h" | "--help" => return Ok(Request::Help),
            "--quick" => arguments.settings.quick = true,
            "--check" => arguments.check = true,
            "--to" => {
                let file = words.next().ok_or("--to needs a file: give its name")?;
                arguments.to = Some(file);
            }
            "--peers" => arguments.settings.peers = peer_patterns(words.next())?,
            "--handicap" => arguments.settings.handicap = handicap(words.next())?,
            flag if flag.starts_with('-') => {
                return Err(format!("unknown option {flag}: --help lists the options"));
            }
            rows => arguments.row_patterns.extend(row_patterns(rows, known_rows)?),
        }
    }
    Ok(Request::Measure(arguments))
}

fn row_patterns(list: &str, known: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let patterns: Vec<String> = list.split(',').map(str::to_owned).collect();
    for pattern in &patterns {
        if known.iter().any(|(id, _)| names(pattern, id)) {
            continue;
        }
        if names(pattern, rows::memory::ID) {
            return Err(format!(
                "row {pattern} needs an allocator that counts: \
                 run `cargo run --release -p desist-benches --bin memory`"
            ));
        }
        return Err(format!("no row is named {pattern}: --help lists the rows"));
    }
    Ok(patterns)
}

fn peer_patterns(list: Option<String>) -> Result<Vec<String>, String> {
    let known = peers::NAMES.join(", ");
    let list =
        list.ok_or_else(|| format!("--peers needs names: give some of {known}, with commas"))?;
    let patterns: Vec<String> = list.split(',').map(str::to_owned).collect();
    match patterns.iter().find(|pattern| !peers::is_known(pattern)) {
        Some(unknown) => Err(format!("no peer is named {unknown}: choose from {known}")),
        None => Ok(patterns),
    }
}

fn handicap(factor: Option<String>) -> Result<f64, String> {
    factor
        .and_then(|text| text.parse().ok())
        .filter(|factor: &f64| factor.is_finite() && *factor > 0.0)
        .ok_or_else(|| "--handicap needs a factor: give a number above 0, such as 10".to_owned())
}

pub(crate) fn print_help(
    out: &mut impl Write,
    known_rows: &[(&str, &str)],
) -> io::Result<ExitCode> {
    writeln!(out, "{USAGE}\nrows:")?;
    for (id, title) in known_rows {
        writeln!(out, "  {id:<9} {title}")?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &[(&str, &str)] = &[("1a", ""), ("6b-1", ""), ("6b-1k", ""), ("11a", "")];

    fn parsed(words: &[&str]) -> Result<Request, String> {
        parse(words.iter().map(ToString::to_string), ROWS)
    }

    fn rows_of(words: &[&str]) -> Vec<&'static str> {
        let Ok(Request::Measure(arguments)) = parsed(words) else {
            panic!("{words:?} is not a request to measure");
        };
        ROWS.iter().map(|(id, _)| *id).filter(|id| arguments.wants_row(id)).collect()
    }

    #[test]
    fn rows_are_named_by_id_family_or_prefix() {
        assert_eq!(rows_of(&[]), ["1a", "6b-1", "6b-1k", "11a"]);
        assert_eq!(rows_of(&["1a"]), ["1a"]);
        assert_eq!(rows_of(&["6b"]), ["6b-1", "6b-1k"]);
        assert_eq!(rows_of(&["1*"]), ["1a", "11a"]);
        assert_eq!(rows_of(&["6b-1k,11a", "--quick"]), ["6b-1k", "11a"]);
    }

    #[test]
    fn mistakes_are_told_with_the_way_out() {
        for (words, advice) in [
            (&["2z"] as &[&str], "--help lists the rows"),
            (&["10"], "--bin memory"),
            (&["--fast"], "--help lists the options"),
            (&["--peers"], "tokio-util"),
            (&["--peers", "no-such"], "choose from"),
            (&["--handicap", "-1"], "above 0"),
            (&["--to"], "give its name"),
        ] {
            let error = parsed(words).unwrap_err();
            assert!(error.contains(advice), "{words:?}: {error}");
            assert!(!error.starts_with(char::is_uppercase), "{error}");
        }
    }
}

//! The tables as Markdown, a line for each row.

use std::fmt::Write as _;

use crate::measure::is_desist;
use crate::peers::{Desist, Nexus, Peer, TokioUtil};
use crate::report::{Line, Outcome, figure, ratio};

const NONE: &str = "–";
/// Fewer quiet rounds than this, and disturbed ones are among the figures.
const FEW_QUIET_ROUNDS: usize = 3;

/// The rows in which `desist` takes part, and those that only say what the machine takes.
pub(crate) fn speed(outcomes: &[Outcome]) -> String {
    let mut table = String::from(
        "| row | work | desist | tokio-util | to desist | nexus-async-rt | less done | limit | aim |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let (rows, limits): (Vec<_>, Vec<_>) =
        outcomes.iter().partition(|outcome| outcome.desist().is_some());
    for outcome in rows {
        let theirs = outcome.tokio_util();
        let cells = [
            outcome.id.to_owned(),
            outcome.title.to_owned(),
            outcome.desist().map_or(NONE.to_owned(), |line| named(line, Desist::NAME)),
            theirs.map_or(NONE.to_owned(), |line| named(line, TokioUtil::NAME)),
            theirs.and_then(|line| line.ratio).map_or(NONE.to_owned(), ratio),
            fastest(outcome, is_nexus).map_or(NONE.to_owned(), |line| named(line, Nexus::NAME)),
            fastest(outcome, |line| !is_nexus(line)).map_or(NONE.to_owned(), of_another),
            joined(outcome.lines.iter().filter(|line| is_limit(line)).map(limit)),
            if outcome.aim.is_empty() { NONE.to_owned() } else { outcome.aim.to_owned() },
        ];
        let _ = writeln!(table, "| {} |", cells.join(" | "));
    }
    if !limits.is_empty() {
        table += "\n| row | what the machine takes | ns |\n|---|---|--:|\n";
    }
    for outcome in limits {
        for line in &outcome.lines {
            let name = line.name.trim_matches(['(', ')']);
            let _ = writeln!(table, "| {} | {name} | {} |", outcome.id, figure(line.median));
        }
    }
    table
}

/// One column for each peer, which are the same in all rows but where they have no part.
pub(crate) fn memory(outcomes: &[Outcome]) -> String {
    let mut peers: Vec<&str> = Vec::new();
    for line in outcomes.iter().flat_map(|outcome| &outcome.lines) {
        if !peers.contains(&line.name.as_str()) {
            peers.push(&line.name);
        }
    }
    let mut table = format!("| row | what | {} | aim |\n|---|---|", peers.join(" | "));
    table += &"--:|".repeat(peers.len() + 1);
    table.push('\n');
    for outcome in outcomes {
        let of_peer = |peer: &&str| outcome.lines.iter().find(|line| line.name == *peer);
        let cells = peers
            .iter()
            .map(|peer| of_peer(peer).map_or(NONE.to_owned(), |line| figure(line.median)));
        let cells: Vec<_> = cells.collect();
        let aim = if outcome.aim.is_empty() { NONE } else { outcome.aim };
        let _ = writeln!(
            table,
            "| {} | {} | {} | {aim} |",
            outcome.id,
            outcome.title,
            cells.join(" | ")
        );
    }
    table
}

fn is_limit(line: &Line) -> bool {
    line.name.starts_with('(')
}

/// The only other one in which children are cancelled and waiters woken.
fn is_nexus(line: &Line) -> bool {
    line.name.starts_with(Nexus::NAME)
}

/// The fastest of those that are neither ours nor what ours is compared with.
fn fastest(outcome: &Outcome, of_these: impl Fn(&Line) -> bool) -> Option<&Line> {
    let theirs = outcome.tokio_util().map(|line| line.name.as_str());
    let others = outcome.lines.iter().filter(|line| {
        let name = line.name.as_str();
        let ours = is_desist(name) || is_limit(line);
        // Its further entries are left out beside its own; where it is tokio's they are others.
        let beside = |theirs: &str| {
            name == theirs || [theirs, name].iter().all(|name| name.starts_with(TokioUtil::NAME))
        };
        !ours && !theirs.is_some_and(beside) && of_these(line)
    });
    others.min_by(|a, b| a.median.total_cmp(&b.median))
}

fn of_another(line: &Line) -> String {
    format!("{} ({})", median(line), line.name)
}

/// What of several entries of one crate it is, where it is not the plain one.
fn named(line: &Line, crate_name: &str) -> String {
    match line.name.trim_start_matches(crate_name).trim() {
        "" => median(line),
        rest => format!("{} ({rest})", median(line)),
    }
}

fn limit(line: &Line) -> String {
    format!("{} {}", figure(line.median), line.name)
}

fn joined(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<_> = cells.collect();
    if cells.is_empty() { NONE.to_owned() } else { cells.join("; ") }
}

fn median(line: &Line) -> String {
    let disturbed = if line.quiet_rounds < FEW_QUIET_ROUNDS { "\\*" } else { "" };
    format!("{}{disturbed}", figure(line.median))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, median: f64) -> Line {
        let ratio = (!name.starts_with('(')).then_some(median / 10.0);
        Line { name: name.to_owned(), median, least: median, ratio, quiet_rounds: 9, rounds: 9 }
    }

    #[test]
    fn a_row_names_the_others_and_the_limit() {
        let lines = vec![
            line("desist", 10.0),
            line("tokio-util token and sleep", 40.0),
            line("tokio-util child and sleep", 30.0),
            Line { quiet_rounds: 0, ..line("nexus-async-rt", 25.0) },
            line("tokio Notify + flag", 26.0),
            line("(malloc)", 5.0),
        ];
        let row = Outcome { id: "4a", title: "make it", aim: "≤ 18", lines };
        let text = speed(&[row]);
        let expected = "| 4a | make it | 10.00 | 30.00 (child and sleep) | 3.00 | 25.00\\* \
                        | 26.00 (tokio Notify + flag) | 5.00 (malloc) | ≤ 18 |\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn limits_have_a_table_of_their_own_and_what_is_missing_a_dash() {
        let alone =
            Outcome { id: "x", title: "alone", aim: "", lines: vec![line("desist on", 10.0)] };
        let limit = Outcome { id: "L1", title: "", aim: "", lines: vec![line("(malloc)", 5.0)] };
        let text = speed(&[limit, alone]);
        assert!(text.contains("| x | alone | 10.00 (on) | – | – | – | – | – | – |\n\n"), "{text}");
        assert!(text.ends_with("| L1 | malloc | 5.00 |\n"), "{text}");
    }

    #[test]
    fn a_peer_without_a_figure_has_a_dash() {
        let row = |id, lines| Outcome { id, title: "it", aim: "", lines };
        let both = row("a", vec![line("desist", 1.0), line("other", 2.0)]);
        let text = memory(&[both, row("b", vec![line("desist", 3.0)])]);
        assert!(
            text.contains("| row | what | desist | other | aim |\n|---|---|--:|--:|--:|\n"),
            "{text}"
        );
        assert!(text.ends_with("| b | it | 3.00 | – | – |\n"), "{text}");
    }
}

//! Times and columns for people.

use std::time::Duration;

/// As many digits as anybody reads.
pub(crate) fn span(time: Duration) -> String {
    let millis = time.as_millis();
    if time.as_micros() < 10_000 {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else if millis < 1_000 {
        format!("{millis} ms")
    } else if millis < 100_000 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} s", time.as_secs())
    }
}

/// The lines of a table: each cell as wide as the widest of its column; the last is not filled.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            line.push_str(cell);
            if column + 1 < row.len() {
                // Not by the formatter, which has a limit to how wide it can be.
                let fill = widths[column] - cell.chars().count() + 2;
                line.extend(std::iter::repeat_n(' ', fill));
            }
        }
        line
    };
    rows.iter().map(line).collect()
}

/// A line of a terminal is a line: nothing in it moves the cursor, or turns the text.
pub(crate) fn plain(line: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    line.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect()
}

/// No more of it than is read in a table.
pub(crate) fn short(line: &str, most: usize) -> String {
    let mut short: String = plain(line).chars().take(most).collect();
    if line.chars().nth(most).is_some() {
        short.push_str("..");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_the_digits_that_are_read() {
        let of = |micros| span(Duration::from_micros(micros));
        assert_eq!(of(0), "0.0 ms");
        assert_eq!(of(1_250), "1.2 ms");
        assert_eq!(of(31_400), "31 ms");
        assert_eq!(of(30_040_000), "30.0 s");
        assert_eq!(of(300_000_000), "300 s");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["a", "b", "c"], ["name", "ü", ""]];
        let rows: Vec<Vec<_>> =
            rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(table(&rows), ["a     b  c", "name  ü  "]);
    }
}

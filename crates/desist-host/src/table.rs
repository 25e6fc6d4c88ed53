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
        let cells = row.iter().zip(&widths);
        let line: String = cells.map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A line of a terminal is a line: nothing in it moves the cursor.
pub(crate) fn plain(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
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
        assert_eq!(table(&rows), ["a     b  c", "name  ü"]);
    }
}

//! The growth table: the cost of one among ever more, and that of a check while very many
//! are cancelled. As lines for people, and as tab-separated values for a plot.

use std::io::{self, Write};

use crate::arguments::Arguments;
use crate::measure::{Settings, by_turns};
use crate::report::{Line, figure};
use crate::rows::during::{self, During};
use crate::rows::growth::{SERIES, Series};

const COUNTS: [usize; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
const QUICK_COUNTS: usize = 4;

pub(crate) fn known() -> Vec<(&'static str, &'static str)> {
    let series = SERIES.iter().map(|series| (series.id, series.title));
    series.chain([(during::ID, during::TITLE)]).collect()
}

/// Prints as it goes, and gives all of it as tab-separated values.
pub(crate) fn measure(arguments: &Arguments, out: &mut impl Write) -> io::Result<String> {
    let settings = &arguments.settings;
    let counts = if settings.quick { &COUNTS[..QUICK_COUNTS] } else { &COUNTS };
    let mut values = String::from("series\tpeer\tn\tat_us\tns\tleast_ns\tlongest_ns\tquiet\n");
    for series in SERIES.iter().filter(|series| arguments.wants_row(series.id)) {
        writeln!(out, "\n{}  {}", series.id, series.title)?;
        for (place, &n) in counts.iter().enumerate() {
            let lines =
                by_turns(settings, rounds(settings, n), |entries| (series.fill)(entries, n));
            if place == 0 {
                print_line(out, "n", lines.iter().map(|line| line.name.clone()))?;
            }
            print_line(out, &n.to_string(), lines.iter().map(|line| figure(line.median)))?;
            values.extend(lines.iter().map(|line| value_of(series, n, line)));
        }
    }
    if arguments.wants_row(during::ID) {
        let n = counts[counts.len() - 1];
        let during = during::measure(settings, n, rounds(settings, n));
        print_during(out, n, &during)?;
        values += &values_of(n, &during);
    }
    Ok(values)
}

/// A larger set takes longer, and averages more in one sample.
fn rounds(settings: &Settings, n: usize) -> usize {
    match n {
        _ if settings.quick => 3,
        ..=10_000 => 21,
        10_001..=100_000 => 11,
        _ => 7,
    }
}

fn print_line(
    out: &mut impl Write,
    first: &str,
    cells: impl Iterator<Item = String>,
) -> io::Result<()> {
    write!(out, "  {first:>9}")?;
    for cell in cells {
        write!(out, " {cell:>27}")?;
    }
    writeln!(out)?;
    out.flush()
}

fn value_of(series: &Series, n: usize, line: &Line) -> String {
    let (median, least) = (figure(line.median), figure(line.least));
    let quiet = format!("{}/{}", line.quiet_rounds, line.rounds);
    format!("{}\t{}\t{n}\t-\t{median}\t{least}\t-\t{quiet}\n", series.id, line.name)
}

fn print_during(out: &mut impl Write, n: usize, during: &During) -> io::Result<()> {
    writeln!(out, "\n{}  {}, n = {n}", during::ID, during::TITLE)?;
    print_line(
        out,
        "",
        ["cancel, µs", "longest check, ns", "quiet rounds"].map(str::to_owned).into_iter(),
    )?;
    for course in &during.courses {
        let quiet = format!("{}/{}", course.quiet_rounds, course.rounds);
        let cells = [figure(course.cancel_us), figure(course.longest_ns()), quiet];
        write!(out, "  {:<20}", course.name)?;
        print_line(out, "", cells.into_iter())?;
    }
    writeln!(out, "  a reading of the clock is taken off: {} ns", figure(during.clock_ns))
}

fn values_of(n: usize, during: &During) -> String {
    let clock = figure(during.clock_ns);
    let mut values = format!("clock\t(Instant::now)\t{n}\t-\t{clock}\t-\t-\t-\n");
    for course in &during.courses {
        let name = course.name;
        let (cancel, longest) = (figure(course.cancel_us * 1e3), figure(course.longest_ns()));
        let quiet = format!("{}/{}", course.quiet_rounds, course.rounds);
        values += &format!("cancel\t{name}\t{n}\t0\t{cancel}\t-\t{longest}\t{quiet}\n");
        for piece in &course.pieces {
            let median = piece.median_ns.map_or("-".to_owned(), figure);
            let (at, longest) = (piece.at_us, figure(piece.longest_ns));
            values += &format!("{}\t{name}\t{n}\t{at:.2}\t{median}\t-\t{longest}\t-\n", during::ID);
        }
    }
    values
}

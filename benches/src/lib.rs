//! What cancellation costs, measured side by side: `desist` and its peers in
//! one process, round by round. The README says how and how to read it.
//!
//! The programs are `desist-benches` (the speed table), `memory` (row 10), `growth`, and others
//! in `src/bin/` that have a table of their own.

mod arguments;
mod check;
mod growth;
mod machine;
mod markdown;
mod measure;
mod peers;
mod report;
mod rows;
mod sample;
mod waker;

use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;

use arguments::{Arguments, Request};
use check::Check;
pub use rows::memory::Heap;
pub use sample::Sample;

/// Keeps this thread on one of the CPUs that the process may use.
pub fn pin(index: usize) {
    machine::pin(index);
}

/// The same for the main thread of another process.
pub fn pin_process(pid: i32, index: usize) {
    machine::pin_thread(pid, index);
}

/// How long this takes.
pub fn timed(work: impl FnOnce()) -> Sample {
    sample::timed(work)
}

/// How long this takes on two CPUs at the same time, from the first start to the last end.
pub fn timed_on_two(work: impl Fn(usize) + Sync) -> Sample {
    sample::on_two_cpus(work)
}

/// Measures and prints the rows that `arguments` ask for.
///
/// # Errors
///
/// What is wrong with the arguments or the machine, and what to do about it.
pub fn speed_table(arguments: impl Iterator<Item = String>) -> Result<ExitCode, String> {
    let known: Vec<_> = rows::all().map(|row| (row.id, row.title)).collect();
    let request = arguments::parse(arguments, &known)?;
    unless_pipe_closed(print_speed_table(request, &known))
}

/// Measures and prints the series that `arguments` ask for.
///
/// # Errors
///
/// What is wrong with the arguments or the machine, and what to do about it.
pub fn growth_table(arguments: impl Iterator<Item = String>) -> Result<ExitCode, String> {
    let known = growth::known();
    let request = arguments::parse(arguments, &known)?;
    if matches!(&request, Request::Measure(arguments) if arguments.check) {
        return Err("growth has no --check: desist-benches and memory have".to_owned());
    }
    unless_pipe_closed(print_growth_table(request, &known))
}

/// Measures and prints the memory of a live child and of a wait, each peer in a fresh
/// process. `heap` tells how much of the heap is in use.
///
/// # Errors
///
/// What is wrong with the arguments, and what to do about it.
pub fn memory_table(
    mut arguments: impl Iterator<Item = String>,
    heap: fn() -> Heap,
) -> Result<ExitCode, String> {
    let mut first = arguments.next();
    if first.as_deref() == Some(rows::memory::CHILD_PROCESS) {
        return rows::memory::in_child_process(arguments, heap);
    }
    let known = [(rows::memory::ID, rows::memory::TITLE)];
    let request = arguments::parse(first.take().into_iter().chain(arguments), &known)?;
    unless_pipe_closed(print_memory_table(request, &known))
}

fn print_speed_table(request: Request, known: &[(&str, &str)]) -> io::Result<ExitCode> {
    let mut out = io::stdout();
    let Request::Measure(arguments) = request else {
        return arguments::print_help(&mut out, known);
    };
    machine::require_two_cpus()?;
    machine::pin(0);
    let file = file_to_write(&arguments)?;
    report::print_head(&mut out)?;
    let mut check = Check::default();
    let mut outcomes = Vec::new();
    for row in rows::all().filter(|row| arguments.wants_row(row.id)) {
        if row.large && arguments.settings.quick {
            continue;
        }
        let mut outcome = row.measure(&arguments.settings);
        if arguments.check {
            outcome = check.judge(outcome, || row.measure(&arguments.settings));
        }
        outcome.print(&mut out)?;
        outcomes.push(outcome);
    }
    write_to(file, &markdown::speed(&outcomes))?;
    finish(&arguments, &check, &mut out)
}

fn print_memory_table(request: Request, known: &[(&str, &str)]) -> io::Result<ExitCode> {
    let mut out = io::stdout();
    let Request::Measure(arguments) = request else {
        return arguments::print_help(&mut out, known);
    };
    let file = file_to_write(&arguments)?;
    report::print_head(&mut out)?;
    let mut check = Check::default();
    let outcomes = rows::memory::measure(&arguments)?;
    for outcome in &outcomes {
        check.note(outcome);
        outcome.print(&mut out)?;
    }
    write_to(file, &markdown::memory(&outcomes))?;
    finish(&arguments, &check, &mut out)
}

fn print_growth_table(request: Request, known: &[(&str, &str)]) -> io::Result<ExitCode> {
    let mut out = io::stdout();
    let Request::Measure(arguments) = request else {
        return arguments::print_help(&mut out, known);
    };
    machine::require_two_cpus()?;
    machine::pin(0);
    let file = file_to_write(&arguments)?;
    let values = growth::measure(&arguments, &mut out)?;
    write_to(file, &values)?;
    Ok(ExitCode::SUCCESS)
}

/// Made before anything is measured, so that a name that cannot be is told at once.
fn file_to_write(arguments: &Arguments) -> io::Result<Option<File>> {
    let made = |name: &String| {
        File::create(name)
            .map_err(|error| io::Error::other(format!("cannot write {name}: {error}")))
    };
    arguments.to.as_ref().map(made).transpose()
}

fn write_to(file: Option<File>, text: &str) -> io::Result<()> {
    file.map_or(Ok(()), |mut file| file.write_all(text.as_bytes()))
}

fn finish(arguments: &Arguments, check: &Check, out: &mut impl Write) -> io::Result<ExitCode> {
    if !arguments.check {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "\n{check}")?;
    Ok(if check.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A reader that has seen enough (`| head`) is no failure.
fn unless_pipe_closed(printed: io::Result<ExitCode>) -> Result<ExitCode, String> {
    match printed {
        Ok(code) => Ok(code),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.to_string()),
    }
}

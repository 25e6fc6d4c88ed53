//! Rows 10: what a child and a wait cost while they live. Each peer has a process of its
//! own for each, so that it meets a fresh heap.

use std::env;
use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::process::{Command, ExitCode};
use std::task::{Context, Waker};

use crate::arguments::Arguments;
use crate::peers::{AlmostEnough, Desist, HasChild, HasWait, Nexus, Peer, TokioUtil};
use crate::report::{Line, Outcome};

pub(crate) const ID: &str = "10";
pub(crate) const TITLE: &str = "memory of a live child and of a wait";
/// The first argument of the process in which one peer is measured.
pub(crate) const CHILD_PROCESS: &str = "--in-child-process";

const CHILD: &str = "child";
const WAIT: &str = "wait";
const PARENTS: &[&str] = &[Desist::NAME, TokioUtil::NAME, Nexus::NAME, AlmostEnough::NAME];
const WAITERS: &[&str] = &[Desist::NAME, TokioUtil::NAME, Nexus::NAME];

/// What a program has taken from its allocator.
#[derive(Clone, Copy, Debug)]
pub struct Heap {
    /// In use now.
    pub bytes: i64,
    /// Asked for since the program began.
    pub allocations: i64,
}

#[derive(Clone, Copy)]
struct Footprint {
    heap: f64,
    resident: f64,
    allocations: f64,
}

pub(crate) fn measure(arguments: &Arguments) -> io::Result<Vec<Outcome>> {
    let children = footprints(arguments, CHILD, PARENTS)?;
    let waits = footprints(arguments, WAIT, WAITERS)?;
    let row = |id, title, aim, lines| Outcome { id, title, aim, lines };
    Ok(vec![
        row("10-heap", "heap of a live child, bytes", "≤ 80", lines(&children, |of| of.heap)),
        row(
            "10-rss",
            "resident memory of a live child, bytes",
            "≤ 96",
            lines(&children, |of| of.resident),
        ),
        row("10-allocations", "allocations of a child", "1", lines(&children, |of| of.allocations)),
        row(
            "10-wait-heap",
            "heap of a live wait, its future in a box, bytes",
            "",
            lines(&waits, |of| of.heap),
        ),
        row(
            "10-wait-rss",
            "resident memory of the same, bytes",
            "",
            lines(&waits, |of| of.resident),
        ),
        row(
            "10-wait-allocations",
            "allocations of the same, the box among them",
            "1",
            lines(&waits, |of| of.allocations),
        ),
    ])
}

type Footprints = Vec<(&'static str, Footprint)>;

fn footprints(
    arguments: &Arguments,
    what: &str,
    peers: &'static [&'static str],
) -> io::Result<Footprints> {
    let count = if arguments.settings.quick { 100_000 } else { 1_000_000 };
    let mut footprints = Vec::new();
    for &name in peers.iter().filter(|name| arguments.settings.wants_peer(name)) {
        let handicap = if name == Desist::NAME { arguments.settings.handicap } else { 1.0 };
        let Footprint { heap, resident, allocations } = ask_child_process(what, name, count)?;
        let footprint = Footprint {
            heap: heap * handicap,
            resident: resident * handicap,
            allocations: allocations * handicap,
        };
        footprints.push((name, footprint));
    }
    Ok(footprints)
}

fn lines(footprints: &Footprints, value: fn(&Footprint) -> f64) -> Vec<Line> {
    let desist = value(&footprints[0].1);
    let line = |(name, footprint): &(&str, Footprint)| {
        let value = value(footprint);
        let ratio = Some(value / desist);
        let name = (*name).to_owned();
        Line { name, median: value, least: value, ratio, quiet_rounds: 1, rounds: 1 }
    };
    footprints.iter().map(line).collect()
}

fn ask_child_process(what: &str, name: &str, count: usize) -> io::Result<Footprint> {
    let output = Command::new(env::current_exe()?)
        .args([CHILD_PROCESS, what, name, &count.to_string()])
        .output()?;
    let answer = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = answer.split_whitespace().flat_map(str::parse).collect();
    match (output.status.success(), numbers.as_slice()) {
        (true, &[heap, resident, allocations]) => Ok(Footprint { heap, resident, allocations }),
        _ => Err(io::Error::other(format!(
            "{name} could not be measured in a process of its own: {} {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ))),
    }
}

/// Measures what `arguments` name, of the peer that they name, and prints its figures.
pub(crate) fn in_child_process(
    mut arguments: impl Iterator<Item = String>,
    heap: fn() -> Heap,
) -> Result<ExitCode, String> {
    let what = arguments.next().unwrap_or_default();
    let name = arguments.next().unwrap_or_default();
    let count = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(0);
    let footprint = match (what.as_str(), name.as_str()) {
        (CHILD, Desist::NAME) => of_a_child::<Desist>(count, heap),
        (CHILD, TokioUtil::NAME) => of_a_child::<TokioUtil>(count, heap),
        (CHILD, Nexus::NAME) => of_a_child::<Nexus>(count, heap),
        (CHILD, AlmostEnough::NAME) => of_a_child::<AlmostEnough>(count, heap),
        (WAIT, Desist::NAME) => of_a_wait::<Desist>(count, heap),
        (WAIT, TokioUtil::NAME) => of_a_wait::<TokioUtil>(count, heap),
        (WAIT, Nexus::NAME) => of_a_wait::<Nexus>(count, heap),
        _ => {
            return Err(format!("{CHILD_PROCESS} is for this program alone: leave it out"));
        }
    };
    let Footprint { heap, resident, allocations } = footprint.map_err(|error| error.to_string())?;
    writeln!(io::stdout(), "{heap} {resident} {allocations}").map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn of_a_child<P: HasChild>(count: usize, heap: fn() -> Heap) -> io::Result<Footprint> {
    let (_source, parent) = P::create();
    footprint_of(count, heap, || P::child(&parent))
}

fn of_a_wait<P: HasWait>(count: usize, heap: fn() -> Heap) -> io::Result<Footprint> {
    let (_source, token) = P::create();
    footprint_of(count, heap, || {
        let mut wait = Box::pin(P::wait_owned(token.clone()));
        assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        wait
    })
}

/// The handles themselves are not counted: the room for them is written to
/// before.
fn footprint_of<T>(
    count: usize,
    heap: fn() -> Heap,
    make: impl Fn() -> T,
) -> io::Result<Footprint> {
    let mut live: Vec<Option<T>> = Vec::with_capacity(count);
    live.resize_with(count, || None);
    let (before, resident_before) = (heap(), resident_bytes()?);
    for place in &mut live {
        *place = Some(make());
    }
    let after = heap();
    let resident = resident_bytes()? - resident_before;
    let each = |total: i64| total as f64 / count as f64;
    Ok(Footprint {
        heap: each(after.bytes - before.bytes),
        resident: each(resident),
        allocations: each(after.allocations - before.allocations),
    })
}

fn resident_bytes() -> io::Result<i64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<i64>().ok());
    match kilobytes {
        Some(kilobytes) => Ok(kilobytes * 1024),
        None => Err(io::Error::other("/proc/self/status tells no VmRSS: a Linux kernel is needed")),
    }
}

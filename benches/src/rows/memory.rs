//! Row 10: what a child costs while it lives. Each peer has a process of its
//! own, so that it meets a fresh heap.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::process::{Command, ExitCode};

use crate::arguments::Arguments;
use crate::peers::{AlmostEnough, Desist, HasChild, Nexus, Peer, TokioUtil};
use crate::report::{Line, Outcome};

pub(crate) const ID: &str = "10";
pub(crate) const TITLE: &str = "memory of a live child, bytes";
/// The first argument of the process in which one peer is measured.
pub(crate) const CHILD_PROCESS: &str = "--in-child-process";

const PEERS: [&str; 4] = [Desist::NAME, TokioUtil::NAME, Nexus::NAME, AlmostEnough::NAME];

#[derive(Clone, Copy)]
struct Footprint {
    heap: f64,
    resident: f64,
}

pub(crate) fn measure(arguments: &Arguments) -> io::Result<[Outcome; 2]> {
    let children = if arguments.settings.quick { 100_000 } else { 1_000_000 };
    let mut footprints = Vec::new();
    for name in PEERS.into_iter().filter(|name| arguments.settings.wants_peer(name)) {
        let handicap = if name == Desist::NAME { arguments.settings.handicap } else { 1.0 };
        let Footprint { heap, resident } = ask_child_process(name, children)?;
        let footprint = Footprint { heap: heap * handicap, resident: resident * handicap };
        footprints.push((name, footprint));
    }
    let lines = |bytes: fn(&Footprint) -> f64| lines(&footprints, bytes);
    Ok([
        Outcome {
            id: "10-heap",
            title: "heap of a live child, bytes",
            aim: "≤ 80",
            lines: lines(|footprint| footprint.heap),
        },
        Outcome {
            id: "10-rss",
            title: "resident memory of a live child, bytes",
            aim: "≤ 96",
            lines: lines(|footprint| footprint.resident),
        },
    ])
}

fn lines(footprints: &[(&str, Footprint)], bytes: fn(&Footprint) -> f64) -> Vec<Line> {
    let desist = bytes(&footprints[0].1);
    let line = |(name, footprint): &(&str, Footprint)| {
        let bytes = bytes(footprint);
        let ratio = Some(bytes / desist);
        let name = (*name).to_owned();
        Line { name, median: bytes, least: bytes, ratio, quiet_rounds: 1, rounds: 1 }
    };
    footprints.iter().map(line).collect()
}

fn ask_child_process(name: &str, children: usize) -> io::Result<Footprint> {
    let output = Command::new(env::current_exe()?)
        .args([CHILD_PROCESS, name, &children.to_string()])
        .output()?;
    let answer = String::from_utf8_lossy(&output.stdout);
    let mut numbers = answer.split_whitespace().map(str::parse);
    match (output.status.success(), numbers.next(), numbers.next()) {
        (true, Some(Ok(heap)), Some(Ok(resident))) => Ok(Footprint { heap, resident }),
        _ => Err(io::Error::other(format!(
            "{name} could not be measured in a process of its own: {} {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ))),
    }
}

/// Measures the peer that `arguments` name and prints its two figures.
pub(crate) fn in_child_process(
    mut arguments: impl Iterator<Item = String>,
    live_bytes: fn() -> i64,
) -> Result<ExitCode, String> {
    let name = arguments.next().unwrap_or_default();
    let children = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(0);
    let footprint = match name.as_str() {
        Desist::NAME => footprint_of::<Desist>(children, live_bytes),
        TokioUtil::NAME => footprint_of::<TokioUtil>(children, live_bytes),
        Nexus::NAME => footprint_of::<Nexus>(children, live_bytes),
        AlmostEnough::NAME => footprint_of::<AlmostEnough>(children, live_bytes),
        _ => {
            return Err(format!("{CHILD_PROCESS} is for this program alone: leave it out"));
        }
    };
    let Footprint { heap, resident } = footprint.map_err(|error| error.to_string())?;
    writeln!(io::stdout(), "{heap} {resident}").map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// The handles themselves are not counted: the room for them is written to
/// before.
fn footprint_of<P: HasChild>(count: usize, live_bytes: fn() -> i64) -> io::Result<Footprint> {
    let (_source, parent) = P::create();
    let mut children: Vec<Option<P::Child>> = Vec::with_capacity(count);
    children.resize_with(count, || None);
    let (heap_before, resident_before) = (live_bytes(), resident_bytes()?);
    for place in &mut children {
        *place = Some(P::child(&parent));
    }
    let heap = (live_bytes() - heap_before) as f64;
    let resident = (resident_bytes()? - resident_before) as f64;
    Ok(Footprint { heap: heap / count as f64, resident: resident / count as f64 })
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

"""How a gate of mutations fails, where it stands, and the lists of survivors."""

import concurrent.futures
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CRATE = pathlib.PurePosixPath("crates/desist")
# There was no time to ask about it; and how many are asked about however long it
# takes, so that a gate never passes with nothing done.
LEFT = "left"
AT_LEAST = 10


class Failed(Exception):
    """The gate fails; the text says why."""


def say(text):
    print(text, flush=True)


def target_folder():
    return (ROOT / os.environ.get("CARGO_TARGET_DIR", "target")).resolve()


def head():
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def workers(threads_per_processor=1):
    """Two per processor where many hang: what does waits most of its time."""
    return concurrent.futures.ThreadPoolExecutor(threads_per_processor * max(2, os.cpu_count() or 2))


def explanations(path):
    """Of each survivor that stands in a list the reason: `KEY :: REASON`."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        if not line.strip() or line.startswith("#"):
            continue
        key, _, why = line.partition(" :: ")
        if not why.strip():
            raise Failed(f"{path.name}: no argument: {line}")
        if key.strip() in found:
            raise Failed(f"{path.name}: twice: {line}")
        found[key.strip()] = why.strip()
    return found


def refuse_stale(path, mutants, known):
    """What stands in the list of a place that is gone."""
    if stale := set(known) - {mutant.key() for mutant in mutants}:
        raise Failed("\n".join(f"it stands in ci/{path.name}, but not in the source: {key}" for key in sorted(stale)))

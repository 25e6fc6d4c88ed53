"""The mutants that cargo-mutants finds in the crate."""

import json
import shutil
import subprocess
import time

from mutation.gate import CRATE, ROOT, Failed, say, target_folder
from mutation.rust import only_for_models

SRC = f"{CRATE}/src/"
FINDER = ("cargo-mutants", "27.1.0")
# Compiled for ThreadSanitizer alone.
NOT_MUTATED = "watched.rs"


class Mutant:
    def __init__(self, number, found, text):
        self.number, self.genre, self.file = number, found["genre"], found["file"]
        self.replacement = found["replacement"]
        starts = [0]
        for line in text.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))

        def span(of):
            return tuple(starts[at["line"] - 1] + at["column"] - 1 for at in (of["start"], of["end"]))

        function = found.get("function")
        self.start, self.end = span(found["span"])
        self.body = span(function["span"]) if function else None
        # "replace F -> T with V", "replace A with B in F", "delete X in F"
        what = found["name"].split(": ", 1)[1]
        name = function["function_name"] if function else ""
        if self.genre == "FnValue":
            what = f"result with {self.replacement}" if self.replacement != "()" else "body with ()"
        elif name:
            what = what.removesuffix(f" in {name}")
        if self.genre == "MatchArm" and what.startswith("delete match arm"):
            what = " ".join(what.split())
        self.what = what
        self.place = f"{self.file.removeprefix(SRC)} {name}".strip()
        self.count = 1

    def key(self):
        return f"{self.place} | {self.what}" + (f" | {self.count}" if self.count > 1 else "")


def finder():
    """The command cargo-mutants; where it is missing, or another version is found
    (its list of mutants differs), it is compiled, once."""
    tool, version = FINDER
    own = target_folder() / "tools/bin" / tool
    for command in (tool, str(own)):
        if shutil.which(command):
            said = subprocess.run([command, "mutants", "--version"], capture_output=True, text=True).stdout
            if said.split()[-1:] == [version]:
                return command
            say(f"mutants: {command} is {said.strip()}, and not {version}")
    say(f"mutants: {tool} is not installed: it is compiled")
    begin = time.monotonic()
    done = subprocess.run(
        ["cargo", "install", "--quiet", "--locked", "--root", own.parent.parent, tool, "--version", version],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    if done.returncode:
        raise Failed(f"{tool} {version} is not installed and cannot be:\n{done.stdout[-3000:]}")
    say(f"mutants: that took {time.monotonic() - begin:.0f} s")
    return str(own)


def mutants(split):
    listed = subprocess.run(
        [finder(), "mutants", "--list", "--json", "-p", "desist", "--exclude", NOT_MUTATED], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        raise Failed(f"cargo-mutants lists nothing:\n{listed.stderr[-3000:]}")
    texts, ranges, found, seen = {}, {}, [], {}
    for one in json.loads(listed.stdout):
        name = one["file"]
        if name not in texts:
            texts[name] = (ROOT / name).read_text()
            ranges[name] = list(only_for_models(split(texts[name])[0]))
        mutant = Mutant(len(found) + 1, one, texts[name])
        if any(start <= mutant.start < end for start, end in ranges[name]):
            continue
        seen[mutant.key()] = mutant.count = seen.get(mutant.key(), 0) + 1
        found.append(mutant)
    if not found:
        raise Failed("cargo-mutants finds no mutant")
    return found

"""A copy of the crate in which every mutant has its switch, compiled."""

import json
import os
import pathlib
import re
import shutil
import subprocess

from mutation.cargo_mutants import SRC
from mutation.gate import CRATE, ROOT, Failed
from mutation.switches import SWITCHES, Switched


# Types that do not fit, and what the language refuses by itself. Anything else
# may be the doing of the switch: it is compiled without.
UNVIABLE = {"E0004", "E0369", "E0277", "E0308", "E0600", "E0368", "E0614", "E0599", "E0282", "E0283"}


class Copy:
    """A copy of the crate with switches."""

    def __init__(self, folder, chosen, split):
        self.root, self.split, self.chosen = pathlib.Path(folder), split, chosen
        self.lay()
        self.alone, self.unviable = [], []
        self.switched = []
        for m in chosen:
            head = (ROOT / m.file).read_text()[m.body[0] : m.start] if m.body else ""
            in_const = not m.body or re.search(r"\bconst (unsafe )?fn\b", head.split("{")[0])
            opaque = re.search(r"->\s*impl\b", head)
            (self.alone if in_const or opaque else self.switched).append(m)

    def lay(self):
        manifest = (ROOT / "Cargo.toml").read_text()
        manifest = re.sub(r"^default-members\s*=\s*\[[^\]]*\]\n", "", manifest, flags=re.M)
        manifest = re.sub(r"^members\s*=\s*\[[^\]]*\]", f'members = ["{CRATE}"]', manifest, flags=re.M)
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        (self.root / "Cargo.toml").write_text(manifest)
        for name in ["Cargo.lock", "README.md", "SEMANTICS.md", "DESIGN.md"]:
            if (ROOT / name).exists():
                shutil.copy2(ROOT / name, self.root / name)
        into = self.root / CRATE
        shutil.copytree(ROOT / CRATE, into, ignore=shutil.ignore_patterns("target"))
        manifest = into / "Cargo.toml"
        manifest.write_text(manifest.read_text().replace("[lints]\nworkspace = true\n", ""))
        lib = into / "src/lib.rs"
        # Inner documentation and attributes come first; a mutant may leave
        # something unused.
        text = re.sub(r"#!\[(deny|warn)\([^\]]*\)\]\n", "", lib.read_text())
        text = text.replace("doc(test(attr(deny(warnings), allow(unused_imports))))", "allow(warnings, unused_braces)")
        lib.write_text(text.replace("\nmod node;", "\nmod node;\nmod mutation;", 1))

    def write(self):
        """The sources, with the switches that there are now."""
        for name in sorted({m.file for m in self.chosen}):
            text = (ROOT / name).read_text()
            code = self.split(text)[0]
            switched = Switched(text, code, [m for m in self.switched if m.file == name])
            into = self.root / name
            old = into.read_text()
            new = switched.result
            if new != old:
                into.write_text(new)
        into = self.root / SRC / "mutation.rs"
        new = SWITCHES.replace("COUNT", str(max(m.number for m in self.chosen)))
        if not into.exists() or into.read_text() != new:
            into.write_text(new)

    def branches(self, name):
        """What each switch of a file governs: (number, start, end) in bytes."""
        text = (self.root / name).read_text()
        code = self.split(text)[0]
        found = []
        for m in re.finditer(r"if (!?)crate::mutation::on\((\d+)\)", code):
            start = m.start()
            end = m.end()
            if not m[1]:
                opening, depth = code.index("{", m.end()), 0
                for end in range(opening, len(code)):
                    depth += (code[end] == "{") - (code[end] == "}")
                    if depth == 0:
                        break
            found.append((int(m[2]), len(text[:start].encode()), len(text[: end + 1].encode())))
        return found

    def compile(self, target, *what, flags=""):
        env = dict(os.environ, CARGO_TARGET_DIR=str(target), CARGO_PROFILE_TEST_DEBUG="0", CARGO_PROFILE_DEV_DEBUG="0")
        env["CARGO_PROFILE_RELEASE_DEBUG"] = "0"
        if flags:
            env["RUSTFLAGS"] = (env.get("RUSTFLAGS", "") + " " + flags).strip()
        command = ["cargo", *what, "-p", "desist", "--message-format=json"]
        done = subprocess.run(command, cwd=self.root, env=env, capture_output=True, text=True)
        messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        errors = [
            m["message"] for m in messages
            if m["reason"] == "compiler-message" and m["message"]["level"] == "error" and m["message"]["spans"]
        ]
        if done.returncode and not errors:
            raise Failed(f"it does not compile:\n{done.stderr[-5000:]}")
        return errors, [pathlib.Path(m["executable"]) for m in messages if m.get("executable") and m.get("profile", {}).get("test")]

    def settle(self, target, what=("check", "--all-features", "--lib"), flags=""):
        """Takes out what does not compile, until the rest does; gives the tests, if
        any were compiled."""
        by_number = {m.number: m for m in self.chosen}
        for _ in range(40):
            self.write()
            errors, binaries = self.compile(target, *what, flags=flags)
            if not errors:
                return binaries
            out = {}
            branches = {}
            for error in errors:
                hit = set()
                spans = error["spans"]
                for span in sorted(spans, key=lambda span: not span["is_primary"]):
                    name = span["file_name"]
                    if not name.startswith(SRC) or hit:
                        continue
                    if name not in branches:
                        branches[name] = self.branches(name)
                    here = [b for b in branches[name] if b[1] <= span["byte_start"] and span["byte_end"] <= b[2]]
                    if here:
                        hit = {min(here, key=lambda b: b[2] - b[1])[0]}
                if not hit:
                    # Not in a branch: a `match` that lacks an arm, or what a
                    # switch did to its surroundings.
                    for genres in [{"MatchArm"}, {m.genre for m in self.switched} - {"FnValue"}]:
                        for span in spans if not hit else []:
                            near = {m.number for m in self.switched if m.file == span["file_name"] and m.genre in genres}
                            near &= {b[0] for b in branches.get(span["file_name"], []) if abs(b[1] - span["byte_start"]) < 600}
                            hit |= near
                if not hit:
                    raise Failed(f"the copy with switches does not compile:\n{error['rendered']}")
                for number in hit:
                    out.setdefault(number, error)
            for number, error in out.items():
                m = by_number[number]
                code = (error.get("code") or {}).get("code") or ""
                m.error = f"{code} {error['message'][:100]}"
                (self.unviable if m.genre == "FnValue" or code in UNVIABLE else self.alone).append(m)
            self.switched = [m for m in self.switched if m.number not in out]
        raise Failed("the copy with switches does not compile")

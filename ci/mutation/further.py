"""Who is asked about what the fast tests let pass: the doctests, the models and, for
what has no switch, all of them with a copy of its own."""

import os
import re
import subprocess
import time

from mutation.gate import CRATE, ROOT, Failed, say, workers
from mutation.models import one_model, proves
from mutation.suite import HANG, SLOW, load, run, tests_of


def by_doctests(copy, target, chosen, folder):
    """Which of the mutants a doctest catches: all are run in one go."""
    listed, caught, runner = folder / "listed", folder / "caught", folder / "runner"
    listed.write_text(" ".join(str(m.number) for m in chosen))
    caught.write_text("")
    runner.write_text(
        f"""#!/bin/sh
for number in $(cat {listed}); do
    DESIST_MUTATION=$number timeout -k 1 {HANG * 4} "$@" >{folder}/out.$$ 2>&1 </dev/null || echo "$number" >>{caught}
done
exec "$@"
"""
    )
    runner.chmod(0o755)
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = re.search(r"^host: (\S+)", version, re.M)[1].upper().replace("-", "_")
    env = dict(os.environ, CARGO_TARGET_DIR=str(target), CARGO_PROFILE_TEST_DEBUG="0", CARGO_PROFILE_DEV_DEBUG="0")
    env[f"CARGO_TARGET_{host}_RUNNER"] = str(runner)
    done = subprocess.run(
        ["cargo", "test", "--doc", "--all-features", "-p", "desist"], cwd=copy.root, env=env,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    if done.returncode:
        raise Failed(f"the doctests fail without any mutant:\n{done.stdout[-3000:]}")
    numbers = set(map(int, caught.read_text().split()))
    return {m.number for m in chosen} & numbers


MODELS = {"what": ("test", "--lib", "--release", "--no-run"), "flags": "--cfg loom"}


class Models:
    """The models of ci/loom, of the copy with switches for `chosen`. What does not
    compile with the model checker's words has none."""

    def __init__(self, copy, target, folder, chosen, names=None):
        before = copy.alone[:], copy.unviable[:]
        copy.switched = chosen
        [self.binary] = copy.settle(target, **MODELS)
        copy.alone, copy.unviable = before
        if without := len(chosen) - len(copy.switched):
            say(f"mutants: {without} of these do not compile for the models")
        self.models, self.cwd = [t for t in tests_of(self.binary) if "loom_" in t.name], copy.root / CRATE
        if names is not None:
            self.models = [t for t in self.models if t.name.rsplit("::", 1)[-1] in names]

        def one(test):
            path, begin = folder / f"reach-{id(test)}", time.monotonic()
            if run(self.binary, [test.name], self.cwd, path, 900)[0] != "ok":
                raise Failed(f"the model {test.name} fails without any mutant")
            test.seconds = time.monotonic() - begin
            test.reaches = set(map(int, path.read_text().split())) if path.exists() else set()

        with workers() as pool:
            list(pool.map(one, self.models))
        self.models.sort(key=lambda test: test.seconds)

    def ask(self, mutant, name=None):
        for test in self.models:
            short = test.name.rsplit("::", 1)[-1]
            if mutant.number in test.reaches and name in (None, short):
                limit = 4 * test.seconds + 20
                status, output, _ = one_model(self.binary, self.cwd, test.name, limit, mutant.number)
                if proves(status, output):
                    return short
        return None


# In this order, until one catches: what compiles fast comes first.
CHUNKS = [["lib", "surface", "errors", "bad_input"], ["promises", "memory"], ["testing_tools", "every_checkpoint", "traits", "found", "keeper", "clock_threads"]]


def ask_alone(copy, target, mutant, whom):
    """For a mutant that has no switch: the copy is compiled with it. The fast tests
    are asked, then whom it is said to be caught by or, if nobody is named, the
    slow tests and the models."""
    text = (ROOT / mutant.file).read_text()
    path = copy.root / mutant.file
    switched, cwd = path.read_text(), copy.root / CRATE
    space = "" if mutant.genre == "FnValue" else " "
    there = [test for chunk in CHUNKS for test in chunk if test == "lib" or list((cwd / "tests").glob(f"{test}*/main.rs")) or (cwd / f"tests/{test}.rs").exists()]
    binaries = []

    def ask(tests, limit):
        if not tests:
            return None
        binary, names = tests[0].binary, [t.name for t in tests]
        kind, what = run(binary, names, cwd, 0, limit)
        # Twice: a busy machine is no reason.
        if kind == "ok" or run(binary, names, cwd, 0, limit)[0] == "ok":
            return None
        return f"{tests[0].group}::{what}" if kind == "failed" else f"a {kind} of {tests[0].group}"

    try:
        path.write_text(text[: mutant.start] + space + mutant.replacement + space + text[mutant.end :])
        for chunk in CHUNKS:
            what = [word for test in chunk if test in there for word in (["--lib"] if test == "lib" else ["--test", test])]
            errors, compiled = copy.compile(target, "test", "--all-features", "--no-run", *what)
            if errors:
                mutant.error = errors[0]["message"]
                return "unviable"
            binaries += sorted(compiled)
            for binary in sorted(compiled):
                if by := ask([t for t in tests_of(binary) if not SLOW.search(t.full)], 4 * HANG * load()):
                    return by
        for binary in binaries:
            for test in tests_of(binary):
                if SLOW.search(test.full) and whom in (None, test.full) and (by := ask([test], 120 * load())):
                    return by
        if whom and not whom.startswith("loom_"):
            return None
        errors, compiled = copy.compile(target, *MODELS["what"], flags=MODELS["flags"])
        models = [t for binary in compiled for t in tests_of(binary) if re.search(rf"::{whom or 'loom_.*'}$", t.name)]
        with workers() as pool:
            for test, (status, output, _) in zip(models, pool.map(lambda t: one_model(t.binary, cwd, t.name, 120, 0), models)):
                if proves(status, output):
                    return test.name.rsplit("::", 1)[-1]
        return None
    finally:
        path.write_text(switched)

"""The models for loom: how they are compiled and run, and what their end says."""

import os
import pathlib
import re
import subprocess
import time

from mutation.gate import Failed, say, workers
from mutation.switches import SWITCH

# Out of memory, or by hand: says nothing of the mutation.
KILLED = -9
# What a model says that found nothing wrong, but less to see; from models/mod.rs. An
# execution that loom gives up, for its length, is none of these: it is more than six
# times as long as any in a model that holds, so something goes round for ever.
NO_PROOF = re.compile(r": never seen: |: trivial, \d+ executions")


def build(root, target, loom):
    env = dict(os.environ, CARGO_TARGET_DIR=str(target))
    if loom:
        env["RUSTFLAGS"] = (env.get("RUSTFLAGS", "") + " --cfg loom").strip()
        env["CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS"] = "true"
        what = ["--lib", "--release"]
    else:
        env.update(CARGO_PROFILE_TEST_DEBUG="0", CARGO_PROFILE_DEV_DEBUG="0")
        what = ["--all-features", "--lib", "--tests"]
    command = ["cargo", "test", "--locked", "-p", "desist", *what, "--no-run"]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"it does not compile:\n{done.stderr[-6000:]}")
    found = re.findall(r"Executable .*? \((.+?)\)", done.stderr)
    if not found:
        raise Failed(f"cargo names no executable:\n{done.stderr[-2000:]}")
    return [pathlib.Path(path) if pathlib.Path(path).is_absolute() else root / path for path in found]


def models_of(binary):
    listed = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout
    models = re.findall(r"^(\S*loom_\w+): test$", listed, re.M)
    if not models:
        raise Failed("there are no models")
    return models


def run(binary, args, seconds, cwd, mutation=None):
    """The exit code, None if time ran out, and what was printed."""
    env = dict(os.environ, RUST_BACKTRACE="0")
    if mutation is not None:
        env[SWITCH] = str(mutation)
    try:
        done = subprocess.run(
            [binary, *args], cwd=cwd, env=env, timeout=seconds,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        return None, (late.stdout or b"").decode(errors="replace")


def one_model(binary, cwd, model, seconds, mutation=None):
    """Of a model's run the exit code, what was printed, and how long it took."""
    begin = time.monotonic()
    status, output = run(binary, ["--exact", model, "--nocapture"], seconds, cwd, mutation)
    return status, output, time.monotonic() - begin


def proves(status, output):
    """Whether a model's end says that something is wrong. What panicked first
    decides: the rest may be what unwinding met."""
    if status == 0:
        return False
    first = re.search(r"panicked at [^\n]*\n([^\n]*)", output)
    if first:
        return not NO_PROOF.search(first[1])
    # A crash says nothing by itself. Without a panic a hang, or an end for want of
    # memory, is no more than a state space that grew; with one they are what
    # unwinding came to.
    return status not in (None, KILLED)


def check_models(binary, cwd, seconds=900, reach=None):
    """Runs all; gives how long each took. With `reach`, a folder, each notes in
    there which switches it came to."""
    models, took, executions = models_of(binary), {}, 0
    with workers(2) as pool:
        runs = {model: pool.submit(one_model, binary, cwd, model, seconds, reach and reach / model) for model in models}
        for model, pending in runs.items():
            status, output, took[model] = pending.result()
            line = re.search(r"^model .*?: (\d+) executions.*$", output, re.M)
            if status != 0 or not line:
                raise Failed(f"{model}: {'no end' if status is None else 'it fails'}\n{output[-4000:]}")
            executions += int(line[1])
            say(f"{line[0]} ({took[model]:.1f} s)")
    return took, executions

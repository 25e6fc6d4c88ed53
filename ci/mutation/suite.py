"""The tests of a copy with switches, and what each of them reaches."""

import os
import re
import selectors
import signal
import subprocess
import time

from mutation.gate import Failed, say, workers
from mutation.switches import SWITCH

# No test ends for so many seconds: one hangs.
HANG = 10
DOUBT = "not every time"
# What takes long, or measures real time and may fail on a busy machine: asked
# only about what all others let pass.
SLOW = re.compile(r"^memory::(millions|chains)::|::p10_|::p11_real_time::|^clock_threads::|^found::a_handle_dropped_while_its_deadline_fires$|^every_checkpoint::bounds::|^model::(stress|shared)")
# The compiler's word on public types: no switch can change it.
NOT_RUN = {"compile_fail"}


class Test:
    def __init__(self, binary, name):
        self.binary, self.name = binary, name
        self.group = binary.name.rsplit("-", 1)[0]
        self.full = f"{self.group}::{name}"
        self.seconds, self.reaches, self.passes = 0.0, set(), False
        self.slow = False


def tests_of(binary):
    listed = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout
    ignored = subprocess.run([binary, "--list", "--ignored"], capture_output=True, text=True, check=True).stdout
    skip = set(re.findall(r"^(\S+): test$", ignored, re.M))
    return [Test(binary, name) for name in re.findall(r"^(\S+): test$", listed, re.M) if name not in skip]


def run(binary, names, cwd, switch, hang, whole=600, args=()):
    """Runs tests until one fails. What ended it: (kind, the test or what is
    known of it); kind is ok, failed, crash or hang."""
    env = dict(os.environ, RUST_BACKTRACE="0")
    if switch is not None:
        env[SWITCH] = str(switch)
    process = subprocess.Popen(
        [binary, "--exact", *names, "--test-threads", "4", *args], cwd=cwd, env=env,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )
    left, buffer, began = set(names), b"", time.monotonic()
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(hang) or time.monotonic() - began > whole:
                    return "hang", ", ".join(sorted(left))
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    break
                buffer += data
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    match = re.match(rb"test (\S+)(?: - should panic)? \.\.\. (\S+)", line)
                    if match:
                        left.discard(match[1].decode())
                        if match[2] == b"FAILED":
                            return "failed", match[1].decode()
        try:
            status = process.wait(hang)
        except subprocess.TimeoutExpired:
            return "hang", "the end"
        if status == 0:
            return "ok", ""
        return "crash", ", ".join(sorted(left)[:2]) or f"exit code {status}"
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.stdout.close()
        process.wait()


class Suite:
    """The tests of the copy, and what each of them reaches."""

    def __init__(self, binaries, cwd, folder, only_test=None):
        self.cwd, self.folder = cwd, folder
        self.tests = [t for b in binaries if b.name.rsplit("-", 1)[0] not in NOT_RUN for t in tests_of(b)]
        if only_test:
            self.tests = [t for t in self.tests if re.search(only_test, t.full)]
        if not self.tests:
            raise Failed("there are no tests")

    def record(self, slow=False, names=None):
        """Runs every test once. The slow ones only if they are asked for."""

        def one(test):
            test.slow = bool(SLOW.search(test.full))
            if test.slow != slow or names is not None and test.full not in names:
                return
            path = self.folder / f"reach-{id(test)}"
            begin = time.monotonic()
            ended = run(test.binary, [test.name], self.cwd, path, 300)
            if ended[0] != "ok":
                begin = time.monotonic()
                ended = run(test.binary, [test.name], self.cwd, path, 300)
            test.seconds, test.ended = time.monotonic() - begin, ended
            test.passes = ended[0] == "ok"
            if path.exists():
                test.reaches = set(map(int, path.read_text().split()))

        with workers() as pool:
            list(pool.map(one, [t for t in self.tests if not t.passes]))
        broken = [t for t in self.tests if not t.passes and hasattr(t, "ended")]
        for test in sorted(self.tests, key=lambda test: -test.seconds)[:3]:
            say(f"  {test.seconds:5.1f} s  {test.full}")
        if broken:
            raise Failed("without any mutant turned on: " + "; ".join(f"{t.full}: {t.ended[0]}" for t in broken))

    def ask(self, mutant, slow=False, name=None):
        """Who catches the mutant: a description, or None."""
        groups, doubtful = {}, None
        for test in self.tests:
            if test.slow == slow and name in (None, test.full) and test.passes and mutant.number in test.reaches:
                groups.setdefault(test.binary, []).append(test)
        for binary, tests in sorted(groups.items(), key=lambda g: sum(t.seconds for t in g[1])):
            names = {t.name: t for t in tests}
            while names:
                limit = HANG * load() + 4 * max(t.seconds for t in names.values())
                kind, what = run(binary, list(names), self.cwd, mutant.number, limit)
                if kind == "ok":
                    break
                group = next(iter(names.values())).group
                if kind == "crash" and run(binary, list(names), self.cwd, mutant.number, limit)[0] == "ok":
                    doubtful = f"a crash of {group} ({what}), {DOUBT}"
                    break
                if kind == "crash":
                    return f"a crash of {group} ({what})"
                if kind == "hang":
                    # Once more, those alone that had not ended: a busy machine
                    # is no reason.
                    open_ones = what.split(", ")
                    if not set(open_ones) <= set(names) or run(binary, open_ones, self.cwd, mutant.number, limit)[0] != "ok":
                        return f"a hang of {group} ({', '.join(open_ones[:2])})"
                    doubtful = f"a hang of {group} ({', '.join(open_ones[:2])}), {DOUBT}"
                    for name in open_ones:
                        del names[name]
                    continue
                # Once more, alone: a busy machine is no reason.
                again = run(binary, [what], self.cwd, mutant.number, limit)
                if again[0] != "ok":
                    return f"{group}::{what}"
                doubtful = f"{group}::{what}, {DOUBT}"
                del names[what]
        return doubtful


def sure(by):
    """What a test sees now and then is not caught."""
    return None if by and by.endswith(DOUBT) else by


def load():
    return 1 + min(3.0, os.getloadavg()[0] / (os.cpu_count() or 1) / 4)

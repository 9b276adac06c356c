"""The stage of the system tests: real programs as separate processes, real pictures, real sockets.

A Stage owns a private folder (policy, home, temporary path) and every process it started; leaving it ends them by pid.
"""
import contextlib
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

SMALTI = pathlib.Path(os.environ.get("SMALTI", "build/release/smalti")).resolve()
PICTURES = pathlib.Path("/usr/share/backgrounds")
CONVERT = "/usr/bin/convert"
PATIENCE = 120  # seconds; generous, because a test must not depend on the machine's speed

POLICY = """<policymap>
  <policy domain="cache" name="shared-secret" value="{secret}" stealth="true"/>
{more}</policymap>
"""


def photograph():
    """A real photograph of 3840x2400 pixels."""
    found = sorted(p for p in PICTURES.rglob("*.jpg") if p.stat().st_size > 500_000)
    if not found:
        raise unittest.SkipTest("no photograph: install the package ukui-wallpapers")
    return found[0]


class Run:
    """A finished program."""

    def __init__(self, process, out, err):
        self.code, self.out, self.err = process.returncode, out, err

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Server:
    """A pixel server in a process of its own."""

    def __init__(self, process, address, log, state):
        self.process, self.address, self.log, self.state = process, address, log, state

    @property
    def text(self):
        return self.log.read_text()

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self):
        self.process.terminate()
        return self.process.wait(PATIENCE)


class Stage:
    def __init__(self, secret="passphrase"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="smalti-test-"))
        self.processes = []
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir()
        (self.folder / "home").mkdir()
        self.policy("policy", secret)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait(PATIENCE)
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return str(self.folder / name)

    def policy(self, name, secret, more=""):
        """Writes a policy folder; its path goes to environment(policy=...)."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        text = POLICY.format(secret=secret, more=more)
        if not secret:
            text = re.sub(r"\n.*shared-secret.*", "", text)
        (folder / "policy.xml").write_text(text)
        return folder

    def environment(self, policy="policy", **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SMALTI_", "MAGICK_"))}
        return {**kept, "HOME": str(self.folder / "home"), "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": "",
                "SMALTI_CONFIGURE_PATH": str(self.folder / policy), "TMPDIR": str(self.temporary), **more}

    def start(self, *words, program=SMALTI, policy="policy", prefix=(), text=True, **more):
        process = subprocess.Popen([*prefix, str(program), *map(str, words)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=text, cwd=self.folder,
                                   env=self.environment(policy, **more))
        self.processes.append(process)
        return process

    def run(self, *words, timeout=PATIENCE, **more):
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=timeout)
        return Run(process, out, err)

    def serve(self, *words, port="127.0.0.1:0", program=SMALTI, policy="policy", prefix=(), state=None, **more):
        """Starts a server and waits for its ready line, which names the address it serves on.

        One with the state of an earlier one has its id, too."""
        number = len(self.processes)
        state = state or self.path(f"state-{number}")
        log = self.folder / f"server-{number}.log"
        with log.open("w") as err:
            process = subprocess.Popen([*prefix, str(program), *map(str, words), "-distribute-cache", str(port)],
                                       stdout=subprocess.PIPE, stderr=err, text=True, cwd=self.folder,
                                       env=self.environment(policy, XDG_STATE_HOME=state, **more))
        self.processes.append(process)
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        line = process.stdout.readline() if ready else ""
        found = re.search(r"(\[[0-9a-f:]+\]|[0-9.]+):(\d+)", line)
        if not found:
            raise AssertionError(f"the server said {line!r} and {log.read_text()!r}")
        return Server(process, f"{found[1]}:{found[2]}", log, state)

    def servers(self, count, *words, **more):
        return [self.serve(*words, **more) for _ in range(count)]


class HeldJob:
    """A job that tells its progress. Where it writes a picture to standard output, only as much is taken as one asks for: so it cannot
    end before what is to happen to it has happened, however fast or slow the machine is. `said` is what it said so far."""

    def __init__(self, stage, *words, prefix=(), patience=PATIENCE):
        self.process = stage.start("-monitor", *words, prefix=prefix, text=False)
        self.patience = patience
        self.taken = bytearray()
        self.said = ""
        self.changed = threading.Condition()  # guards said and deaf
        self.deaf = False
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self):
        for line in self.process.stderr:
            with self.changed:
                self.said += line.decode()
                self.changed.notify_all()
        with self.changed:
            self.deaf = True
            self.changed.notify_all()

    def until_said(self, pattern):
        """The first match of the pattern; the job's output waits meanwhile."""
        def found():
            return re.search(pattern, self.said)
        with self.changed:
            if not self.changed.wait_for(lambda: found() or self.deaf, self.patience) or not found():
                raise AssertionError(f"the job did not say {pattern!r}, but {self.said}")
            return found()

    def until_read(self, percent):
        """Until it has said that it read so much of its input; it says so about every tenth."""
        self.until_said(_complete("reading", percent))

    def wait_until(self, what, percent):
        """The same of reading or writing; also ends when the job has ended. True: it has not."""
        with self.changed:
            self.changed.wait_for(lambda: self.deaf or re.search(_complete(what, percent), self.said), self.patience)
            return not self.deaf

    def until_written(self, size):
        """Until so many bytes have come out, or it has ended."""
        end = time.monotonic() + self.patience
        while len(self.taken) < size:
            ready, _, _ = select.select([self.process.stdout], [], [], max(end - time.monotonic(), 0))
            if not ready:
                raise AssertionError(f"no output for {self.patience} s; the job said {self.said}")
            more = os.read(self.process.stdout.fileno(), min(size - len(self.taken), 1 << 20))
            if not more:
                return
            self.taken += more

    def finish(self):
        """Its exit code; all output is taken, all was said."""
        self.until_written(1 << 40)
        code = self.process.wait(self.patience)
        self.listener.join(self.patience)
        return code


def _complete(what, percent):
    tens = "".join(str(n) for n in range(max(percent // 10, 1), 10))
    return rf"{what} [^\n]* (?:[{tens}]\d|100)% complete" if percent >= 10 else rf"{what} [^\n]*% complete"


def knows(word):
    """Whether this smalti has the option or define."""
    return word in subprocess.run([SMALTI, "-help"], capture_output=True, text=True).stdout if SMALTI.exists() else False


def over_the_wire():
    """For servers behind a proxy: their clients are on the same host, and might not go through it."""
    return ("-define", "cache:shared-memory=none") if knows("cache:shared-memory") else ()


def free_port():
    """Below those that the system gives to clients."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def hosts(servers):
    return "registry:cache:hosts=" + ",".join(s.address for s in servers)


# Limits under which nothing can rest on the client: every tile goes to the servers.
NOTHING_HERE = ("-limit", "memory", "1KiB", "-limit", "map", "0", "-limit", "disk", "0")


def pixels(stage, name):
    """The decoded pixels of a picture, by a program that is not ours: PPM or PGM bytes of the file's own depth."""
    done = subprocess.run(["vips", "copy", stage.path(name), stage.path("pixels.v")], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{name}: {done.stderr}")
    data = pathlib.Path(stage.path("pixels.v")).read_bytes()
    width, height = (int.from_bytes(data[at:at + 4], "little") for at in (4, 8))
    bands, form = (int.from_bytes(data[at:at + 4], "little") for at in (12, 20))
    size = width * height * bands * {0: 1, 2: 2, 4: 4, 6: 4}[form]
    return (width, height, bands, form), data[64:64 + size]


def until(condition, what, patience=PATIENCE):
    """Polls; the bound is generous, and reaching it is the failure."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"waited {patience} s for {what}")


class StageCase(unittest.TestCase):
    def setUp(self):
        self.stage = self.enterContext(Stage()) if hasattr(self, "enterContext") else self._enter()

    def _enter(self):
        stage = Stage()
        self.addCleanup(stage.__exit__)
        return stage

    def assertSucceeds(self, run):
        self.assertEqual(run.code, 0, run)
        return run

    def assertFailsWith(self, run, *parts, output=None):
        """Non-zero, one line of error that holds each part, and no output file nor temporary one beside it."""
        self.assertNotEqual(run.code, 0, run)
        for part in parts:
            self.assertRegex(run.err, part, run)
        if output:
            left = [p.name for p in self.stage.folder.iterdir() if p.name == output or p.name.startswith(f".{output}")]
            self.assertEqual(left, [], "half-written output remains")

    def assertSamePixels(self, one, other):
        (shape, left), (other_shape, right) = pixels(self.stage, one), pixels(self.stage, other)
        self.assertEqual(shape, other_shape)
        self.assertTrue(left == right, f"pixels of {one} and {other} differ")

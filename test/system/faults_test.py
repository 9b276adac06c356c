"""Faults at random moments of the main job: whatever happens to servers and wires, the result is byte-identical, or there is a
clear error that names server and image, a non-zero exit, and nothing left behind.

The seed is printed; SMALTI_SEED gives one, SMALTI_SECONDS says for how long (by default 4): each test goes on at least for so long, and
until some of its faults fell into a job.
"""
import functools
import os
import pathlib
import random
import signal
import subprocess
import threading
import time
import unittest

from fault_proxy import KINDS, UP, FaultProxy, arm_at_random
from stage import NOTHING_HERE, PATIENCE, SMALTI, HeldJob, Stage, StageCase, over_the_wire, photograph

SEED = int(os.environ.get("SMALTI_SEED", random.SystemRandom().randrange(1 << 32)))
SECONDS = float(os.environ.get("SMALTI_SECONDS", 4))
LEAST, MOST = 3, 60  # trials whose fault fell into the job; trials in all
JOB = ("-sharpen", "5x2")
HISTORY = pathlib.Path(os.environ.get("SMALTI_HISTORY", SMALTI.parent / "smalti_history"))
PLAIN = ("-define", "cache:encryption=none")
STORED = 1600 * 1000 * 3


@functools.cache
def picture_and_result():
    """A photograph, and the job's result without servers."""
    with Stage() as stage:
        for words in ((photograph(), "-crop", "1600x1000+500+300", "+repage", "in.jpg"), ("in.jpg", *JOB, "expected.png")):
            run = stage.run(*words)
            if run.code:
                raise AssertionError(str(run))
        return tuple(pathlib.Path(stage.path(name)).read_bytes() for name in ("in.jpg", "expected.png"))


class Faults(StageCase):
    def setUp(self):
        super().setUp()
        self.choose = random.Random(f"{SEED}.{self._testMethodName}")
        print(f"\nSMALTI_SEED={SEED}", flush=True)
        picture, self.expected = picture_and_result()
        pathlib.Path(self.stage.path("in.jpg")).write_bytes(picture)
        self.within = 0  # faults that fell into a job

    def serve(self, count, *words):
        self.words = words
        self.servers = [self.stage.serve(*words) for _ in range(count)]

    def start_again(self, n):
        """An empty one under the same address, with the same id."""
        old = self.servers[n]
        self.servers[n] = self.stage.serve(*self.words, port=old.address, state=old.state)

    def job(self, addresses, *defines):
        return HeldJob(self.stage, *NOTHING_HERE, "-define", "registry:cache:hosts=" + ",".join(addresses), "-define",
                       "cache:placement=sharded", *defines, "in.jpg", *JOB, "out.png")

    def judge(self, job, must_succeed, what):
        """True when the job succeeded. Whatever else it did is checked."""
        code = job.finish()
        story = f"seed {SEED}: {what}: exit {code}\n{job.said}"
        result = pathlib.Path(self.stage.path("out.png"))
        left = [p.name for p in self.stage.folder.iterdir() if p.name.startswith(".")] + [*os.listdir(self.stage.temporary)]
        self.assertEqual(left, [], f"temporary files remain; {story}")
        if code == 0:
            self.assertTrue(result.read_bytes() == self.expected, f"wrong pixels; {story}")
            result.unlink()
            return True
        self.assertFalse(result.exists(), f"a half-written result; {story}")
        self.assertGreater(code, 0, story)
        self.assertFalse(must_succeed, story)
        errors = "".join(line for line in job.said.splitlines(True) if "% complete" not in line)
        self.assertRegex(errors, r"127\.0\.0\.1:\d+", "the error names no server; " + story)
        self.assertRegex(errors, r"image [0-9a-f]{32}|in\.jpg", "the error names no image; " + story)
        return False

    def trials(self, one):
        end = time.monotonic() + SECONDS
        done = {True: 0, False: 0}
        while sum(done.values()) < MOST and (time.monotonic() < end or self.within < LEAST):
            done[one()] += 1
        print(f"{self._testMethodName}: {done[True]} the same, {done[False]} refused; {self.within} faults fell into a job", flush=True)
        self.assertGreaterEqual(self.within, LEAST)

    def process_fault(self, must_succeed, *defines):
        """Kills, stops or restarts one server somewhere in the job."""
        job = self.job([s.address for s in self.servers], *defines)
        what, percent = self.choose.choice(("reading", "writing")), self.choose.randrange(90)
        n = self.choose.randrange(len(self.servers))
        kind = self.choose.choice(("kill", "restart", "stop"))
        seconds = self.choose.uniform(0.1, 3)
        server = self.servers[n]
        job.wait_until(what, percent)
        if kind == "stop":
            server.signal(signal.SIGSTOP)
            wake = threading.Timer(seconds, server.signal, [signal.SIGCONT])
            wake.start()
        else:
            server.kill()
        self.within += job.process.poll() is None
        if kind != "stop" and (kind == "restart" or job.process.poll() is not None):
            self.start_again(n)
            kind = "restart"
        same = self.judge(job, must_succeed or kind == "stop", f"{kind} {server.address} when {percent}% of {what}")
        if kind == "stop":
            wake.join()
        elif kind == "kill":
            self.start_again(n)
        return same

    def test_processes_fail_without_replicas(self):
        self.serve(2)
        self.trials(lambda: self.process_fault(False))

    def test_processes_fail_with_two_replicas(self):
        self.serve(3)
        self.trials(lambda: self.process_fault(True, "-define", "cache:replicas=2"))

    def wire_fault(self, proxies, must_succeed, *defines):
        before = {p: p.struck() for p in proxies}
        for proxy in proxies:
            proxy.disarm()
        # With replicas one server is spared at a time: nobody promises to survive two.
        for proxy in [self.choose.choice(proxies)] if must_succeed else proxies:
            arm_at_random(proxy, self.choose, KINDS, self.choose.randrange(1, 4), STORED // 2)
        job = self.job([p.address for p in proxies], *defines)
        same = self.judge(job, must_succeed, "wire")
        self.within += any(p.struck() > before[p] for p in proxies)
        return same

    def wires_fail(self, servers, must_succeed, *defines):
        self.serve(servers, *over_the_wire(), *(PLAIN if PLAIN[1] in defines else ()))
        proxies = [self.enter(FaultProxy(s.address)) for s in self.servers]
        self.trials(lambda: self.wire_fault(proxies, must_succeed, *defines))

    def enter(self, context):
        self.addCleanup(context.__exit__)
        return context.__enter__()

    def test_wires_fail_with_tls(self):
        self.wires_fail(2, False)

    def test_wires_fail_in_the_clear_where_only_checksums_help(self):
        self.wires_fail(2, False, *PLAIN)

    def test_wires_fail_with_two_replicas_in_the_clear(self):
        self.wires_fail(3, True, *PLAIN, "-define", "cache:replicas=2")

    def test_histories_stay_sound(self):
        """Many threads of several clients read and write tiles, in the clear, while wires and processes fail."""
        self.serve(3, *over_the_wire(), *PLAIN)
        proxies = [self.enter(FaultProxy(s.address)) for s in self.servers]
        for proxy in proxies:
            arm_at_random(proxy, self.choose, KINDS, 6, 60_000_000)
            proxy.arm(self.choose.choice(KINDS), UP, 100_000)  # so early that it strikes on any machine
        history = self.stage.start("--hosts", ",".join(p.address for p in proxies), "--plain", 1, "--seconds", max(2, int(SECONDS)),
                                   "--seed", self.choose.randrange(1 << 30), "--clients", 3, program=HISTORY)
        time.sleep(self.choose.uniform(0, SECONDS / 2))
        n = self.choose.randrange(3)
        self.servers[n].kill()
        self.start_again(n)
        out, err = history.communicate(timeout=PATIENCE)
        print(out.strip()[:300], flush=True)
        self.assertEqual(history.returncode, 0, f"seed {SEED}: {out}\n{err}")
        self.assertGreater(sum(p.struck() for p in proxies), 0)


@unittest.skipUnless(os.geteuid() == 0, "a small file system needs root")
class FullDisk(StageCase):
    def test_a_servers_full_disk_is_told(self):
        """The limit allows more than the disk has."""
        disk = pathlib.Path(self.stage.path("small"))
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], capture_output=True, text=True)
        if mounted.returncode:
            self.skipTest("no small file system: " + mounted.stderr)
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)])
        server = self.stage.serve("-limit", "memory", "1MiB", "-limit", "map", "0", "-limit", "disk", "1GiB", "-define",
                                  f"registry:temporary-path={disk}")
        self.assertSucceeds(self.stage.run(photograph(), "-crop", "1600x1000+500+300", "+repage", "in.jpg"))
        run = self.stage.run(*NOTHING_HERE, "-define", f"registry:cache:hosts={server.address}", "in.jpg", *JOB, "out.png")
        self.assertFailsWith(run, "cache resources exhausted", output="out.png")
        self.assertEqual(server.process.poll(), None, "the server died of it")
        self.assertEqual(os.listdir(disk), [])


if __name__ == "__main__":
    unittest.main()

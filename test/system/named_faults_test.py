"""Faults at random moments of named-image work: readers get all of the old picture or all of the new one, and with cache:persist
what was acknowledged is there after every server was killed.

The seed is printed; SMALTI_SEED gives one, SMALTI_SECONDS says for how long (by default 4 seconds a test).
"""
import os
import pathlib
import random
import re
import signal
import subprocess
import threading
import time
import unittest

from fault_proxy import KINDS, FaultProxy, arm_at_random
from stage import PATIENCE, SMALTI, StageCase, free_port, photograph, pixels

SEED = int(os.environ.get("SMALTI_SEED", random.SystemRandom().randrange(1 << 32)))
SECONDS = float(os.environ.get("SMALTI_SECONDS", 4))
SERVERS = 3
HISTORY = pathlib.Path(os.environ.get("SMALTI_HISTORY", SMALTI.parent / "smalti_history"))
PLAIN = ("-define", "cache:encryption=none")
KNOWN = subprocess.run([SMALTI, "-help"], capture_output=True, text=True).stdout if SMALTI.exists() else ""


@unittest.skipUnless("cache:persist" in KNOWN and "dpc:" in KNOWN, "this smalti has no named images")
class NamedFaults(StageCase):
    def setUp(self):
        super().setUp()
        self.choose = random.Random(f"{SEED}.{self._testMethodName}")
        print(f"\nSMALTI_SEED={SEED}", flush=True)
        self.words = [[*PLAIN, "-define", "cache:grace=2", "-define", f"cache:persist={self.stage.path(f'kept-{n}')}"] for n in range(SERVERS)]
        self.servers = [self.stage.serve(*w, port=f"127.0.0.1:{free_port()}") for w in self.words]
        self.proxies = [FaultProxy(s.address) for s in self.servers]
        for proxy in self.proxies:
            self.addCleanup(proxy.close)
        self.client = [*PLAIN, "-define", "cache:replicas=2", "-define",
                       "registry:cache:hosts=" + ",".join(p.address for p in self.proxies)]
        self.versions = []
        for operator in ("-negate", "-flop", "-flip"):
            name = f"version{operator}.png"
            self.assertSucceeds(self.stage.run(photograph(), "-crop", "1000x700+200+300", "+repage", operator, name))
            self.versions.append((name, pixels(self.stage, name)))

    def restart(self, n):
        old = self.servers[n]
        old.kill()
        self.servers[n] = self.stage.serve(*self.words[n], port=old.address, state=old.state)

    def put(self, version):
        return self.stage.run(*self.client, self.versions[version][0], "dpc:it")

    def read(self):
        """The version that is there; None where it could not be had."""
        run = self.stage.run(*self.client, "dpc:it", "read.png")
        if run.code:
            self.assertNotIn("no image is named", run.err, f"seed {SEED}: an acknowledged image is gone")
            return None, run
        got = pixels(self.stage, "read.png")
        found = [n for n, (_, expected) in enumerate(self.versions) if expected == got]
        self.assertTrue(found, f"seed {SEED}: a mixture, or wrong pixels")
        return found[0], run

    def process_fault(self):
        n = self.choose.randrange(SERVERS)
        if self.choose.random() < 0.5:
            self.restart(n)
            return f"restart {n}"
        self.servers[n].signal(signal.SIGSTOP)
        time.sleep(self.choose.uniform(0.1, 2))
        self.servers[n].signal(signal.SIGCONT)
        return f"stop {n}"

    def wire_fault(self):
        arm_at_random(self.choose.choice(self.proxies), self.choose, KINDS, 1, 2_000_000)
        return "wire"

    def shaken(self, fault):
        """Puts one version after another while something fails, and reads after each."""
        self.assertSucceeds(self.put(0))
        may = {0}
        end = time.monotonic() + SECONDS
        rounds = refused = 0
        while time.monotonic() < end:
            version = self.choose.randrange(len(self.versions))
            worker = threading.Timer(self.choose.uniform(0, 0.6), fault)
            worker.start()
            done = self.put(version)
            worker.join()
            may = {version} if done.code == 0 else may | {version}
            refused += done.code != 0
            rounds += 1
            found, run = self.read()
            refused += found is None
            if found is not None:
                self.assertIn(found, may, f"seed {SEED}: an older version than was acknowledged; {run}")
        for proxy in self.proxies:
            proxy.armed.clear()
        for server in self.servers:
            server.kill()
        for n in range(SERVERS):
            self.restart(n)
        found, run = self.read()
        self.assertIsNotNone(found, f"seed {SEED}: after all were killed: {run}")
        self.assertIn(found, may)
        print(f"{self._testMethodName}: {rounds} rounds, {refused} refused", flush=True)

    def test_writers_die(self):
        """Killed at any moment: the old one is there or the new one, and the next writer gets its turn."""
        self.assertSucceeds(self.put(0))
        may = {0}
        end = time.monotonic() + SECONDS
        killed = refused = 0
        while time.monotonic() < end:
            version = self.choose.randrange(len(self.versions))
            writer = self.stage.start(*self.client, self.versions[version][0], "dpc:it")
            try:
                writer.wait(self.choose.uniform(0, 1))
            except subprocess.TimeoutExpired:
                writer.kill()
                killed += 1
            code = writer.wait()
            may = {version} if code == 0 else may | {version}
            found, run = self.read()
            self.assertIsNotNone(found, f"seed {SEED}: {run}")
            self.assertIn(found, may, f"seed {SEED}: {run}")  # what a dead writer left may still come, or not
            if self.choose.random() < 0.3:
                done = self.put(version)
                refused += done.code != 0
                may = {version} if done.code == 0 else may | {version}
        print(f"{self._testMethodName}: {killed} killed, {refused} refused", flush=True)

    def test_processes_fail(self):
        self.shaken(self.process_fault)

    def test_wires_fail(self):
        self.shaken(self.wire_fault)

    def histories(self, fault):
        """Many threads of several clients write, read, keep, give up and delete a few names, and every answer is judged."""
        history = self.stage.start("--hosts", ",".join(p.address for p in self.proxies), "--plain", 1, "--names", 3, "--replicas", 2,
                                   "--seconds", max(3, int(SECONDS)), "--seed", self.choose.randrange(1 << 30), "--clients", 3,
                                   "--threads", 3, "--pause", 5, program=HISTORY)
        faults = []
        while history.poll() is None:
            time.sleep(self.choose.uniform(0.2, 1))
            faults.append(fault())
        out, err = history.communicate(timeout=PATIENCE)
        print(f"{self._testMethodName}: {len(faults)} faults; {out.strip()[:400]}", flush=True)
        self.assertEqual(history.returncode, 0, f"seed {SEED}: {faults}\n{out}\n{err}")
        written, read = map(int, re.search(r"(\d+) writes, (\d+) reads", out).groups())
        self.assertGreater(min(written, read), 0, out)

    def test_histories_stay_sound_while_processes_fail(self):
        self.histories(self.process_fault)

    def test_histories_stay_sound_while_wires_fail(self):
        self.histories(self.wire_fault)


if __name__ == "__main__":
    unittest.main()

"""Faults at random moments of named-image work: readers get all of the old picture or all of the new one, and with cache:persist
what was acknowledged is there after every server was killed.

The seed is printed; SMALTI_SEED gives one, SMALTI_SECONDS says for how long (by default 4): each test goes on at least for so long, and
until some of its faults fell into the work.
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
from stage import PATIENCE, SMALTI, HeldJob, Stage, StageCase, free_port, hosts, over_the_wire, photograph, pixels

SEED = int(os.environ.get("SMALTI_SEED", random.SystemRandom().randrange(1 << 32)))
SECONDS = float(os.environ.get("SMALTI_SECONDS", 4))
LEAST, MOST = 3, 40  # faults that fell into the work; rounds in all
SERVERS = 3
HISTORY = pathlib.Path(os.environ.get("SMALTI_HISTORY", SMALTI.parent / "smalti_history"))
PLAIN = ("-define", "cache:encryption=none")


def setUpModule():
    """Three versions of a picture, each a file and its pixels."""
    global VERSIONS
    with Stage() as stage:
        VERSIONS = []
        for operator in ("-negate", "-flop", "-flip"):
            run = stage.run(photograph(), "-crop", "1000x700+200+300", "+repage", operator, "version.png")
            if run.code:
                raise AssertionError(str(run))
            VERSIONS.append((pathlib.Path(stage.path("version.png")).read_bytes(), pixels(stage, "version.png")))


class NamedCase(StageCase):
    def setUp(self):
        super().setUp()
        self.choose = random.Random(f"{SEED}.{self._testMethodName}")
        print(f"\nSMALTI_SEED={SEED}", flush=True)
        for n, (data, _) in enumerate(VERSIONS):
            pathlib.Path(self.stage.path(f"version{n}.png")).write_bytes(data)
        self.servers, self.words = [], []

    def serve(self, *words):
        self.words.append(words)
        self.servers.append(self.stage.serve(*words, port=f"127.0.0.1:{free_port()}"))

    def restart(self, n):
        old = self.servers[n]
        old.kill()
        self.servers[n] = self.stage.serve(*self.words[n], port=old.address, state=old.state)

    def restart_all(self):
        for server in self.servers:
            server.kill()
        for n in range(len(self.servers)):
            self.restart(n)

    def put(self, version, name="it"):
        return self.stage.run(*self.client, f"version{version}.png", f"dpc:{name}")

    def read(self, name="it"):
        """The version that is there; None where it could not be had."""
        run = self.stage.run(*self.client, f"dpc:{name}", "read.png")
        if run.code:
            self.assertNotIn("no image is named", run.err, f"seed {SEED}: an acknowledged image is gone")
            return None, run
        got = pixels(self.stage, "read.png")
        found = [n for n, (_, expected) in enumerate(VERSIONS) if expected == got]
        self.assertTrue(found, f"seed {SEED}: a mixture, or wrong pixels")
        return found[0], run


class NamedFaults(NamedCase):
    def setUp(self):
        super().setUp()
        for n in range(SERVERS):
            self.serve(*PLAIN, *over_the_wire(), "-define", "cache:grace=2", "-define", f"cache:persist={self.stage.path(f'kept-{n}')}")
        self.proxies = [FaultProxy(s.address) for s in self.servers]
        for proxy in self.proxies:
            self.addCleanup(proxy.close)
        self.client = [*PLAIN, "-define", "cache:replicas=2", "-define", hosts(self.proxies)]

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
        arm_at_random(self.choose.choice(self.proxies), self.choose, KINDS, 1, 1_000_000)
        return "wire"

    def somewhere_in(self, writer):
        """Some moment of a put: while tiles are put, or when all are there and the name is about to mean them."""
        if self.choose.random() < 0.5:
            writer.wait_until("writing", self.choose.randrange(90))
        else:
            writer.wait_until("writing", 90)
            time.sleep(self.choose.uniform(0, 0.2))

    def shaken(self, fault, struck):
        """Puts one version after another while something fails, and reads after each."""
        self.assertSucceeds(self.put(0))
        may = {0}
        end = time.monotonic() + SECONDS
        rounds = refused = within = 0
        while rounds < MOST and (time.monotonic() < end or within + struck() < LEAST):
            version = self.choose.randrange(len(VERSIONS))
            writer = HeldJob(self.stage, *self.client, f"version{version}.png", "dpc:it")
            self.somewhere_in(writer)
            within += writer.process.poll() is None and fault == self.process_fault
            fault()
            code = writer.finish()
            might, may = may, {version} if code == 0 else may | {version}
            refused += code != 0
            rounds += 1
            found, run = self.read()
            refused += found is None
            if found is not None:
                self.assertIn(found, may, f"seed {SEED}: an older version than was acknowledged; {run}")
            if found == version and version not in might:
                may = {version}  # it was read, and so has happened; from here on nothing older is
        for proxy in self.proxies:
            proxy.disarm()
        self.restart_all()
        found, run = self.read()
        self.assertIsNotNone(found, f"seed {SEED}: after all were killed: {run}")
        self.assertIn(found, may)
        print(f"{self._testMethodName}: {rounds} rounds, {within + struck()} faults fell into them, {refused} refused", flush=True)
        self.assertGreaterEqual(within + struck(), LEAST)

    def test_writers_die(self):
        """Killed at any moment: the old one is there or the new one, and the next writer gets its turn."""
        self.assertSucceeds(self.put(0))
        may = {0}
        end = time.monotonic() + SECONDS
        killed = rounds = 0
        while rounds < MOST and (time.monotonic() < end or killed < LEAST):
            version = self.choose.randrange(len(VERSIONS))
            writer = HeldJob(self.stage, *self.client, f"version{version}.png", "dpc:it")
            self.somewhere_in(writer)
            killed += writer.process.poll() is None
            writer.process.kill()
            code = writer.finish()
            rounds += 1
            may = {version} if code == 0 else may | {version}
            found, run = self.read()
            self.assertIsNotNone(found, f"seed {SEED}: {run}")
            self.assertIn(found, may, f"seed {SEED}: {run}")  # what a dead writer left may still come, or not
        # Its turn comes when the dead one's lock has ended.
        end = time.monotonic() + PATIENCE
        while (done := self.put(1)).code and time.monotonic() < end:
            self.assertRegex(done.err, "`(dpc:)?it'")
        self.assertSucceeds(done)
        self.assertEqual(self.read()[0], 1)
        print(f"{self._testMethodName}: {killed} killed", flush=True)
        self.assertGreaterEqual(killed, LEAST)

    def test_processes_fail(self):
        self.shaken(self.process_fault, lambda: 0)

    def test_wires_fail(self):
        self.shaken(self.wire_fault, lambda: sum(p.struck() for p in self.proxies))

    def histories(self, fault):
        """Many threads of several clients write, read, keep, give up and delete a few names, and every answer is judged."""
        history = self.stage.start("--hosts", ",".join(p.address for p in self.proxies), "--plain", 1, "--names", 3, "--replicas", 2,
                                   "--seconds", max(3, int(SECONDS)), "--least", 10,
                                   "--seed", self.choose.randrange(1 << 30), "--clients", 3, "--threads", 3, "--pause", 5, program=HISTORY)
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


class MissedDeletion(NamedCase):
    def test_a_server_that_missed_a_deletion_gives_its_room_back(self):
        for n in range(SERVERS):
            self.serve("-define", f"cache:persist={self.stage.path(f'kept-{n}')}")
        self.client = ["-define", hosts(self.servers), "-define", "cache:replicas=3"]
        self.assertSucceeds(self.put(0))
        self.servers[2].kill()
        self.assertSucceeds(self.stage.run(*self.client, "-delete-cache", "it"))
        self.restart(2)
        self.assertFailsWith(self.stage.run(*self.client, "dpc:it", "out.png"), "no image is named", output="out.png")
        listing = self.assertSucceeds(self.stage.run(*self.client, "-list", "cache")).out
        self.assertRegex(listing, "  it  .*deleted")
        self.assertSucceeds(self.stage.run(*self.client, "-delete-cache", "it"))
        listing = self.assertSucceeds(self.stage.run(*self.client, "-list", "cache")).out
        self.assertIn("Named images: none", listing)
        self.assertEqual(listing.count(" 0 names"), SERVERS, listing)
        self.assertEqual(listing.count("disk 0B"), SERVERS, listing)
        self.assertFailsWith(self.stage.run(*self.client, "-delete-cache", "it"), "no image is named")


@unittest.skipUnless(os.geteuid() == 0, "a small file system needs root")
class FullDisk(NamedCase):
    """The disk under cache:persist is full long before any limit."""

    def small_disk(self, size):
        disk = pathlib.Path(self.stage.path(f"small-{len(self.servers)}"))
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk], capture_output=True, text=True)
        if mounted.returncode:
            self.skipTest("no small file system: " + mounted.stderr)
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)])
        return disk

    def test_what_was_acknowledged_stays(self):
        disk = self.small_disk("5m")  # has room for two versions of 2.1 MB, not for three
        self.serve("-define", f"cache:persist={disk}")
        self.client = ["-define", hosts(self.servers)]
        self.assertSucceeds(self.put(0))
        self.assertSucceeds(self.put(1))  # the old one goes
        self.assertSucceeds(self.put(0, "other"))
        run = self.put(2, "third")
        self.assertFailsWith(run, re.escape(self.servers[0].address))
        self.assertRegex(run.err, "cache resources exhausted|[Nn]o space left")
        self.assertFailsWith(self.put(2))  # nor is there room for both versions while one replaces the other
        for _ in range(2):
            self.assertEqual((self.read()[0], self.read("other")[0]), (1, 0), run)
            self.assertIsNone(self.servers[0].process.poll(), "the server died of it")
            self.restart_all()
        self.assertFailsWith(self.stage.run(*self.client, "dpc:third", "out.png"), "no image is named", output="out.png")
        # What failed has left its room behind: with one image less there is room again.
        self.assertSucceeds(self.stage.run(*self.client, "-delete-cache", "other"))
        self.assertSucceeds(self.put(2))
        self.assertEqual(self.read()[0], 2)

    def test_another_server_takes_what_finds_no_room(self):
        for disk in (self.small_disk("1m"), self.stage.path("large-1"), self.stage.path("large-2")):
            self.serve("-define", f"cache:persist={disk}")
        self.client = ["-define", hosts(self.servers), "-define", "cache:replicas=2", "-define", "cache:placement=sharded"]
        self.assertSucceeds(self.put(0))
        self.assertEqual(self.read()[0], 0)
        self.assertSucceeds(self.put(1))
        self.restart_all()
        self.assertEqual(self.read()[0], 1)
        self.servers[1].kill()  # any one: each tile has a copy elsewhere
        self.assertEqual(self.read()[0], 1)


if __name__ == "__main__":
    unittest.main()

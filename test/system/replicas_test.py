"""With two replicas, nothing is lost with a server: real processes are killed, stopped, restarted empty and cut off in the middle of
a job, and the result is what it is without servers.

The moments are drawn from SMALTI_SEED, which is printed: so much of the input read, or so much of the output written. The output is
held back until the fault has happened, so that it always falls into the job. Whatever the moment, the result must be the same.
"""
import functools
import os
import pathlib
import random
import re
import signal
import subprocess
import threading
import time
import unittest

from stage import NOTHING_HERE, PATIENCE, SMALTI, HeldJob, Stage, StageCase, hosts, photograph

SEED = int(os.environ.get("SMALTI_SEED", random.SystemRandom().randrange(1 << 32)))
JOB = ("-sharpen", "5x2")  # an operator whose reads overlap
HISTORY = pathlib.Path(os.environ.get("SMALTI_HISTORY", SMALTI.parent / "smalti_history"))


@functools.cache
def picture_and_result(operators):
    """A photograph as a PPM, 26 MiB, and the result without servers."""
    with Stage() as stage:
        subprocess.run(["vips", "copy", str(photograph()), stage.path("in.ppm")], check=True)
        run = stage.run("in.ppm", *operators, "expected.ppm")
        if run.code:
            raise AssertionError(str(run))
        return pathlib.Path(stage.path("in.ppm")).read_bytes(), pathlib.Path(stage.path("expected.ppm")).read_bytes()


class ReplicaCase(StageCase):
    def setUp(self):
        super().setUp()
        self.choose = random.Random(f"{SEED}.{self._testMethodName}")
        print(f"\nSMALTI_SEED={SEED}", flush=True)
        picture, self.expected = picture_and_result(JOB)
        pathlib.Path(self.stage.path("in.ppm")).write_bytes(picture)

    def job(self, servers, *words, prefix=(), replicas=2, operators=JOB, output="ppm:-"):
        return HeldJob(self.stage, *NOTHING_HERE, "-verbose", "-define", hosts(servers), "-define", "cache:placement=sharded", "-define",
                       f"cache:replicas={replicas}", "in.ppm", *words, *operators, output, prefix=prefix)

    def moment(self, job):
        """Somewhere in the job, and not so late that the rest of the picture may be here already; says where."""
        if self.choose.random() < 0.5:
            percent = self.choose.randrange(0, 100)
            job.until_read(percent)
            return f"{percent}% read"
        part = self.choose.uniform(0, 0.5)
        job.until_written(max(1, int(part * len(self.expected))))
        return f"{100 * part:.0f}% written"

    def until_lost(self, job, server):
        """Until the job has said that the server is lost; all but the end of its output is taken."""
        job.until_written(len(self.expected) - 1)
        job.until_said(re.escape(f"{server.address} is lost"))

    def finish(self, job, expected=None):
        """The job's own words, after it was found to have succeeded with the right result."""
        code = job.finish()
        self.assertEqual(code, 0, job.said)
        self.assertTrue(job.taken == (expected or self.expected), f"wrong pixels, {len(job.taken)} bytes: {job.said}")
        return job.said

    def again(self, old):
        """An empty server under the same address, with the same id."""
        return self.stage.serve(port=old.address, state=old.state)


class Replicas(ReplicaCase):
    def test_any_server_may_be_killed_at_any_moment(self):
        servers = self.stage.servers(3)
        for trial in range(6):
            job = self.job(servers)
            when = self.moment(job)
            victim = self.choose.randrange(3)
            servers[victim].kill()
            self.until_lost(job, servers[victim])
            said = self.finish(job)
            self.assertEqual(said.count(f"{servers[victim].address} is lost"), 1, said)
            servers[victim] = self.again(servers[victim])
            print(f"trial {trial}: killed when {when}", flush=True)

    def test_a_second_loss_after_the_copies_were_made_anew(self):
        servers = self.stage.servers(4)
        _, turned = picture_and_result(("-rotate", "90"))
        # An order that reads everything late: the image is whole on the servers long before it is read.
        job = self.job(servers, operators=("-rotate", "90"))
        job.until_read(50)
        servers[1].kill()
        job.until_said("each has enough copies again")
        servers[2].kill()
        said = self.finish(job, turned)
        self.assertIn(f"{servers[2].address} is lost", said)

    def test_a_stopped_server_is_passed_over(self):
        servers = self.stage.servers(3)
        job = self.job(servers)
        when = self.moment(job)
        servers[0].signal(signal.SIGSTOP)
        start = time.monotonic()
        self.finish(job)
        print(f"stopped when {when}: {time.monotonic() - start:.1f} s for the rest", flush=True)
        start = time.monotonic()
        said = self.finish(self.job(servers))  # stopped from the beginning
        self.assertIn(servers[0].address, said)
        print(f"stopped from the beginning {time.monotonic() - start:.1f} s", flush=True)
        servers[0].signal(signal.SIGCONT)
        self.finish(self.job(servers))

    def test_a_server_that_is_stopped_and_goes_on(self):
        servers = self.stage.servers(3)
        for _ in range(2):
            job = self.job(servers)
            self.moment(job)
            victim = self.choose.choice(servers)
            victim.signal(signal.SIGSTOP)
            wake = threading.Timer(self.choose.uniform(0.1, 1.5), victim.signal, [signal.SIGCONT])
            wake.start()
            try:
                self.finish(job)
            finally:
                wake.join()

    def test_a_server_that_restarts_empty(self):
        servers = self.stage.servers(2)
        for _ in range(2):
            job = self.job(servers)
            self.moment(job)
            victim = self.choose.randrange(2)
            servers[victim].kill()
            servers[victim] = self.again(servers[victim])
            self.finish(job)

    def test_without_a_copy_left_the_server_and_the_image_are_named(self):
        servers = self.stage.servers(2)
        job = self.job(servers, "-write", "ppm:-", output="out.ppm")
        job.until_written(1 << 20)
        for server in servers:
            server.kill()
        self.assertNotEqual(job.finish(), 0, job.said)
        self.assertRegex(job.said, r"127\.0\.0\.1:\d+.*image [0-9a-f]{32}")
        left = [p.name for p in self.stage.folder.iterdir() if "out.ppm" in p.name]
        self.assertEqual(left, [])

    def test_no_answer_is_wrong_while_one_server_at_a_time_fails(self):
        """Threads of two clients, whose every answer is judged."""
        servers = self.stage.servers(3)
        history = self.stage.start("--hosts", ",".join(s.address for s in servers), "--replicas", 2, "--seconds", 9, "--clients", 2,
                                   "--threads", 2, "--seed", self.choose.randrange(1 << 30), program=HISTORY)
        for _ in range(3):
            time.sleep(self.choose.uniform(0.2, 1))
            n = self.choose.randrange(3)
            if self.choose.random() < 0.6:
                servers[n].signal(signal.SIGSTOP)
                time.sleep(self.choose.uniform(0.05, 2))
                servers[n].signal(signal.SIGCONT)
            else:
                servers[n].kill()
                servers[n] = self.again(servers[n])
            time.sleep(1)  # until what it missed is copied: nobody promises to survive two
        out, err = history.communicate(timeout=PATIENCE)
        print(out.strip()[:300], flush=True)
        self.assertEqual(history.returncode, 0, out + err)
        self.assertIn(" 0 wrong", out)

    def test_a_listed_server_that_is_down_is_said_and_done_without(self):
        servers = self.stage.servers(3)
        servers[2].kill()
        said = self.finish(self.job(servers))
        self.assertIn(servers[2].address, said)
        one = self.stage.run(*NOTHING_HERE, "-define", hosts(servers), "in.ppm", "-negate", "out.ppm")  # one replica: an error
        self.assertFailsWith(one, re.escape(servers[2].address), output="out.ppm")

    def test_more_replicas_than_servers(self):
        servers = self.stage.servers(2)
        said = self.finish(self.job(servers, replicas=3))
        self.assertEqual(said.count("fewer servers than cache:replicas asks for: tiles have 2 copies"), 1, said)

    def test_full_servers_pass_copies_on_and_are_named_when_all_are_full(self):
        limits = ("-limit", "map", "0", "-limit", "disk", "0")
        small = self.stage.serve("-limit", "memory", "8MiB", *limits)
        large = [self.stage.serve("-limit", "memory", "200MiB", *limits) for _ in range(2)]
        self.finish(self.job([small, *large]))
        job = self.job([small, large[0]])
        self.assertNotEqual(job.finish(), 0, job.said)
        self.assertRegex(job.said, "cache resources exhausted.*" + re.escape(small.address))


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@unittest.skipUnless(os.geteuid() == 0, "network namespaces need root")
class LinkDown(ReplicaCase):
    """Three servers and a client on hosts of their own; one host's link goes down."""

    def setUp(self):
        super().setUp()
        self.tag = f"sr{os.getpid() % 100000}"
        self.addresses = {host: f"192.168.101.{n}" for n, host in enumerate("abcd", 10)}
        self.addCleanup(self.tear_down_network)
        ip("netns", "add", self.space("hub"))
        ip("-n", self.space("hub"), "link", "add", "br0", "type", "bridge")
        ip("-n", self.space("hub"), "link", "set", "br0", "up")
        for host, address in self.addresses.items():
            space = self.space(host)
            ip("netns", "add", space)
            ip("-n", space, "link", "add", "eth0", "type", "veth", "peer", "name", f"to{host}", "netns", self.space("hub"))
            ip("-n", self.space("hub"), "link", "set", f"to{host}", "master", "br0", "up")
            ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", space, "link", "set", device, "up")
        self.servers = [self.stage.serve(port=f"{self.addresses[h]}:6668", prefix=self.on(h)) for h in "abc"]

    def space(self, host):
        return f"{self.tag}{host}"

    def on(self, host):
        return ("ip", "netns", "exec", self.space(host))

    def tear_down_network(self):
        for host in (*self.addresses, "hub"):
            subprocess.run(["ip", "netns", "del", self.space(host)], capture_output=True)

    def link(self, host, state):
        ip("-n", self.space("hub"), "link", "set", f"to{host}", state)

    def test_a_link_that_goes_down(self):
        job = self.job(self.servers, prefix=self.on("d"))
        when = self.moment(job)
        victim = self.choose.choice("abc")
        self.link(victim, "down")
        start = time.monotonic()
        self.finish(job)
        print(f"link down when {when}: {time.monotonic() - start:.1f} s for the rest", flush=True)
        start = time.monotonic()
        said = self.finish(self.job(self.servers, prefix=self.on("d")))  # down from the beginning
        self.assertIn(self.addresses[victim], said)
        print(f"down from the beginning {time.monotonic() - start:.1f} s", flush=True)
        self.link(victim, "up")

    def test_a_link_that_comes_back(self):
        job = self.job(self.servers, prefix=self.on("d"))
        self.moment(job)
        victim = self.choose.choice("abc")
        self.link(victim, "down")
        back = threading.Timer(self.choose.uniform(0.1, 2), self.link, [victim, "up"])
        back.start()
        try:
            self.finish(job)
        finally:
            back.join()


if __name__ == "__main__":
    unittest.main()

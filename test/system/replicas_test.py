"""With two replicas, nothing is lost with a server: real processes are killed, stopped, restarted empty and cut off in the middle of
a job, and the result is what it is without servers.

The moments are drawn from SMALTI_SEED, which is printed, as parts of the time that the job takes undisturbed. Whatever the moment, the
result must be the same.
"""
import filecmp
import os
import pathlib
import random
import re
import signal
import subprocess
import threading
import time
import unittest

from stage import NOTHING_HERE, PATIENCE, SMALTI, StageCase, hosts, photograph, until

SEED = int(os.environ.get("SMALTI_SEED", random.SystemRandom().randrange(1 << 32)))
# Long enough for several moments, and an operator whose reads overlap.
JOB = ("-sharpen", "5x2")
MIB = 1 << 20
HISTORY = pathlib.Path(os.environ.get("SMALTI_HISTORY", SMALTI.parent / "smalti_history"))


def resident(server):
    """Bytes of memory of a server, which grow as it takes tiles."""
    found = re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{server.process.pid}/status").read_text())
    return int(found[1]) << 10


class ReplicaCase(StageCase):
    def setUp(self):
        super().setUp()
        self.choose = random.Random(f"{SEED}.{self._testMethodName}")
        print(f"\nSMALTI_SEED={SEED}", flush=True)
        subprocess.run(["vips", "replicate", str(photograph()), self.stage.path("in.ppm"), "2", "1"], check=True)
        self.assertSucceeds(self.stage.run("in.ppm", *JOB, "expected.ppm"))

    def job(self, servers, *words, prefix=(), output="out.ppm", replicas=2):
        return self.stage.start(*NOTHING_HERE, "-verbose", "-define", hosts(servers), "-define", "cache:placement=sharded", "-define",
                                f"cache:replicas={replicas}", "in.ppm", *JOB, *words, output, prefix=prefix)

    def await_tiles(self, job, servers, amount):
        """Until the servers have so many bytes, or the job has ended."""
        until(lambda: job.poll() is not None or sum(resident(s) for s in servers) > amount, "tiles on the servers")

    def usual_time(self, servers, prefix=()):
        start = time.monotonic()
        self.finish(self.job(servers, prefix=prefix))
        return time.monotonic() - start

    def moment(self, job, usual):
        """Somewhere in the job: decoding, operating or encoding."""
        try:
            job.wait(self.choose.uniform(0.05, 0.95) * usual)
        except subprocess.TimeoutExpired:
            pass

    def finish(self, job, output="out.ppm"):
        """The job's own words, after it was found to have succeeded with the right result."""
        out, err = job.communicate(timeout=PATIENCE)
        self.assertEqual(job.returncode, 0, out + err)
        result = self.stage.path(output)
        self.assertTrue(filecmp.cmp(result, self.stage.path("expected.ppm"), shallow=False), "wrong pixels: " + err)
        os.unlink(result)
        return out + err

    def again(self, old):
        """An empty server under the same address, with the same id."""
        return self.stage.serve(port=old.address, state=old.state)


class Replicas(ReplicaCase):
    def test_any_server_may_be_killed_at_any_moment(self):
        servers = self.stage.servers(3)
        usual = self.usual_time(servers)
        for trial in range(6):
            job = self.job(servers)
            self.moment(job, usual)
            victim = self.choose.randrange(3)
            servers[victim].kill()
            said = self.finish(job)
            if f"{servers[victim].address} is lost" in said:
                self.assertEqual(said.count(f"{servers[victim].address} is lost"), 1, said)
            servers[victim] = self.again(servers[victim])
            print(f"trial {trial}: {'noticed' if 'is lost' in said else 'not needed'}", flush=True)

    def test_a_second_loss_after_the_copies_were_made_anew(self):
        servers = self.stage.servers(4)
        self.assertSucceeds(self.stage.run("in.ppm", "-rotate", "90", "turned.ppm"))
        # An order that reads everything late: the image is whole on the servers long before it is read.
        job = self.stage.start(*NOTHING_HERE, "-verbose", "-limit", "throttle", "20", "-define", hosts(servers), "-define",
                               "cache:placement=sharded", "-define", "cache:replicas=2", "in.ppm", "-rotate", "90", "out.ppm")
        empty = sum(map(resident, servers))
        self.await_tiles(job, servers, empty + 60 * MIB)
        servers[1].kill()
        lines = []
        copied = threading.Event()

        def listen():
            for line in job.stderr:
                lines.append(line)
                if "each has enough copies again" in line:
                    copied.set()
            copied.set()

        listener = threading.Thread(target=listen)
        listener.start()
        self.assertTrue(copied.wait(PATIENCE))
        servers[2].kill()
        self.assertEqual(job.wait(PATIENCE), 0, "".join(lines))
        listener.join()
        self.assertTrue(filecmp.cmp(self.stage.path("out.ppm"), self.stage.path("turned.ppm"), shallow=False), "".join(lines))
        print("".join(line for line in lines if "lost" in line or "copied:" in line), flush=True)

    def test_a_stopped_server_is_passed_over(self):
        servers = self.stage.servers(3)
        usual = self.usual_time(servers)
        job = self.job(servers)
        start = time.monotonic()
        self.moment(job, usual)
        servers[0].signal(signal.SIGSTOP)
        self.finish(job)
        print(f"undisturbed {usual:.1f} s, with one stopped {time.monotonic() - start:.1f} s", flush=True)
        start = time.monotonic()
        said = self.finish(self.job(servers))  # stopped from the beginning
        self.assertIn(servers[0].address, said)
        print(f"stopped from the beginning {time.monotonic() - start:.1f} s", flush=True)
        servers[0].signal(signal.SIGCONT)
        self.finish(self.job(servers))

    def test_a_server_that_is_stopped_and_goes_on(self):
        servers = self.stage.servers(3)
        usual = self.usual_time(servers)
        for _ in range(2):
            job = self.job(servers)
            self.moment(job, usual)
            victim = self.choose.choice(servers)
            victim.signal(signal.SIGSTOP)
            time.sleep(self.choose.uniform(0.1, 1.5))
            victim.signal(signal.SIGCONT)
            self.finish(job)

    def test_a_server_that_restarts_empty(self):
        servers = self.stage.servers(2)
        usual = self.usual_time(servers)
        for _ in range(2):
            job = self.job(servers)
            self.moment(job, usual)
            victim = self.choose.randrange(2)
            servers[victim].kill()
            servers[victim] = self.again(servers[victim])
            self.finish(job)

    def test_without_a_copy_left_the_server_and_the_image_are_named(self):
        servers = self.stage.servers(2)
        empty = sum(map(resident, servers))
        job = self.job(servers)
        self.await_tiles(job, servers, empty + 40 * MIB)
        for server in servers:
            server.kill()
        out, err = job.communicate(timeout=PATIENCE)
        self.assertNotEqual(job.returncode, 0, out + err)
        self.assertRegex(err, r"127\.0\.0\.1:\d+.*image [0-9a-f]{32}")
        left = [p.name for p in self.stage.folder.iterdir() if "out.ppm" in p.name]
        self.assertEqual(left, [])

    def test_no_answer_is_wrong_while_one_server_at_a_time_fails(self):
        """Threads of two clients, whose every answer is judged."""
        servers = self.stage.servers(3)
        history = self.stage.start("--hosts", ",".join(s.address for s in servers), "--replicas", 2, "--seconds", 12, "--clients", 2,
                                   "--threads", 2, "--seed", self.choose.randrange(1 << 30), program=HISTORY)
        end = time.monotonic() + 9
        while time.monotonic() < end:
            n = self.choose.randrange(3)
            if self.choose.random() < 0.6:
                servers[n].signal(signal.SIGSTOP)
                time.sleep(self.choose.uniform(0.05, 2))
                servers[n].signal(signal.SIGCONT)
            else:
                servers[n].kill()
                servers[n] = self.again(servers[n])
            time.sleep(3)  # until what it missed is copied: nobody promises to survive two
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
        out, err = job.communicate(timeout=PATIENCE)
        self.assertNotEqual(job.returncode, 0)
        self.assertRegex(err, "cache resources exhausted.*" + re.escape(small.address))


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
        usual = self.usual_time(self.servers, self.on("d"))
        start = time.monotonic()
        job = self.job(self.servers, prefix=self.on("d"))
        self.moment(job, usual)
        victim = self.choose.choice("abc")
        self.link(victim, "down")
        self.finish(job)
        print(f"undisturbed {usual:.1f} s, with a link down {time.monotonic() - start:.1f} s", flush=True)
        start = time.monotonic()
        said = self.finish(self.job(self.servers, prefix=self.on("d")))  # down from the beginning
        self.assertIn(self.addresses[victim], said)
        print(f"down from the beginning {time.monotonic() - start:.1f} s", flush=True)
        self.link(victim, "up")

    def test_a_link_that_comes_back(self):
        usual = self.usual_time(self.servers, self.on("d"))
        job = self.job(self.servers, prefix=self.on("d"))
        self.moment(job, usual)
        victim = self.choose.choice("abc")
        self.link(victim, "down")
        time.sleep(self.choose.uniform(0.1, 2))
        self.link(victim, "up")
        self.finish(job)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""What the loss of a server adds to a job with two replicas: killed, stopped, restarted empty, or cut off in the middle, or down
from the beginning. Undisturbed and disturbed jobs take turns; results are compared byte for byte.

    cmake --preset release && cmake --build --preset release && sudo python3 bench/losses.py [--rounds 5] [--seed N]

Prints seconds: median and worst of the job, and what was added to the median of the undisturbed ones. Links only go down where it
runs as root (network namespaces). Bounded by --minutes.
"""
import argparse
import filecmp
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test" / "system"))
os.environ.setdefault("SMALTI", str(ROOT / "build" / "release" / "smalti"))

from stage import NOTHING_HERE, Stage, photograph  # noqa: E402

JOB_TIMEOUT = 120
KINDS = ("killed", "stopped", "restarted empty", "killed before", "stopped before")


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Ground:
    """Where servers and the client run: this host, or hosts of their own."""

    def __init__(self):
        self.apart, self.tag = os.geteuid() == 0, f"sl{os.getpid() % 100000}"
        if not self.apart:
            return
        ip("netns", "add", f"{self.tag}hub")
        ip("-n", f"{self.tag}hub", "link", "add", "br0", "type", "bridge")
        ip("-n", f"{self.tag}hub", "link", "set", "br0", "up")
        for n in range(4):
            space = f"{self.tag}{n}"
            ip("netns", "add", space)
            ip("-n", space, "link", "add", "eth0", "type", "veth", "peer", "name", f"to{n}", "netns", f"{self.tag}hub")
            ip("-n", f"{self.tag}hub", "link", "set", f"to{n}", "master", "br0", "up")
            ip("-n", space, "addr", "add", f"192.168.102.{n + 1}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", space, "link", "set", device, "up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in ("0", "1", "2", "3", "hub"):
            subprocess.run(["ip", "netns", "del", self.tag + name], capture_output=True)

    def on(self, n):
        return ("ip", "netns", "exec", f"{self.tag}{n}") if self.apart else ()

    def port(self, n):
        return f"192.168.102.{n + 1}:6668" if self.apart else "127.0.0.1:0"

    def link(self, n, state):
        ip("-n", f"{self.tag}hub", "link", "set", f"to{n}", state)


class Trial:
    def __init__(self, stage, ground, choose):
        self.stage, self.ground, self.choose = stage, ground, choose
        self.servers = [stage.serve(port=ground.port(n), prefix=ground.on(n)) for n in range(3)]

    def again(self, n):
        old = self.servers[n]
        self.servers[n] = self.stage.serve(port=old.address, state=old.state, prefix=self.ground.on(n))

    def pids(self, n):
        """Of the server itself: where it was started in a namespace, `ip` has become it."""
        return self.servers[n].process.pid

    def disturb(self, kind, n):
        if kind.startswith("killed"):
            self.servers[n].kill()
        elif kind.startswith("stopped"):
            os.kill(self.pids(n), signal.SIGSTOP)
        elif kind == "restarted empty":
            self.servers[n].kill()
            self.again(n)
        elif kind.startswith("link down"):
            self.ground.link(n, "down")

    def mend(self, kind, n):
        if kind.startswith("killed"):
            self.again(n)
        elif kind.startswith("stopped"):
            os.kill(self.pids(n), signal.SIGCONT)
        elif kind.startswith("link down"):
            self.ground.link(n, "up")
            time.sleep(1)

    def run(self, kind, usual):
        """Seconds that a job took."""
        n = self.choose.randrange(3)
        if kind and kind.endswith("before"):
            self.disturb(kind, n)
        start = time.monotonic()
        job = self.stage.start(*NOTHING_HERE, "-define", "registry:cache:hosts=" + ",".join(s.address for s in self.servers), "-define",
                               "cache:placement=sharded", "-define", "cache:replicas=2", "in.ppm", "-sharpen", "5x2", "out.ppm",
                               prefix=self.ground.on(3))
        if kind and not kind.endswith("before"):
            time.sleep(self.choose.uniform(0.1, 0.9) * usual)
            self.disturb(kind, n)
        out, err = job.communicate(timeout=JOB_TIMEOUT)
        took = time.monotonic() - start
        if kind:
            self.mend(kind, n)
        same = job.returncode == 0 and filecmp.cmp(self.stage.path("out.ppm"), self.stage.path("expected.ppm"), shallow=False)
        if not same:
            sys.exit(f"{kind}: exit {job.returncode}, or wrong pixels\n{out}\n{err}")
        return took


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--minutes", type=float, default=8)
    words.add_argument("--seed", type=int, default=1)
    asked = words.parse_args()
    end = time.monotonic() + asked.minutes * 60
    with Stage() as stage, Ground() as ground:
        kinds = KINDS + (("link down", "link down before") if ground.apart else ())
        subprocess.run(["vips", "replicate", str(photograph()), stage.path("in.ppm"), "2", "2"], check=True)
        if stage.run("in.ppm", "-sharpen", "5x2", "expected.ppm").code:
            sys.exit("the job fails without servers")
        trial = Trial(stage, ground, random.Random(asked.seed))
        usual = [trial.run(None, 0), trial.run(None, 0)][1:]
        times = {kind: [] for kind in kinds}
        for _ in range(asked.rounds):
            for kind in kinds:
                if time.monotonic() > end:
                    break
                usual.append(trial.run(None, 0))
                times[kind].append(trial.run(kind, statistics.median(usual)))
    base = statistics.median(usual)
    print(f"seed {asked.seed}; undisturbed: {len(usual)} jobs, median {base:.2f} s, worst {max(usual):.2f} s")
    print("| one of three servers | jobs | median s | worst s | added, median | added, worst |\n|---|---|---|---|---|---|")
    for kind, all_ in times.items():
        if all_:
            middle = statistics.median(all_)
            print(f"| {kind} | {len(all_)} | {middle:.2f} | {max(all_):.2f} | {middle - base:+.2f} | {max(all_) - base:+.2f} |")


if __name__ == "__main__":
    main()

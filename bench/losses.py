#!/usr/bin/env python3
"""What the loss of a server adds to a job with two replicas: killed, stopped, restarted empty, or cut off in the middle, or down
from the beginning. Undisturbed and disturbed jobs take turns; results are compared byte for byte.

    cmake --preset release && cmake --build --preset release && sudo python3 bench/losses.py [--rounds 5] [--seed N]

Prints seconds: median and worst of the job, and what was added to the undisturbed job just before it, median and worst. A fault that
did not fall into the job says nothing: it is told and tried again. Links only go down where it runs as root (network namespaces). Bounded
by --minutes. Exits 1 when a job fails or its result differs, and when the median that one kind of loss adds is above 2 s.
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
AT_MOST = 2.0  # seconds that a loss may add
TRIES = 5
KINDS = ("killed", "stopped", "restarted empty", "killed before", "stopped before")


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Ground:
    """Where servers and the client run: this host, or hosts of their own."""

    def __init__(self):
        self.apart, self.tag = os.geteuid() == 0, f"sl{os.getpid() % 100000}"
        if not self.apart:
            return
        try:
            self.make()
        except (OSError, subprocess.CalledProcessError) as why:
            print(f"links stay up: no network namespaces here ({why})", flush=True)
            self.__exit__()
            self.apart = False

    def make(self):
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
        if not self.apart:
            return
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
        """Seconds that a job took; nothing when the fault came too late for it."""
        within = True
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
            within = job.poll() is None
        out, err = job.communicate(timeout=JOB_TIMEOUT)
        took = time.monotonic() - start
        if kind:
            self.mend(kind, n)
        same = job.returncode == 0 and filecmp.cmp(self.stage.path("out.ppm"), self.stage.path("expected.ppm"), shallow=False)
        if not same:
            sys.exit(f"{kind}: exit {job.returncode}, or wrong pixels\n{out}\n{err}")
        return took if within else None


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
        added = {kind: [] for kind in kinds}
        late = 0
        for _ in range(asked.rounds):
            for kind in kinds:
                took = None
                for _ in range(TRIES):
                    if took is not None or time.monotonic() > end:
                        break
                    usual.append(trial.run(None, 0))
                    took = trial.run(kind, statistics.median(usual[-5:]))
                    late += took is None
                if took is not None:
                    times[kind].append(took)
                    added[kind].append(took - usual[-1])
    print(f"seed {asked.seed}; undisturbed: {len(usual)} jobs, median {statistics.median(usual):.2f} s, from {min(usual):.2f} to "
          f"{max(usual):.2f} s; {late} faults came too late and were tried again")
    print("| one of three servers | jobs | median s | worst s | added, median | added, worst |\n|---|---|---|---|---|---|")
    for kind, all_ in times.items():
        if all_:
            print(f"| {kind} | {len(all_)} | {statistics.median(all_):.2f} | {max(all_):.2f} | {statistics.median(added[kind]):+.2f} | "
                  f"{max(added[kind]):+.2f} |")
    missed = [kind for kind, all_ in times.items() if not all_]
    if missed:
        print("not tried for want of time:", ", ".join(missed))
    slow = [kind for kind, all_ in added.items() if all_ and statistics.median(all_) > AT_MOST]
    print(f"at most {AT_MOST:g} s are added in the median" + (": NOT by " + ", ".join(slow) if slow else ""))
    return 1 if slow or missed else 0


if __name__ == "__main__":
    sys.exit(main())

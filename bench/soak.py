#!/usr/bin/env python3
"""A soak: servers with replicas and persisted images, clients that do main jobs, named-image work and tile histories, and faults
at random, one after the other.

    cmake --preset release && cmake --build --preset release && python3 bench/soak.py [--minutes 10] [--seed N]

Prints the faults, operations, errors and losses, and exits 1 on a loss: wrong or mixed pixels, something older than was
acknowledged, or an acknowledged image that is gone. An error that a client is told is an error, not a loss; with replicas and one
fault at a time there should be few. --table prints the figures as rows of doc/reliability.md.
"""
import argparse
import collections
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test" / "system"))
os.environ.setdefault("SMALTI", str(ROOT / "build" / "release" / "smalti"))

from fault_proxy import FaultProxy  # noqa: E402
from stage import NOTHING_HERE, SMALTI, Stage, free_port, photograph, pixels  # noqa: E402

HISTORY = pathlib.Path(os.environ.get("SMALTI_HISTORY", SMALTI.parent / "smalti_history"))
PROCESS_FAULTS = ("kill and restart", "stop for a while")
WIRE_FAULTS = ("flip", "cut", "stall")
NAMES = 4
PARTS = ("[300x200+10+20]", "[300x200+600+350]", "[200x500+400+50]")
GONE = re.compile(r"no image is named")  # what a name that nobody put is answered with
OPERATION_TIMEOUT = 180


def knows(word):
    return word in subprocess.run([SMALTI, "-help"], capture_output=True, text=True).stdout


class Farm:
    """Servers, each behind a proxy; what can be kept by them, and for how long."""

    def __init__(self, stage, count, plain):
        self.stage, self.persist, self.replicas = stage, knows("cache:persist"), knows("cache:replicas")
        self.named = knows("dpc:")
        self.words = [["-define", "cache:encryption=none"] if plain else [] for _ in range(count)]
        if self.persist:
            for n, words in enumerate(self.words):
                words += ["-define", f"cache:persist={stage.path(f'persist-{n}')}"]
        # On ports of their own choice, for what is kept in a folder is kept for a port.
        self.servers = [stage.serve(*words, port=f"127.0.0.1:{free_port()}") for words in self.words]
        self.proxies = [FaultProxy(s.address) for s in self.servers]
        self.addresses = ",".join(p.address for p in self.proxies)
        self.client = ["-define", f"registry:cache:hosts={self.addresses}"]
        if plain:
            self.client += ["-define", "cache:encryption=none"]
        if self.replicas:
            self.client += ["-define", "cache:replicas=2"]
        self.plain = plain

    def restart(self, n):
        old = self.servers[n]
        old.kill()
        old.process.stdout.close()
        self.servers[n] = self.stage.serve(*self.words[n], port=old.address, state=old.state)


class Soak:
    def __init__(self, stage, farm, seed, minutes):
        self.stage, self.farm, self.seed = stage, farm, seed
        self.end = time.monotonic() + 60 * minutes
        self.lock = threading.Lock()
        self.count = collections.Counter()   # guarded by lock
        self.examples = []                   # guarded by lock
        self.losses = []                     # guarded by lock
        # What a name may hold: the version that was put last, and those whose putting failed since. Empty: never put.
        self.may = {f"soak{n}": set() for n in range(NAMES)}

    def over(self):
        return time.monotonic() > self.end

    def tell(self, what, more=1):
        with self.lock:
            self.count[what] += more

    def error(self, work, text):
        with self.lock:
            self.count[f"errors told: {work}"] += 1
            if self.count[f"errors told: {work}"] <= 4:
                self.examples.append(f"{work}: " + text.strip().replace("\n", " | ")[:300])

    def lost(self, text):
        with self.lock:
            self.losses.append(text)
        print("LOSS:", text, flush=True)

    def run(self, *words, **more):
        try:
            return self.stage.run(*words, timeout=OPERATION_TIMEOUT, **more)
        except subprocess.TimeoutExpired:
            self.lost(f"no end within {OPERATION_TIMEOUT} s: {' '.join(map(str, words))}")
            return None

    # --- faults

    def inject(self):
        choose = random.Random(f"{self.seed}.faults")
        while not self.over():
            time.sleep(choose.uniform(1, 5))
            n = choose.randrange(len(self.farm.servers))
            kind = choose.choice(PROCESS_FAULTS + WIRE_FAULTS)
            self.tell("fault: " + kind)
            if kind == "kill and restart":
                self.farm.servers[n].kill()
                time.sleep(choose.uniform(0, 3))
                self.farm.restart(n)
            elif kind == "stop for a while":
                self.farm.servers[n].signal(signal.SIGSTOP)
                time.sleep(choose.uniform(0.2, 4))
                self.farm.servers[n].signal(signal.SIGCONT)
            else:
                self.farm.proxies[n].arm(kind, choose.choice(("up", "down")), choose.randrange(3_000_000),
                                         choose.uniform(0.2, 3), choose.randrange(8))
            # Time to notice, and to copy again what has one copy left: nobody promises to survive two losses at once.
            time.sleep(choose.uniform(2, 6))

    # --- work

    def main_jobs(self):
        expected = self.stage.path("job.png")
        turn = 0
        while not self.over():
            turn += 1
            output = f"job-{turn}.png"
            run = self.run(*NOTHING_HERE, *self.farm.client, "-define", "cache:placement=sharded", "in.jpg", "-sharpen", "5x2",
                           output)
            self.tell("main jobs")
            result = pathlib.Path(self.stage.path(output))
            if run is None:
                continue
            if run.code != 0:
                self.error("main jobs", run.err)
                if result.exists():
                    self.lost(f"a half-written {output}")
            elif result.read_bytes() != pathlib.Path(expected).read_bytes():
                self.lost(f"{output}: wrong pixels")
            result.unlink(missing_ok=True)

    def histories(self):
        turn = 0
        while not self.over():
            turn += 1
            seconds = int(max(2, min(15, self.end - time.monotonic())))
            run = self.run("--hosts", self.farm.addresses, "--seconds", seconds, "--seed", self.seed + turn, "--clients", 2,
                           "--threads", 3, "--replicas", 2 if self.farm.replicas else 1, "--plain", int(self.farm.plain),
                           program=HISTORY)
            if run is None:
                continue
            found = re.search(r"(\d+) writes, (\d+) reads, (\d+) failed, (\d+) wrong(?:; one failure: (.*))?", run.out)
            if not found:
                self.error("histories", run.out + run.err)
                time.sleep(1)
                continue
            self.tell("tiles written", int(found[1]))
            self.tell("tiles read", int(found[2]))
            self.tell("tile operations that failed", int(found[3]))
            if found[5]:
                self.error("histories", found[5])
            if int(found[4]):
                self.lost("history: " + run.out)

    def named(self):
        """Each name holds one of two versions of a picture; every part that is read is of the one that was put last, or of
        the one whose putting failed."""
        choose = random.Random(f"{self.seed}.named")
        may = self.may
        while not self.over():
            name = choose.choice(sorted(may))
            if not may[name] or choose.random() < 0.3:
                version = choose.randrange(2)
                run = self.run(*self.farm.client, f"version-{version}.png", f"dpc:{name}")
                self.tell("named images put")
                if run is None or run.code:
                    may[name] = may[name] | {version} if may[name] else set()
                    self.error("named puts", run.err if run else "no end")
                else:
                    may[name] = {version}
                continue
            self.read_part(name, choose.choice(PARTS), False)

    def read_part(self, name, part, must):
        run = self.run(*self.farm.client, f"dpc:{name}{part}", "part.png")
        self.tell("parts of named images read")
        if run is None or run.code:
            self.error("named reads", run.err if run else "no end")
            if run and (must or GONE.search(run.err)):
                self.lost(f"{name} was put and is gone: {run.err}")
            return
        got = pixels(self.stage, "part.png")
        found = [v for v in (0, 1) if got == self.parts[part, v]]
        if not found or found[0] not in self.may[name]:
            self.lost(f"{name}{part}: {'version ' + str(found[0]) if found else 'wrong or mixed pixels'}, not of {self.may[name]}")

    def after_all(self):
        """Every server is killed and started once more: what was acknowledged is there."""
        for server in self.farm.servers:
            server.signal(signal.SIGCONT)
        if not (self.farm.named and self.farm.persist):
            return
        for server in self.farm.servers:
            server.kill()
        for n in range(len(self.farm.servers)):
            self.farm.restart(n)
        for name, versions in sorted(self.may.items()):
            for part in PARTS if versions else ():
                self.read_part(name, part, True)

    def prepare(self):
        def must(*words):
            run = self.stage.run(*words)
            if run.code:
                raise SystemExit(f"cannot prepare: {run}")
        must(photograph(), "-crop", "1600x1000+500+300", "+repage", "in.jpg")
        must("in.jpg", "-sharpen", "5x2", "job.png")
        self.parts = {}
        for version, operator in enumerate(("-negate", "-flop")):
            must("in.jpg", "-crop", "1000x700+0+0", "+repage", operator, f"version-{version}.png")
            for part in PARTS:
                must(f"version-{version}.png", "-crop", part[1:-1], "+repage", "part.png")
                self.parts[part, version] = pixels(self.stage, "part.png")

    def go(self):
        self.prepare()
        work = [self.inject, self.main_jobs, self.histories] + ([self.named] if self.farm.named else [])
        threads = [threading.Thread(target=each) for each in work]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        self.after_all()
        for n, server in enumerate(self.farm.servers):
            if server.process.poll() is not None:
                self.lost(f"server {n} died by itself: {server.text[-500:]}")


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--minutes", type=float, default=10)
    parse.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parse.add_argument("--servers", type=int, default=4)
    parse.add_argument("--plain", action="store_true", help="cache:encryption=none: only checksums find a flipped bit")
    parse.add_argument("--table", action="store_true")
    given = parse.parse_args()
    print(f"soak: seed {given.seed}, {given.minutes:g} minutes, {given.servers} servers", flush=True)
    with Stage() as stage:
        farm = Farm(stage, given.servers, given.plain)
        print(f"replicas: {2 if farm.replicas else 1}, persist: {farm.persist}, named images: {farm.named}", flush=True)
        soak = Soak(stage, farm, given.seed, given.minutes)
        soak.go()
        struck = collections.Counter(f.kind for p in farm.proxies for f in p.done)
        for proxy in farm.proxies:
            proxy.close()
    form = "| {} | {} |" if given.table else "{:34} {}"
    for what, number in sorted(soak.count.items()):
        print(form.format(what, number))
    for kind, number in sorted(struck.items()):
        print(form.format(f"of these struck: {kind}", number))
    print(form.format("losses", len(soak.losses)))
    for example in soak.examples:
        print("an error:", example)
    return 1 if soak.losses else 0


if __name__ == "__main__":
    sys.exit(main())

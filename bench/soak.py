#!/usr/bin/env python3
"""A soak: servers with replicas and persisted images, clients that do main jobs, named-image work and histories of tiles and names, and
faults at random, one after the other.

    cmake --preset release -DSMALTI_TESTS=ON && cmake --build --preset release && python3 bench/soak.py [--minutes 10] [--seed N]

Prints the faults, operations, errors and losses, and exits 1 on a loss: wrong or mixed pixels, something older than was acknowledged,
an acknowledged image that is gone, a program that crashed, room that is not given back; 2 when too little succeeded for the run to say
anything. An error that a client is told is an error, not a loss; with replicas and one fault at a time there should be few. --table
prints the figures as rows of doc/reliability.md.
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
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test" / "system"))
os.environ.setdefault("SMALTI", str(ROOT / "build" / "release" / "smalti"))

from fault_proxy import FaultProxy  # noqa: E402
from stage import NOTHING_HERE, SMALTI, Run, Stage, free_port, over_the_wire, photograph, pixels  # noqa: E402

HISTORY = pathlib.Path(os.environ.get("SMALTI_HISTORY", SMALTI.parent / "smalti_history"))
PROCESS_FAULTS = ("kill and restart", "stop for a while")
WIRE_FAULTS = ("flip", "cut", "stall")
NAMES = 4
HISTORY_NAMES = 3
PARTS = ("[300x200+10+20]", "[300x200+600+350]", "[200x500+400+50]")
GONE = re.compile(r"no image is named")  # what a name that nobody put is answered with
OPERATION_TIMEOUT = 180
GRACE = 5
# Of each, so many must succeed, and more than half of those that were tried.
NEEDED = ("main jobs", "tile histories", "name histories", "named images put", "parts of named images read")


class Farm:
    """Servers, each behind a proxy; what can be kept by them, and for how long."""

    def __init__(self, stage, count, plain):
        self.stage, self.plain = stage, plain
        security = ["-define", "cache:encryption=none"] if plain else []
        self.words = [[*security, *over_the_wire(), "-define", f"cache:grace={GRACE}", "-define",
                       f"cache:persist={stage.path(f'persist-{n}')}"] for n in range(count)]
        # On ports of their own choice, for what is kept in a folder is kept for a port.
        self.servers = [stage.serve(*words, port=f"127.0.0.1:{free_port()}") for words in self.words]
        self.proxies = [FaultProxy(s.address) for s in self.servers]
        self.addresses = ",".join(p.address for p in self.proxies)
        self.client = [*security, "-define", f"registry:cache:hosts={self.addresses}", "-define", "cache:replicas=2"]

    def kill(self, n):
        """False: it was dead already."""
        alive = self.servers[n].process.poll() is None
        self.servers[n].kill()
        return alive

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
        self.good = collections.Counter()    # likewise
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

    def run(self, what, *words, **more):
        """A finished run; none where it did not end, or died of a signal, which are losses."""
        process = self.stage.start(*words, **more)
        self.tell(what)
        try:
            out, err = process.communicate(timeout=OPERATION_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.lost(f"no end within {OPERATION_TIMEOUT} s: {' '.join(map(str, words))}")
            return None
        if process.returncode < 0:
            self.lost(f"died of signal {-process.returncode}: {' '.join(map(str, words))}: {err[-500:]}")
            return None
        return Run(process, out, err)

    def succeeded(self, what):
        with self.lock:
            self.good[what] += 1

    def guarded(self, work):
        """Whatever ends a thread before its time is a loss: of proof."""
        try:
            work()
        except Exception:
            self.lost(f"{work.__name__} ended: {traceback.format_exc()}")

    # --- faults

    def inject(self):
        choose = random.Random(f"{self.seed}.faults")
        while not self.over():
            time.sleep(choose.uniform(1, 5))
            n = choose.randrange(len(self.farm.servers))
            kind = choose.choice(PROCESS_FAULTS + WIRE_FAULTS)
            self.tell("fault: " + kind)
            if kind == "kill and restart":
                if not self.farm.kill(n):
                    self.lost(f"server {n} had died by itself: {self.farm.servers[n].text[-500:]}")
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
        expected = pathlib.Path(self.stage.path("job.png")).read_bytes()
        turn = 0
        while not self.over():
            turn += 1
            output = f"job-{turn}.png"
            run = self.run("main jobs", *NOTHING_HERE, *self.farm.client, "-define", "cache:placement=sharded", "in.jpg", "-sharpen",
                           "5x2", output)
            result = pathlib.Path(self.stage.path(output))
            if run is None:
                pass
            elif run.code:
                self.error("main jobs", run.err)
                if result.exists():
                    self.lost(f"a half-written {output}")
            elif not result.exists() or result.read_bytes() != expected:
                self.lost(f"{output}: wrong pixels, or none")
            else:
                self.succeeded("main jobs")
            result.unlink(missing_ok=True)

    def history(self, what, written, read, turn, most_seconds, *words):
        seconds = int(max(3, min(most_seconds, self.end - time.monotonic())))
        run = self.run(what, "--hosts", self.farm.addresses, "--seconds", seconds, "--seed", self.seed + turn, "--replicas", 2, "--plain",
                       int(self.farm.plain), *words, program=HISTORY)
        found = run and re.search(r"(\d+) writes, (\d+) reads, (\d+) failed, (\d+) wrong(?:; one failure: (.*))?", run.out)
        if not found:
            if run:
                self.error(what, run.out + run.err)
            time.sleep(1)
            return
        self.tell(written, int(found[1]))
        self.tell(read, int(found[2]))
        self.tell(f"of these failed ({what})", int(found[3]))
        if int(found[3]):
            with self.lock:
                self.examples.append(f"{what}: {found[5]}"[:300])
        if int(found[4]) or run.code == 1:
            self.lost(f"{what}: {run.out}")
        elif int(found[1]) and int(found[2]):
            self.succeeded(what)

    def tile_histories(self):
        turn = 0
        while not self.over():
            turn += 1
            self.history("tile histories", "tiles written", "tiles read", turn, 15, "--clients", 2, "--threads", 3)

    def name_histories(self):
        turn = 0
        while not self.over():
            turn += 1
            self.history("name histories", "names written or deleted", "names read", turn, 60, "--names", HISTORY_NAMES, "--clients",
                         2, "--threads", 2, "--pause", 20)

    def named(self):
        """Each name holds one of two versions of a picture; every part that is read is of the one that was put last, or of
        one whose putting failed since. Some writers are killed."""
        choose = random.Random(f"{self.seed}.named")
        may = self.may
        while not self.over():
            name = choose.choice(sorted(may))
            dice = choose.random()
            version = choose.randrange(2)
            if not may[name] or dice < 0.25:
                run = self.run("named images put", *self.farm.client, f"version-{version}.png", f"dpc:{name}")
                if run is not None and run.code == 0:
                    may[name] = {version}
                    self.succeeded("named images put")
                    continue
                self.error("named puts", run.err if run else "no end")
                self.may_have(name, version)
            elif dice < 0.35:
                self.tell("writers killed")
                writer = self.stage.start(*self.farm.client, f"version-{version}.png", f"dpc:{name}")
                time.sleep(choose.uniform(0, 1.5))
                writer.kill()
                writer.communicate()
                self.may_have(name, version)
            else:
                self.read_part(name, choose.choice(PARTS), False)

    def may_have(self, name, version):
        """Of a put whose outcome is not known. That of a name that never was is none: it may be there or not."""
        if self.may[name]:
            self.may[name] = self.may[name] | {version}

    def read_part(self, name, part, must):
        run = self.run("parts of named images read", *self.farm.client, f"dpc:{name}{part}", "part.png")
        if run is None or run.code:
            self.error("named reads", run.err if run else "no end")
            if run and (must or GONE.search(run.err)):
                self.lost(f"{name} was put and is gone: {run.err}")
            return
        got = pixels(self.stage, "part.png")
        found = [v for v in (0, 1) if got == self.parts[part, v]]
        if found and found[0] in self.may[name]:
            self.succeeded("parts of named images read")
        else:
            self.lost(f"{name}{part}: {'version ' + str(found[0]) if found else 'wrong or mixed pixels'}, not of {self.may[name]}")

    # --- the end

    def after_all(self):
        """Every server is killed and started once more: what was acknowledged is there. When all names are deleted, nothing is left."""
        for n, server in enumerate(self.farm.servers):
            self.farm.proxies[n].disarm()
            server.signal(signal.SIGCONT)
            if server.process.poll() is not None:
                self.lost(f"server {n} died by itself: {server.text[-500:]}")
        self.nothing_left("before the last restart", names=True)
        for server in self.farm.servers:
            server.kill()
        for n in range(len(self.farm.servers)):
            self.farm.restart(n)
        for name, versions in sorted(self.may.items()):
            for part in PARTS if versions else ():
                self.read_part(name, part, True)
        for name in self.names_there():
            run = self.run("names deleted", *self.farm.client, "-delete-cache", name)
            if run is None or run.code:
                self.lost(f"{name} cannot be deleted: {run and run.err}")
        self.nothing_left("after all", names=False)
        left = [n for n in os.listdir(self.stage.folder) if n.startswith(".")] + os.listdir(self.stage.temporary)
        if left:
            self.lost(f"files are left behind: {left[:5]}")

    def listing(self):
        run = self.stage.run(*self.farm.client, "-list", "cache")
        if run.code:
            raise AssertionError(str(run))
        return run.out

    def names_there(self):
        return [line.split()[0] for line in self.listing().partition("Named images:")[2].splitlines() if line.startswith("  ")]

    def nothing_left(self, when, names):
        """What has no name goes when its client has gone; what had one when that was deleted. None but names hold room."""
        end = time.monotonic() + 60 + GRACE
        while True:
            listing = self.listing()
            used = re.findall(r"used: memory (\S+) of \S+, disk (\S+) of", listing)
            if len(used) == len(self.farm.servers) and all(memory == "0B" and (names or disk == "0B") for memory, disk in used):
                return
            if time.monotonic() > end:
                return self.lost(f"room is not given back {when}: {listing}")
            time.sleep(1)

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
        work = [self.inject, self.main_jobs, self.tile_histories, self.name_histories, self.named]
        threads = [threading.Thread(target=self.guarded, args=(each,)) for each in work]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        self.guarded(self.after_all)

    def says_nothing(self):
        """What was tried and did not succeed often enough for a run without losses to mean something."""
        return [f"{what}: {self.good[what]} of {self.count[what]} succeeded" for what in NEEDED
                if self.good[what] == 0 or 2 * self.good[what] < self.count[what]]


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
        soak = Soak(stage, farm, given.seed, given.minutes)
        soak.go()
        struck = collections.Counter(f.kind for p in farm.proxies for f in p.done)
        for proxy in farm.proxies:
            proxy.close()
    form = "| {} | {} |" if given.table else "{:34} {}"
    for what, number in sorted(soak.count.items()):
        print(form.format(what, f"{number}, of which {soak.good[what]} succeeded" if what in NEEDED else number))
    for kind, number in sorted(struck.items()):
        print(form.format(f"of these struck: {kind}", number))
    print(form.format("losses", len(soak.losses)))
    for example in soak.examples:
        print("an error:", example)
    for each in soak.says_nothing():
        print("too little was proven:", each)
    return 1 if soak.losses else 2 if soak.says_nothing() else 0


if __name__ == "__main__":
    sys.exit(main())

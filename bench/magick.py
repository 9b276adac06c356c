#!/usr/bin/env python3
"""Unmodified ImageMagick clients at our server beside ImageMagick's own, in one run on one machine.

usage: bench/magick.py [--smalti PATH] [--rounds N] [--convert PATH] [--handshake WORD] [--only PART,...]
                       [--patience SECONDS] [--patient]
Parts: small, large, photo, crowd, gateway; all of them take some eight minutes. A run is waited for --patience seconds at
most. --patient also waits for ImageMagick's server without the shim on the large picture (three minutes an operation).
The tables of doc/bench-magick.md go to stdout.
"""
import argparse
import os
import pathlib
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from contest import contest, machine, measure, spread

NOTHING_HERE = ["-limit", "memory", "1KiB", "-limit", "map", "1KiB", "-limit", "disk", "1KiB"]
OPERATORS = {"negate": ["-negate"], "sharpen": ["-sharpen", "5x2"]}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def photograph():
    return sorted(p for p in pathlib.Path("/usr/share/backgrounds").rglob("*.jpg") if p.stat().st_size > 500_000)[0]


class Bench:
    def __init__(self, options):
        self.options = options
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="smalti-bench-"))
        self.processes = []
        (self.folder / "policy.xml").write_text(
            '<policymap><policy domain="cache" name="shared-secret" value="benchmark" stealth="true"/>'
            '<policy domain="resource" name="disk" value="64GiB"/></policymap>')
        self.environment = {**os.environ, "MAGICK_CONFIGURE_PATH": str(self.folder), "HOME": str(self.folder),
                            "SMALTI_CONFIGURE_PATH": str(self.folder), "XDG_STATE_HOME": str(self.folder)}
        self.shim = self.folder / "nodelay.so"
        source = pathlib.Path(__file__).with_name("nodelay.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", self.shim, source, "-ldl"], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes = []

    def path(self, name):
        return str(self.folder / name)

    def theirs(self):
        """ImageMagick's own server; returns its port."""
        port = free_port()
        self.processes.append(subprocess.Popen([self.options.convert, "-distribute-cache", str(port)],
                                               env=self.environment, stderr=subprocess.DEVNULL))
        for _ in range(600):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    return port
            time.sleep(0.1)
        raise SystemExit("ImageMagick's server does not come up")

    def ours(self, *words, spin=True, log=None):
        """A server of ours; returns its port."""
        with open(log or os.devnull, "w") as errors:
            process = subprocess.Popen(
                [self.options.smalti, *words, "-define", f"cache:magick={self.options.handshake}", "-define",
                 f"cache:spin={str(spin).lower()}", "-distribute-cache", "127.0.0.1:0"],
                env=self.environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.processes.append(process)
        select.select([process.stdout], [], [], 60)
        return int(re.search(r":(\d+) ", process.stdout.readline())[1])

    def native(self, *words):
        """A server of ours behind a gateway."""
        process = subprocess.Popen([self.options.smalti, *words, "-distribute-cache", "127.0.0.1:0"], env=self.environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.processes.append(process)
        return int(re.search(r":(\d+) ", process.stdout.readline())[1])

    def client(self, port, source, words, shim=False, out="out.ppm", limits=NOTHING_HERE):
        hosts = ["-define", f"registry:cache:hosts=127.0.0.1:{port}"] if port else []
        preload = {"LD_PRELOAD": str(self.shim)} if shim else {}
        command = [self.options.convert, *(limits if port else []), *hosts, source, *words, self.path(out)]
        return command, {**self.environment, **preload}

    def make(self, name, *words):
        subprocess.run([self.options.convert, *words, self.path(name)], env=self.environment, check=True)
        return self.path(name)


def lines_of(results, reference):
    """Median (low to high) of wall time, and how often the reference's time goes into it."""
    base = statistics.median(s.wall for s in results[reference])
    rows = [f"| | wall s | times as fast as {reference} |", "|---|---|---|"]
    for name, samples in results.items():
        rows.append(f"| {name} | {spread([s.wall for s in samples])} | "
                    f"{base / statistics.median(s.wall for s in samples):.1f} |")
    return "\n".join(rows)


def small(bench):
    source = bench.make("small.png", "-seed", "1", "-size", "400x300", "plasma:fractal", "-depth", "8")
    theirs, sleeping, spinning = bench.theirs(), bench.ours(spin=False), bench.ours()
    for name, words in OPERATORS.items():
        results = contest({"ours, sleeping": bench.client(sleeping, source, words),
                           "ours, spinning": bench.client(spinning, source, words),
                           "theirs, client with TCP_NODELAY": bench.client(theirs, source, words, shim=True),
                           "the client's own memory": bench.client(None, source, words)}, bench.options.rounds)
        command, environment = bench.client(theirs, source, words)
        results = {"theirs": [measure(command, environment)], **results}
        print(f"\n### 400x300, `{' '.join(words)}`\n\n{lines_of(results, 'theirs')}", flush=True)
    bench.end()


def large(bench):
    source = bench.make("large.ppm", "-seed", "1", "-size", "4096x4096", "plasma:fractal", "-depth", "8")
    theirs, sleeping, spinning = bench.theirs(), bench.ours(spin=False), bench.ours()
    for name, words in OPERATORS.items():
        rounds = bench.options.rounds if name == "negate" else 1
        results = contest({"theirs, client with TCP_NODELAY": bench.client(theirs, source, words, shim=True),
                           "ours, sleeping": bench.client(sleeping, source, words),
                           "ours, spinning": bench.client(spinning, source, words)}, rounds, warm_up=name == "negate")
        if bench.options.patient:
            command, environment = bench.client(theirs, source, words)
            results["theirs"] = [measure(command, environment)]
        print(f"\n### 4096x4096, `{' '.join(words)}`\n\n{lines_of(results, 'theirs, client with TCP_NODELAY')}", flush=True)
    bench.end()


class Requests:
    """Counts what clients asked of a server, by what it logs when their connections end."""

    def __init__(self, log):
        self.log, self.seen = log, 0

    def since(self):
        with open(self.log) as lines:
            lines.seek(self.seen)
            deadline, found = time.monotonic() + 2, ""
            while time.monotonic() < deadline:  # the last connection may end a little after its client
                found += lines.read()
                time.sleep(0.1)
            self.seen = lines.tell()
        return sum(int(count) for count in re.findall(r"has ended: (\d+) requests", found))


def bounded(run, patience):
    """A sample, or None where it was not over in time."""
    start = time.monotonic()
    try:
        return measure(*run, timeout=patience)
    except SystemExit:
        if time.monotonic() - start < patience:
            raise
        return None


def photo(bench):
    patience = bench.options.patience
    source = bench.make("photo.png", photograph(), "-resize", "4243x2828!", "-depth", "8")
    tenth = bench.make("tenth.png", source, "-resize", "424x283!", "-depth", "8")  # a hundredth of the pixels
    log = bench.path("photo.log")
    port = bench.ours("-debug", "cache", log=log)
    requests = Requests(log)
    disk = ["-limit", "memory", "1KiB", "-limit", "map", "1KiB"]
    print("\n### a photograph of 12 megapixels\n\n| | its own memory | its own disk | ours | ratio to disk | requests | "
          "a request | the client waits |\n|---|---|---|---|---|---|---|---|", flush=True)
    for words in (["-negate"], ["-sharpen", "0x1"], ["-resize", "50%"], ["-rotate", "30"]):
        measure(*bench.client(port, tenth, words))
        about = 100 * requests.since()
        memory = bounded(bench.client(None, source, words), patience)
        local = bounded(([bench.options.convert, *disk, source, *words, bench.path("local.ppm")], bench.environment), patience)
        there = bounded(bench.client(port, source, words), patience)
        count = requests.since()
        seconds = lambda sample: f"{sample.wall:.2f} s" if sample else f"more than {patience} s"
        ratio = f"{there.wall / local.wall:.1f}" if there and local else "-"
        asked = f"{count:,}" if there else f"{count:,} of some {about:,}"
        each = f"{(there.wall if there else patience) / max(count, 1) * 1e6:.1f} µs"
        waits = f"{1 - there.cpu / there.wall:.0%}" if there else "-"
        print(f"| `{' '.join(words)}` | {seconds(memory)} | {seconds(local)} | {seconds(there)} | {ratio} | {asked} | {each} | "
              f"{waits} |", flush=True)
    bench.end()


def crowd(bench):
    """One client, then eight at once, in turns; every client does the same work."""
    source = bench.make("small.png", "-seed", "1", "-size", "400x300", "plasma:fractal", "-depth", "8")
    port = bench.ours()

    def at_once(count):
        times = [0.0] * count

        def one(i):
            times[i] = measure(*bench.client(port, source, OPERATORS["sharpen"], out=f"out{i}.ppm")).wall

        threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
        start = time.monotonic()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return time.monotonic() - start, [1 / t for t in times]

    at_once(1)
    alone, together, throughput, slowest = [], [], [], []
    for _ in range(bench.options.rounds):
        alone.append(at_once(1)[0])
        wall, speeds = at_once(8)
        together.append(wall)
        throughput.append(8 * alone[-1] / wall)
        slowest.append(min(speeds) / statistics.mean(speeds))
    print(f"\n### eight clients at once, 400x300 `-sharpen 5x2`\n\none client {spread(alone)} s, eight together "
          f"{spread(together)} s: {spread(throughput)} times one client's throughput; the slowest runs at {spread(slowest)} "
          "of the mean speed", flush=True)
    bench.end()


def gateway(bench):
    source = bench.make("large.ppm", "-seed", "1", "-size", "4096x4096", "plasma:fractal", "-depth", "8")
    contestants = {"one server": bench.client(bench.ours(), source, OPERATORS["negate"])}
    little = ["-limit", "memory", "16MiB", "-limit", "map", "0", "-limit", "disk", "0"]
    for name, terms in {"gateway, encrypted": [], "gateway, in clear": ["-define", "cache:encryption=none"]}.items():
        behind = ",".join(f"127.0.0.1:{bench.native(*terms)}" for _ in range(2))
        through = bench.ours(*little, *terms, "-define", f"registry:cache:hosts={behind}")
        contestants[name] = bench.client(through, source, OPERATORS["negate"])
    results = contest(contestants, bench.options.rounds)
    base = [sample.wall for sample in results["one server"]]
    print("\n### a gateway with 16 MiB before two servers, 4096x4096 `-negate`\n\n| | wall s | times as long as one server |\n"
          "|---|---|---|")
    for name, samples in results.items():
        walls = [sample.wall for sample in samples]
        print(f"| {name} | {spread(walls)} | {spread([w / b for w, b in zip(walls, base)])} |", flush=True)
    bench.end()


PARTS = {"small": small, "large": large, "photo": photo, "crowd": crowd, "gateway": gateway}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--smalti", default="build/release/smalti", type=lambda p: str(pathlib.Path(p).resolve()))
    options.add_argument("--rounds", default=5, type=int)
    options.add_argument("--convert", default="/usr/bin/convert")
    options.add_argument("--handshake", default="n8")
    options.add_argument("--only", default=",".join(PARTS))
    options.add_argument("--patience", default=90, type=int)
    options.add_argument("--patient", action="store_true")
    chosen = options.parse_args()
    print(f"## Unmodified ImageMagick clients\n\n{machine()}; {chosen.convert}, handshake {chosen.handshake}; "
          f"load before: {os.getloadavg()[0]:.1f}. Median (least to most) of {chosen.rounds} rounds; `theirs` once.",
          flush=True)
    with Bench(chosen) as bench:
        for part in chosen.only.split(","):
            PARTS[part](bench)


if __name__ == "__main__":
    sys.exit(main())

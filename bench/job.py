#!/usr/bin/env python3
"""Operators over two loopback servers against their goal: the in-memory time and the bytes moved over the wire's rate.

cmake --preset bench && cmake --build --preset bench
usage: bench/job.py [--smalti PATH] [--rounds N] [--only WORD] [--large]
Default: 48 megapixels, about 6 minutes. --large: a gigapixel instead, time per pixel from 10 megapixels to a gigapixel with
servers whose tiles go to disk, and 10 gigapixels of canvas to null: (about an hour, 12 GB of disk).

The wire's rate is measured first, by a client that only puts and gets tiles. `separate hosts` is what
would be left if the servers had cores of their own: the wall time less the servers' share of the cores (their CPU / cores).
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import time

from contest import Workbench, machine, measure, spread
from main_job import replicated

OPERATORS = {
    "negate": (["-negate"], 1.0), "sharpen": (["-sharpen", "5x2"], 1.0), "blur": (["-blur", "0x8"], 1.0),
    "resize": (["-resize", "50%"], 1.0), "rotate 37": (["-rotate", "37"], 1.2), "flip": (["-flip"], 1.2),
    "chain": (["-blur", "0x2", "-sharpen", "5x2", "-resize", "50%"], 1.0),
}
CORES = os.cpu_count()
FAR = ["-limit", "map", "0", "-limit", "disk", "0"]


def verbose(command, environment):
    """Counts of one more run: tiles and bytes got from the store, how many in vain, and the share of time waited."""
    text = subprocess.run([command[0], "-verbose", *command[1:]], env=environment, capture_output=True, text=True, check=True).stderr
    found = re.search(r"waited ([\d.]+) s \(([\d.]+)% of.*?; (\d+) tiles \(([^)]*)\) moved here, (\d+) of them ahead \((\d+) in vain", text)
    return found.groups() if found else ("0", "0", "0", "0B", "0", "0")


def wire_rate(bench, hosts):
    """Bytes a second over loopback and two servers, TLS on, by a client that does nothing else: puts, gets, and both in turn
    (as the job does both, about as many bytes of each)."""
    client = bench.smalti.parent / "smalti_wire_client"
    rates = []
    for work in ("put", "get"):
        runs = [subprocess.run([client, "--hosts", hosts.split("=")[1], "--work", work, "--kib", "256", "--callers", "1", "--batch",
                                "16", "--seconds", "1"], capture_output=True, text=True, check=True) for _ in range(3)]
        rates.append(statistics.median(json.loads(run.stdout)["rate"] for run in runs) * 2**30)
    return 2 / (1 / rates[0] + 1 / rates[1])


def rounds_of(bench, rows, rounds):
    samples = {name: [] for name in rows}
    for command, environment in rows.values() if rounds > 1 else ():
        measure(command, environment)  # to warm up
    for _ in range(rounds):
        for name, (command, environment) in rows.items():
            before = bench.server_cpu()
            sample = measure(command, environment)
            samples[name].append((sample, bench.server_cpu() - before))
    return samples


def operators(bench, source, memory, rounds, only, title):
    hosts = bench.start_servers(2)
    rate = wire_rate(bench, hosts)
    print(f"\n## {title}\n\nRate over loopback and two servers, puts and gets, TLS on: {rate / 2**20:.0f} MiB/s.\n")
    print("| | in memory s | 2 servers s | CPU s: client | servers | wire MiB | goal s | over goal | separate hosts s | tiles got | "
          "in vain | waited |\n|" + "---|" * 12)
    target = bench.path("out.ppm")
    for name, (words, factor) in OPERATORS.items():
        if only and only not in name:
            continue
        far = [str(bench.smalti), "-limit", "memory", memory, *FAR, "-define", hosts, source, *words, target]
        samples = rounds_of(bench, {"near": ([str(bench.smalti), source, *words, target], bench.environment()),
                                    "far": (far, bench.environment())}, rounds)
        middle = lambda of, field: statistics.median(getattr(s, field) for s, _ in samples[of])
        near, away = middle("near", "wall"), middle("far", "wall")
        servers = statistics.median(cpu for _, cpu in samples["far"])
        wire = middle("far", "wire")
        goal = near + factor * wire / rate
        waited, share, tiles, _, _, vain = verbose(far, bench.environment())
        print(f"| `{' '.join(words)}` | {spread([s.wall for s, _ in samples['near']])} | "
              f"{spread([s.wall for s, _ in samples['far']])} | {middle('far', 'cpu'):.2f} | {servers:.2f} | {wire / 2**20:.0f} | "
              f"{goal:.2f} | {away / goal:.2f} | {max(away - servers / CORES, 0):.2f} | {tiles} | {vain} | {share}% |", flush=True)
    bench.end_servers()


def scale(bench):
    """Time per pixel over servers whose tiles go to disk, and the client's memory."""
    print("\n## Time per pixel, `-sharpen 5x2`, two servers with 64 MiB of memory whose tiles go to disk; client: 256 MiB, no tile rests in it\n")
    print("| megapixels | wall s | ns a pixel | client anonymous MiB | wire MiB |\n|---|---|---|---|---|")
    hosts = bench.start_servers(2, "-limit", "memory", "64MiB", "-limit", "map", "0")
    for across, down, crop in ((2, 2, (4000, 2500)), (3, 3, (8000, 6000)), (5, 7, (18000, 16000)), (10, 12, (36000, 28000))):
        source = replicated(bench, "scale.jpg", across, down, crop)
        command = [str(bench.smalti), "-limit", "memory", "256MiB", "-limit", "area", "1MP", "-define",
                   "cache:placement=sharded", *FAR, "-define", hosts,
                   source, "-sharpen", "5x2", bench.path("out.ppm")]
        sample = min((measure(command, bench.environment()) for _ in range(2)), key=lambda s: s.wall)
        pixels = crop[0] * crop[1]
        print(f"| {pixels / 1e6:.0f} | {sample.wall:.2f} | {sample.wall / pixels * 1e9:.1f} | {sample.anonymous / 2**20:.0f} | "
              f"{sample.wire / 2**20:.0f} |", flush=True)
        pathlib.Path(bench.path("out.ppm")).unlink()
        pathlib.Path(source).unlink()
    bench.end_servers()


def sparse(bench, large):
    print("\n## Canvases, which no cache holds\n\n| | wall s | CPU s | peak RSS MiB |\n|---|---|---|---|")
    for title, words in {
        "a crop of a terapixel": ["-size", "1000000x1000000", "canvas:white", "-crop", "100x100+500000+500000",
                                  bench.path("crop.png")],
        **({"10 gigapixels, `-negate`, to null:": ["-size", "100000x100000", "canvas:red", "-negate", "null:"]} if large else {}),
    }.items():
        sample = measure([str(bench.smalti), *words], bench.environment())
        print(f"| {title} | {sample.wall:.2f} | {sample.cpu:.2f} | {sample.rss / 2**20:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--smalti", default="build/bench/smalti")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    start = time.monotonic()
    with Workbench(options.smalti) as bench:
        print(f"Machine: {machine()}; {options.rounds} rounds in turn; median (minimum–maximum).")
        if options.large:
            source = replicated(bench, "giga.jpg", 10, 12, (36000, 28000))
            operators(bench, source, "256MiB", 1, options.only, "A gigapixel (36000x28000) from JPEG to PPM, client memory 256 MiB")
            pathlib.Path(source).unlink()
            scale(bench)
        else:
            source = replicated(bench, "photo.jpg", 3, 3, (8000, 6000))
            operators(bench, source, "64MiB", options.rounds, options.only,
                      "48 megapixels (8000x6000) from JPEG to PPM, client memory 64 MiB")
        sparse(bench, options.large)
        print(f"\n{time.monotonic() - start:.0f} s in all.")


if __name__ == "__main__":
    main()

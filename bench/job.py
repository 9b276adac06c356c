#!/usr/bin/env python3
"""Operators over two loopback servers against their goal: the in-memory time and the bytes moved over the wire's rate.

cmake --preset bench && cmake --build --preset bench
usage: bench/job.py [--smalti PATH] [--rounds N] [--only WORD] [--part operators|scale|streaming|canvas] [--large]
Default: 48 megapixels, some 4 minutes. --large: a gigapixel in place of them, time per pixel from 10 megapixels to a gigapixel
with servers whose tiles go to disk, and 10 gigapixels of canvas to null: (half an hour, 12 GB of disk).

The wire's rate is measured first, by a client that only puts and gets tiles. Tiles go over TCP, with TLS, as they would between
hosts. `separate hosts` is what would be left if the servers had cores of their own: the wall time less the servers' share of the
cores (their CPU / cores). `waited`: readers' time; then the part of it while some core was idle, which is the most that the wire
can be blamed for: the rest was for a core, which client and servers share here.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import time

from contest import Workbench, contest, machine, measure, spread
from main_job import replicated

OPERATORS = {
    "negate": (["-negate"], 1.0), "sharpen": (["-sharpen", "5x2"], 1.0), "blur": (["-blur", "0x8"], 1.0),
    "resize": (["-resize", "50%"], 1.0), "rotate 37": (["-rotate", "37"], 1.2), "flip": (["-flip"], 1.2),
    "chain": (["-blur", "0x2", "-sharpen", "5x2", "-resize", "50%"], 1.0),
}
CORES = os.cpu_count()
FAR = ["-limit", "map", "0", "-limit", "disk", "0"]
PATIENCE = 900  # seconds for one command


def over_tcp(bench):
    """Words that keep tiles off memory shared with servers of the same host, where that is known."""
    text = subprocess.run([bench.smalti, "-help"], capture_output=True, text=True).stdout
    return ["-define", "cache:shared-memory=none"] if "shared-memory" in text else []


def counts(text):
    """Of -verbose, by its last pass: tiles got, how many of them in vain, and the share of the readers' time that they waited."""
    found = re.findall(r"waited [\d.]+ s \(([\d.]+)% of[^;)]*(?:; ([\d.]+)% with a core idle)?\); (\d+) tiles \([^)]*\) moved here, "
                       r"\d+ of them ahead \((\d+) in vain", text)
    share, idle, tiles, vain = found[-1] if found else ("", "", "0", "0")
    return tiles, vain, f"{share}%, {idle or '?'}%"


def moved(text):
    """Bytes between client and servers, both ways, by the client's own count: loopback carries what others do, too."""
    return sum(int(n) for n in re.findall(r"^  \S+\.(?:sent|received)\.bytes (\d+)$", text, re.MULTILINE))


def wire_rate(bench, hosts):
    """Bytes a second over loopback and two servers, TLS on, by a client that does nothing else: puts, gets, and both in turn
    (as the job does both, about as many bytes of each)."""
    client = bench.smalti.parent / "smalti_wire_client"
    rates = []
    for work in ("put", "get"):
        runs = [subprocess.run([client, "--hosts", hosts.split("=")[1], "--work", work, "--kib", "256", "--callers", "1", "--batch",
                                "16", "--seconds", "1"], capture_output=True, text=True, check=True, timeout=PATIENCE)
                for _ in range(5)]
        rates.append(statistics.median(json.loads(run.stdout)["rate"] for run in runs) * 2**30)
    return 2 / (1 / rates[0] + 1 / rates[1])


def rounds_of(bench, rows, rounds):
    samples = {name: [] for name in rows}
    for command, environment in rows.values() if rounds > 1 else ():
        measure(command, environment, PATIENCE)  # to warm up
    for _ in range(rounds):
        for name, (command, environment) in rows.items():
            before = bench.server_cpu()
            sample = measure(command, environment, PATIENCE)
            samples[name].append((sample, bench.server_cpu() - before))
    return samples


def operators(bench, source, memory, rounds, only, title):
    hosts = bench.start_servers(2)
    rate = wire_rate(bench, hosts)
    print(f"\n## {title}\n\nRate over loopback and two servers, puts and gets, TLS on: {rate / 2**20:.0f} MiB/s.\n")
    print("| | in memory s | its CPU s | 2 servers s | CPU s: client | servers | wire MiB | goal s | over goal | separate hosts s | "
          "tiles got | in vain | waited |\n|" + "---|" * 13)
    target = bench.path("out.ppm")
    for name, (words, factor) in OPERATORS.items():
        if only and only not in name:
            continue
        far = [str(bench.smalti), "-verbose", "-limit", "memory", memory, *FAR, "-define", hosts, *over_tcp(bench), source, *words,
               target]
        samples = rounds_of(bench, {"near": ([str(bench.smalti), source, *words, target], bench.environment()),
                                    "far": (far, bench.environment())}, rounds)
        middle = lambda of, field: statistics.median(getattr(s, field) for s, _ in samples[of])
        near, away = middle("near", "wall"), middle("far", "wall")
        servers = statistics.median(cpu for _, cpu in samples["far"])
        wire = statistics.median(moved(s.said) for s, _ in samples["far"])
        goal = factor * (near + wire / rate)
        tiles, vain, waited = counts(samples["far"][-1][0].said)
        print(f"| `{' '.join(words)}` | {spread([s.wall for s, _ in samples['near']])} | {middle('near', 'cpu'):.2f} | "
              f"{spread([s.wall for s, _ in samples['far']])} | {middle('far', 'cpu'):.2f} | {servers:.2f} | {wire / 2**20:.0f} | "
              f"{goal:.2f} | {away / goal:.2f} | {max(away - servers / CORES, 0):.2f} | {tiles} | {vain} | {waited} |", flush=True)
    bench.end_servers()


# Pieces of the photograph across and down, and what is cut from them. One width: the working set is rows of tiles, so that all have
# the same; then as pictures are.
TALL = ((5, 1, (16000, 70)), (5, 1, (16000, 625)), (5, 2, (16000, 3000)), (5, 8, (16000, 18000)), (5, 27, (16000, 63000)))
SQUARE = ((1, 1, (1100, 1000)), (2, 2, (4000, 2500)), (3, 3, (8000, 6000)), (5, 8, (18000, 16000)), (10, 12, (36000, 28000)))


def scale(bench, shapes, rounds, title):
    """Time per pixel over servers whose tiles go to disk, and the client's memory. The sizes take turns; of each the best counts."""
    print(f"\n## Time per pixel, `-sharpen 5x2` to `null:`, {title}\n\nTwo servers with 64 MiB of memory, whose tiles go to disk; client: "
          "256 MiB, no tile rests in it.\n")
    hosts = bench.start_servers(2, "-limit", "memory", "64MiB", "-limit", "map", "0")
    commands = {}
    for across, down, crop in shapes:
        source = replicated(bench, f"scale-{crop[0]}-{crop[1]}.jpg", across, down, crop)
        commands[crop] = [
            str(bench.smalti), "-verbose", "-limit", "memory", "256MiB", "-limit", "area", "1MP", "-define",
            "cache:placement=sharded", *FAR, "-define", hosts, *over_tcp(bench), source, "-sharpen", "5x2", "null:"]
    best = {}
    for crop, command in list(commands.items()) * rounds:
        sample = measure(command, bench.environment(), PATIENCE)
        if crop not in best or sample.wall < best[crop].wall:
            best[crop] = sample
    print("| picture | megapixels | wall s | ns a pixel | beyond the first row | beside the largest | client CPU s | client anonymous MiB | "
          "wire MiB |\n|" + "---|" * 9)
    # What a job takes that has next to no pixels: start-up, keys, connections.
    area = lambda crop: crop[0] * crop[1]
    least, most = min(best, key=area), max(best, key=area)
    beyond = lambda crop: (best[crop].wall - best[least].wall) / (area(crop) - area(least)) if crop != least else 0
    for crop, sample in best.items():
        print(f"| {crop[0]}x{crop[1]} | {area(crop) / 1e6:.0f} | {sample.wall:.2f} | {sample.wall / area(crop) * 1e9:.1f} | "
              f"{beyond(crop) * 1e9:.1f} | {beyond(crop) / beyond(most):.2f} | {sample.cpu:.2f} | "
              f"{sample.anonymous / 2**20:.0f} | {moved(sample.said) / 2**20:.0f} |", flush=True)
    bench.end_servers()


def streaming(bench, rounds):
    """-define cache:stream=auto beside libvips with the same arithmetic: at most 1.1 times its time and memory."""
    source, target = replicated(bench, "stream.jpg", 3, 3, (8000, 6000)), bench.path("out.ppm")
    print("\n## Streaming, 48 megapixels from JPEG to PPM, beside libvips\n\n| | ours s | libvips s | times its time | ours anonymous "
          "MiB | libvips | times its memory |\n|" + "---|" * 7)
    for words, peer in ((["-negate"], ["vips", "invert", source, target]),
                        (["-sharpen", "5x2"], [str(bench.smalti.parent / "vips_stream"), "sharpen", source, target])):
        rows = {"ours": ([str(bench.smalti), "-define", "cache:stream=auto", source, *words, target], bench.environment()),
                "libvips": (peer, None)}
        results = contest(rows, rounds)
        ratio = lambda field: spread([getattr(a, field) / getattr(b, field) for a, b in zip(results["ours"], results["libvips"])])
        mib = lambda name: f"{statistics.median(s.anonymous for s in results[name]) / 2**20:.0f}"
        print(f"| `{' '.join(words)}` | {spread([s.wall for s in results['ours']])} | {spread([s.wall for s in results['libvips']])} | "
              f"{ratio('wall')} | {mib('ours')} | {mib('libvips')} | {ratio('anonymous')} |", flush=True)


def canvas(bench, large):
    print("\n## Canvases, which no cache holds\n\n| | wall s | CPU s | peak RSS MiB |\n|---|---|---|---|")
    for title, words in {
        "a crop of a terapixel": ["-size", "1000000x1000000", "canvas:white", "-crop", "100x100+500000+500000",
                                  bench.path("crop.png")],
        **({"10 gigapixels, `-negate`, to null:": ["-size", "100000x100000", "canvas:red", "-negate", "null:"]} if large else {}),
    }.items():
        sample = measure([str(bench.smalti), *words], bench.environment(), PATIENCE)
        print(f"| {title} | {sample.wall:.2f} | {sample.cpu:.2f} | {sample.rss / 2**20:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--smalti", default="build/bench/smalti")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--part", default="", choices=["", "operators", "scale", "streaming", "canvas"])
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    start = time.monotonic()
    wants = lambda part: options.part in ("", part)
    with Workbench(options.smalti) as bench:
        print(f"Machine: {machine()}; {options.rounds} rounds in turn; median (minimum–maximum).")
        if wants("operators") and options.large:
            source = replicated(bench, "giga.jpg", 10, 12, (36000, 28000))
            operators(bench, source, "256MiB", 1, options.only,
                      "A gigapixel (36000x28000) from JPEG to PPM, client memory 256 MiB; one round")
            pathlib.Path(source).unlink()
            pathlib.Path(bench.path("out.ppm")).unlink(missing_ok=True)
        elif wants("operators"):
            source = replicated(bench, "photo.jpg", 3, 3, (8000, 6000))
            operators(bench, source, "64MiB", options.rounds, options.only,
                      "48 megapixels (8000x6000) from JPEG to PPM, client memory 64 MiB")
        if options.part == "scale" or (options.large and wants("scale")):
            scale(bench, TALL, 2, "pictures of one width")
            scale(bench, SQUARE, 2, "pictures of all widths")
        if wants("streaming"):
            streaming(bench, max(5, options.rounds))
        if wants("canvas"):
            canvas(bench, options.large)
        print(f"\n{time.monotonic() - start:.0f} s in all.")


if __name__ == "__main__":
    main()

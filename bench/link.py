#!/usr/bin/env python3
"""Tiles over a link shaped to 1 Gbit/s each way, TLS on: what share of the line they fill, and what compression saves.

cmake --preset bench && cmake --build --preset bench
usage: sudo bench/link.py [--folder build/bench] [--rounds N] [--seconds S] > section-of-doc/bench.md
Needs root, for two network namespaces of its own, and ukui-wallpapers. Three rounds take about six minutes.
The link is what limits: on a machine that does other things, too, run it under `chrt -f 5`.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

from contest import Workbench, machine, spread

LINE = 1e9 / 8  # bytes a second
GIB = 2**30
GOALS = {"8-bit photograph": 0.67, "noisy 16-bit scene": 0.8}  # of the time that uncompressed tiles take
CODERS = ("none", "auto", "lz4", "zstd")


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


class Wire:
    """Two namespaces with a shaped link between them."""

    def __init__(self):
        self.here, self.there = (f"smalti-{os.getpid()}-{side}" for side in "ab")

    def __enter__(self):
        for name in (self.here, self.there):
            run("ip", "netns", "add", name)
        run("ip", "-n", self.here, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", self.there)
        for name, address in ((self.here, "10.77.0.1/24"), (self.there, "10.77.0.2/24")):
            run("ip", "-n", name, "address", "add", address, "dev", "wire")
            run("ip", "-n", name, "link", "set", "wire", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("tc", "-n", name, "qdisc", "add", "dev", "wire", "root", "tbf", "rate", "1gbit", "burst", "256kb", "latency",
                "20ms")
        return self

    def __exit__(self, *_):
        for name in (self.here, self.there):
            subprocess.run(("ip", "netns", "delete", name), check=False)


def start_server(bench, wire):
    command = ["ip", "netns", "exec", wire.there, str(bench.smalti), "-distribute-cache", "10.77.0.2:6668"]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE,
                               env=bench.environment(XDG_STATE_HOME=bench.path("state")))
    process.stdout.readline()
    bench.servers.append((process, "10.77.0.2:6668"))


def photograph(bench):
    source = max(pathlib.Path("/usr/share/backgrounds").rglob("*.jpg"), key=lambda p: p.stat().st_size)
    target = bench.path("photo.ppm")
    run("vips", "copy", source, target)
    return target


def goals(results):
    """What is aimed at; the second column is reached where it is no worse than the last."""
    lines = ["| | put | get | goal |", "|---|---|---|---|"]
    middle = {key: statistics.median(rates) for key, rates in results.items()}
    share = [min(r for p, w, c, r in ((*k, r) for k, r in middle.items()) if (w, c) == (work, "none")) * GIB / LINE
             for work in ("put", "get")]
    lines.append(f"| share of the line that pixels fill, not compressed | {share[0]:.3f} | {share[1]:.3f} | 0.93 |")
    for picture, goal in GOALS.items():
        if (picture, "get", "auto") not in middle:
            continue
        times = [middle[picture, work, "none"] / middle[picture, work, "auto"] for work in ("put", "get")]
        lines.append(f"| {picture}: time with `auto` / without | {times[0]:.2f} | {times[1]:.2f} | {goal} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("build/bench"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--coders", nargs="+", default=CODERS, help="none alone measures the share of the line only")
    options = parser.parse_args()
    results = {}
    with Workbench(options.folder / "smalti") as bench, Wire() as wire:
        start_server(bench, wire)
        pictures = {"8-bit photograph": photograph(bench), "noisy 16-bit scene": "noisy16"}
        for _ in range(options.rounds):
            for picture, pixels in pictures.items():
                for work in ("put", "get"):
                    for coder in options.coders:
                        # A share of the line is told to a hundredth: batches of 6 MiB, and the line's start, must not count.
                        seconds = options.seconds * (6 if coder == "none" else 1)
                        command = ["ip", "netns", "exec", wire.here, options.folder / "smalti_wire_client", "--hosts",
                                   "10.77.0.2:6668", "--work", work, "--pixels", pixels, "--compress", coder, "--callers",
                                   "4", "--batch", "8", "--seconds", str(seconds), "--warm", "0.7"]
                        told = subprocess.run(command, capture_output=True, text=True, timeout=120)
                        if told.returncode:
                            raise SystemExit(told.stderr)
                        results.setdefault((picture, work, coder), []).append(json.loads(told.stdout)["rate"])
    print(f"Machine: {machine()}; {options.rounds} rounds in turn; median (minimum–maximum). veth between two network "
          "namespaces, `tbf` at 1 Gbit/s each way, TLS on, four callers with eight tiles each.\n")
    print(goals(results))
    print("\n| | pixels, MB/s | share of the line | time against none |\n|---|---|---|---|")
    for (picture, work, coder), rates in results.items():
        none = statistics.median(results[picture, work, "none"])
        middle = statistics.median(rates)
        print(f"| {picture}, {work}, {coder} | {spread([r * GIB / 1e6 for r in rates], '{:.0f}')} | "
              f"{middle * GIB / LINE:.2f} | {none / middle:.2f} |")


if __name__ == "__main__":
    main()

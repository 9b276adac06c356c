#!/usr/bin/env python3
"""Tiles over a link shaped to 1 Gbit/s each way, TLS on: what share of the line they fill, and what compression saves.

cmake --preset bench && cmake --build --preset bench
usage: sudo bench/link.py [--folder build/bench] [--rounds N] [--seconds S] > section-of-doc/bench.md
Needs root, for two network namespaces of its own, and ukui-wallpapers. Three rounds take about four minutes.
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("build/bench"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    results = {}
    with Workbench(options.folder / "smalti") as bench, Wire() as wire:
        start_server(bench, wire)
        pictures = {"8-bit photograph": photograph(bench), "noisy 16-bit scene": "noisy16"}
        for _ in range(options.rounds):
            for picture, pixels in pictures.items():
                for work in ("put", "get"):
                    for coder in CODERS:
                        command = ["ip", "netns", "exec", wire.here, options.folder / "smalti_wire_client", "--hosts",
                                   "10.77.0.2:6668", "--work", work, "--pixels", pixels, "--compress", coder, "--callers",
                                   "4", "--batch", "8", "--seconds", str(options.seconds), "--warm", "0.7"]
                        told = subprocess.run(command, capture_output=True, text=True, timeout=120)
                        if told.returncode:
                            raise SystemExit(told.stderr)
                        results.setdefault((picture, work, coder), []).append(json.loads(told.stdout)["rate"])
    print(f"Machine: {machine()}; {options.rounds} rounds in turn; median (minimum–maximum). veth between two network "
          "namespaces, `tbf` at 1 Gbit/s each way, TLS on, four callers with eight tiles each.\n")
    print("| | pixels, MB/s | share of the line | time against none |\n|---|---|---|---|")
    for (picture, work, coder), rates in results.items():
        none = statistics.median(results[picture, work, "none"])
        middle = statistics.median(rates)
        print(f"| {picture}, {work}, {coder} | {spread([r * GIB / 1e6 for r in rates], '{:.0f}')} | "
              f"{middle * GIB / LINE:.2f} | {none / middle:.2f} |")


if __name__ == "__main__":
    main()

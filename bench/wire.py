#!/usr/bin/env python3
"""Tiles over loopback beside what others move: redis-benchmark and iperf3, at the same value size, in turn.

cmake --preset bench && cmake --build --preset bench --target smalti_remote_bench
usage: bench/wire.py [--bench PATH] [--rounds N]      needs redis-server, redis-tools and iperf3
"""
import argparse
import json
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

from contest import machine

SIZES = (192, 384)  # KiB
GIB = 2**30


def ours(bench):
    """GiB/s by name, from Google Benchmark's own count of bytes and real time."""
    run = subprocess.run([bench, "--benchmark_format=json", "--benchmark_min_time=0.5"], capture_output=True, text=True,
                         check=True)
    return {b["name"]: b["bytes_per_second"] / GIB for b in json.loads(run.stdout)["benchmarks"]
            if "bytes_per_second" in b}


def redis(port):
    """GiB/s of SET and GET, one and eight outstanding."""
    found = {}
    for size in SIZES:
        for clients in (1, 8):
            run = subprocess.run(["redis-benchmark", "-p", str(port), "-d", str(size * 1024), "-c", str(clients), "-n",
                                  "4000", "-t", "set,get", "--csv"], capture_output=True, text=True, check=True)
            for kind, rate in re.findall(r'"(SET|GET)","([\d.]+)"', run.stdout):
                found[f"redis {kind} {size} KiB, {clients} outstanding"] = float(rate) * size * 1024 / GIB
    return found


def iperf(port):
    server = subprocess.Popen(["iperf3", "-s", "-1", "-p", str(port)], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    run = subprocess.run(["iperf3", "-c", "127.0.0.1", "-p", str(port), "-t", "3", "-J"], capture_output=True, text=True,
                         check=True)
    server.wait(30)
    return {"iperf3, one stream": json.loads(run.stdout)["end"]["sum_received"]["bits_per_second"] / 8 / GIB}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", default="build/bench/smalti_remote_bench")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="smalti-bench-")
    store = subprocess.Popen(["redis-server", "--port", "17379", "--save", "", "--bind", "127.0.0.1", "--dir", folder],
                             stdout=subprocess.DEVNULL)
    rates = {}
    try:
        time.sleep(1)
        for _ in range(options.rounds):
            for name, rate in {**ours(options.bench), **redis(17379), **iperf(17380)}.items():
                rates.setdefault(name, []).append(rate)
    finally:
        store.terminate()
        store.wait(30)
        pathlib.Path(folder).rmdir()
    print(f"Machine: {machine()}; {options.rounds} rounds in turn; median (minimum–maximum). `get` and `put` name size in "
          "KiB, encryption and tiles a batch; client and server share the two cores.\n")
    print("| | GiB/s |\n|---|---|")
    for name, values in rates.items():
        print(f"| {name} | {statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f}) |")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Tiles over loopback beside redis-benchmark at the same value size and concurrency, iperf3 and memcpy, in turn.

cmake --preset bench && cmake --build --preset bench
usage: bench/wire.py [--folder build/bench] [--rounds N] [--seconds S] > section-of-doc/bench.md
Needs redis-server, redis-tools and iperf3. Three rounds take about ten minutes; --only-shared leaves out all but the same host.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import time

from contest import Workbench, machine, spread

SIZES = (128, 256, 384, 1024)  # KiB
GIB = 2**30
# How tiles are asked for: name, callers, tiles in each caller's batch.
SHAPES = {"1 outstanding": (1, 1), "8 callers": (8, 1), "a batch of 8": (1, 8)}
PLAIN = ["-define", "cache:encryption=none"]
WAYS = {"TCP": (), "shared memory": ("--share",)}  # to a server on the same host


def cpu_of(pid):
    """Seconds on a core, of all threads."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Ours:
    """Servers, and the client that is run against them."""

    def __init__(self, bench, client, words):
        bench.start_servers(2, *words)
        self.client, self.plain = client, words == PLAIN
        self.servers = bench.servers[-2:]

    def run(self, servers, seconds, *words):
        hosts = ",".join(address for _, address in self.servers[:servers])
        pids = ",".join(str(process.pid) for process, _ in self.servers[:servers])
        command = [self.client, "--hosts", hosts, "--pids", pids, "--seconds", str(seconds), *map(str, words)]
        run = subprocess.run(command + (["--plain"] if self.plain else []), capture_output=True, text=True, timeout=120)
        if run.returncode:
            raise SystemExit(f"{' '.join(map(str, command))}: {run.stderr}")
        return json.loads(run.stdout)


class Redis:
    def __init__(self, folder):
        self.server = subprocess.Popen(["redis-server", "--port", "17379", "--save", "", "--bind", "127.0.0.1", "--dir",
                                        folder], stdout=subprocess.DEVNULL)
        time.sleep(1)

    def end(self):
        self.server.terminate()
        self.server.wait(30)

    def run(self, kind, size, clients, seconds):
        """As many keys as our client has tiles; the count is what a modest rate moves in the time."""
        count = max(64, int(2 * GIB * seconds / (size * 1024)))
        before = cpu_of(self.server.pid)
        process = subprocess.Popen(["redis-benchmark", "-p", "17379", "-d", str(size * 1024), "-c", str(clients), "-n",
                                    str(count), "-r", "256", "-t", kind, "--csv"], stdout=subprocess.PIPE, text=True)
        told = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        rate = float(re.search(r'"(?:SET|GET)","([\d.]+)"', told).group(1))
        moved = count * size * 1024 / GIB
        return {"rate": rate * size * 1024 / GIB, "cpu": (used.ru_utime + used.ru_stime) / moved,
                "server_cpu": (cpu_of(self.server.pid) - before) / moved}


def iperf(seconds):
    """One stream; its CPU is of the client and of the server."""
    server = subprocess.Popen(["iperf3", "-s", "-1", "-p", "17380"], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    run = subprocess.run(["iperf3", "-c", "127.0.0.1", "-p", "17380", "-t", str(max(1, round(seconds * 2))), "-J"],
                         capture_output=True, text=True, check=True)
    server.wait(30)
    end = json.loads(run.stdout)["end"]
    rate = end["sum_received"]["bits_per_second"] / 8 / GIB
    use = end["cpu_utilization_percent"]
    return {"rate": rate, "cpu": use["host_total"] / 100 / rate, "server_cpu": use["remote_total"] / 100 / rate}


def memcpy(folder):
    run = subprocess.run([folder / "smalti_bench", "--benchmark_filter=^copy/384", "--benchmark_format=json"],
                         capture_output=True, text=True, check=True)
    rate = json.loads(run.stdout)["benchmarks"][0]["bytes_per_second"] / GIB
    return {"rate": rate, "cpu": 1 / rate, "server_cpu": 0}


def one_round(ours, redis, folder, seconds):
    """Rows by name; those that are compared stand beside each other in time."""
    rows = {"memcpy, 384 KiB": memcpy(folder), "iperf3, one stream": iperf(seconds)}
    for size in SIZES:
        for kind, work in (("set", "put"), ("get", "get")):
            for clients in (1, 8):
                rows[f"redis {kind.upper()}, {size} KiB, {clients} outstanding"] = redis.run(kind, size, clients, seconds)
            for secret, peer in ours.items():
                for shape, (callers, batch) in SHAPES.items():
                    for servers in (1, 2) if batch == 1 else (1,):
                        name = f"{work}, {size} KiB, {shape}, {servers} server{'s' * (servers - 1)}, {secret}"
                        rows[name] = peer.run(servers, seconds, "--work", work, "--kib", size, "--callers", callers,
                                              "--batch", batch)
    return rows


def shared_rows(ours, seconds):
    """Tiles over TCP and in shared memory in turn; what is read ends in the caller's buffer, that copy included."""
    rows = {}
    for size in SIZES:
        for work in ("get", "put"):
            for secret, peer in ours.items():
                for shape, (callers, batch) in SHAPES.items():
                    for way, words in WAYS.items():
                        name = f"{work}, {size} KiB, {shape}, one host, {secret}, {way}"
                        rows[name] = peer.run(1, seconds, "--work", work, "--kib", size, "--callers", callers, "--batch",
                                              batch, "--into", *words)
    return rows


def medians(samples, field):
    return statistics.median(s[field] for s in samples)


def rates_table(results):
    lines = ["| | GiB/s | CPU s/GiB, client | CPU s/GiB, server |", "|---|---|---|---|"]
    for name, samples in results.items():
        lines.append(f"| {name} | {spread([s['rate'] for s in samples])} | {medians(samples, 'cpu'):.3f} | "
                     f"{medians(samples, 'server_cpu'):.3f} |")
    return "\n".join(lines)


def best(results, work, size, outstanding, secret, field="rate"):
    """Of the shapes that keep so many under way on one server: the better one, by rate."""
    names = [f"{work}, {size} KiB, {shape}, 1 server, {secret}" for shape, (callers, batch) in SHAPES.items()
             if callers * batch == outstanding]
    name = max(names, key=lambda n: medians(results[n], "rate"))
    if field == "rate":
        return medians(results[name], "rate")
    return medians(results[name], "cpu") + medians(results[name], "server_cpu")


def goals_table(results):
    """What is aimed at, as ratios; 1.00 and above is reached."""
    lines = ["| | " + " | ".join(f"{size} KiB" for size in SIZES) + " |", "|---|" + "---|" * len(SIZES)]

    def row(name, of):
        lines.append(f"| {name} | " + " | ".join(f"{of(size):.2f}" for size in SIZES) + " |")

    stream = medians(results["iperf3, one stream"], "rate")
    for work, kind in (("get", "GET"), ("put", "SET")):
        def redis(size, n, field="rate"):
            samples = results[f"redis {kind}, {size} KiB, {n} outstanding"]
            return medians(samples, "rate") if field == "rate" else medians(samples, "cpu") + medians(samples, "server_cpu")
        for n in (1, 8):
            row(f"{work}, {n} outstanding: rate / Redis's {kind}", lambda s: best(results, work, s, n, "plain") / redis(s, n))
            row(f"{work}, {n} outstanding: Redis's CPU a GiB / ours",
                lambda s: redis(s, n, "cpu") / best(results, work, s, n, "plain", "cpu"))
        row(f"{work}, 8 outstanding: rate / iperf3's stream", lambda s: best(results, work, s, 8, "plain") / stream)
        row(f"{work}, 8 outstanding: rate with TLS / half of that without",
            lambda s: 2 * best(results, work, s, 8, "TLS") / best(results, work, s, 8, "plain"))
    return "\n".join(lines)


def shared_table(results):
    """The same of shared memory, to a server on this host."""
    lines = ["| one host, 8 outstanding | " + " | ".join(f"{size} KiB" for size in SIZES) + " |",
             "|---|" + "---|" * len(SIZES)]
    for work, what in (("get", "read into the caller's buffer"), ("put", "written")):
        for secret in ("plain", "TLS"):
            def rate(size, way):
                return max(medians(results[f"{work}, {size} KiB, {shape}, one host, {secret}, {way}"], "rate")
                           for shape, (callers, batch) in SHAPES.items() if callers * batch == 8)
            goals = {"10^9 bytes a second / 5": lambda size: rate(size, "shared memory") * GIB / 5e9,
                     "rate / 1.5 times TCP's": lambda size: rate(size, "shared memory") / (1.5 * rate(size, "TCP"))}
            for goal, of in goals.items():
                cells = " | ".join(f"{of(size):.2f}" for size in SIZES)
                lines.append(f"| {what} in shared memory, {secret}: {goal} | {cells} |")
    return "\n".join(lines)


def latencies(ours, rounds, seconds):
    lines = ["| one tile of 256 KiB | p50 µs | p99 µs | p99.9 µs |", "|---|---|---|---|"]
    for secret, peer in ours.items():
        for clients in (1, 8, 64):
            runs = [peer.run(1, 2 * seconds, "--kib", 256, "--callers", clients, "--clients") for _ in range(rounds)]
            cells = [spread([run[p] for run in runs], "{:.0f}") for p in ("p50", "p99", "p99.9")]
            lines.append(f"| {clients} client{'s' * (clients > 1)}, {secret} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("build/bench"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    parser.add_argument("--only-shared", action="store_true", help="only TCP and shared memory to a server on this host")
    options = parser.parse_args()
    client = options.folder / "smalti_wire_client"
    results = {}
    with Workbench(options.folder / "smalti") as bench:
        redis = None if options.only_shared else Redis(str(bench.folder))
        try:
            ours = {"plain": Ours(bench, client, PLAIN), "TLS": Ours(bench, client, [])}
            for _ in range(options.rounds):
                sampled = one_round(ours, redis, options.folder, options.seconds) if redis else {}
                sampled.update(shared_rows(ours, options.seconds))
                for name, sample in sampled.items():
                    results.setdefault(name, []).append(sample)
            if redis:
                tables = [goals_table(results), shared_table(results), latencies(ours, options.rounds, options.seconds)]
            else:
                tables = [shared_table(results)]
        finally:
            if redis:
                redis.end()
    tables.append(rates_table(results))
    print(f"Machine: {machine()}; {options.rounds} rounds in turn; median (minimum–maximum). Client and servers share "
          "the machine's cores.\n\n" + "\n\n".join(tables))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Start-up: a 2x2 picture through smalti and through the vips tool, in turn. First pixel, last pixel and exit are one.

usage: bench/startup.py [--smalti PATH] [--rounds N]     (20 s)
Asked: at most 30 ms beyond what vips needs, linking and policy included.
"""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import time

from contest import Workbench, machine, spread


def once(command, environment):
    start = time.monotonic()
    pid = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(pid.pid, 0)
    pid.returncode = os.waitstatus_to_exitcode(status)
    if pid.returncode:
        raise SystemExit(f"{command}: exit {pid.returncode}")
    return (time.monotonic() - start) * 1000, (usage.ru_utime + usage.ru_stime) * 1000


def linking(command, environment):
    """Milliseconds in the dynamic loader, by its own count of cycles, and how many objects it loads."""
    out = subprocess.run(command, env={**environment, "LD_DEBUG": "statistics"}, capture_output=True, text=True).stderr
    cycles = int(re.search(r"total startup time in dynamic loader: (\d+)", out).group(1))
    mhz = next((float(l.split(":")[1]) for l in open("/proc/cpuinfo") if l.startswith("cpu MHz")), 2000.0)
    return cycles / mhz / 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--smalti", default="build/bench/smalti")
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    with Workbench(options.smalti) as bench:
        tiny = bench.path("tiny.ppm")
        pathlib.Path(tiny).write_bytes(b"P6 2 2 255\n" + bytes(range(12)))
        policy = bench.folder / "policy.xml"
        many = "".join(f'<policy domain="coder" rights="none" pattern="C{i}"/>' for i in range(200))
        policy.write_text(policy.read_text().replace("</policymap>", many + "</policymap>"))
        environment = bench.environment()
        hosts = "registry:cache:hosts=127.0.0.1:1,127.0.0.1:2"  # nobody there: what fits here asks nobody
        rows = {
            "vips copy": ["vips", "copy", tiny, bench.path("a.ppm")],
            "smalti": [bench.smalti, tiny, bench.path("b.ppm")],
            "smalti, hosts and limits set": [bench.smalti, "-limit", "memory", "64MiB", "-define", hosts, tiny, "-negate",
                                             bench.path("b.ppm")],
            "smalti -version": [bench.smalti, "-version"],
        }
        samples = {name: [] for name in rows}
        for _ in range(options.rounds):
            for name, command in rows.items():
                samples[name].append(once([str(word) for word in command], environment))
        print(f"Machine: {machine()}; {options.rounds} rounds in turn; median (minimum–maximum).\n")
        print("| | wall ms | CPU ms | of these linking, ms | beyond vips, ms |\n|---|---|---|---|---|")
        base = statistics.median(s[0] for s in samples["vips copy"])
        for name, command in rows.items():
            walls, cpus = zip(*samples[name])
            linked = linking([str(word) for word in command], environment)
            print(f"| {name} | {spread(walls, '{:.1f}')} | {spread(cpus, '{:.1f}')} | {linked:.1f} | "
                  f"{statistics.median(walls) - base:+.1f} |")


if __name__ == "__main__":
    main()

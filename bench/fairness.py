#!/usr/bin/env python3
"""Fairness and bounds of one server: 64 alike clients at once, and the server's memory meanwhile.

    cmake --preset release && cmake --build --preset release && python3 bench/fairness.py [--seconds 5] [--clients 64]

Exits 1 when the slowest client gets less than half the mean, or the server takes more memory than its limit, its in-flight bound
and 96 MiB.
"""
import argparse
import os
import pathlib
import re
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test" / "system"))
os.environ.setdefault("SMALTI", str(ROOT / "build" / "release" / "smalti"))

from stage import SMALTI, Stage  # noqa: E402

LIMIT = 512 << 20      # of the server's memory tier
IN_FLIGHT = 64 << 20   # its bound of payload under way
SLACK = 96 << 20


def resident(pid):
    """Memory of its own and memory that it shares with clients; not the program's file."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return sum(int(kib) for kib in re.findall(r"Rss(?:Anon|Shmem):\s+(\d+)", status)) * 1024


class Peak:
    """The most that a process had resident, while in the with block."""

    def __init__(self, pid):
        self.pid, self.most, self.stop = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.stop.is_set():
            try:
                self.most = max(self.most, resident(self.pid))
            except OSError:
                return  # it has died, which the caller sees
            self.stop.wait(0.02)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--seconds", type=int, default=5)
    parse.add_argument("--clients", type=int, default=64)
    given = parse.parse_args()
    worst, breach = 9.0, False
    for work, batch in (("get", 8), ("put", 8), ("mixed", 1), ("mixed", 32)):
        with Stage() as stage:
            server = stage.serve("-limit", "memory", str(LIMIT), "-limit", "map", "0", "-limit", "disk", "16GiB")
            with Peak(server.process.pid) as peak:
                run = stage.run("--host", server.address, "--clients", given.clients, "--seconds", given.seconds, "--work", work,
                                "--batch", batch, program=SMALTI.parent / "smalti_fairness")
            if run.code or server.process.poll() is not None:
                raise SystemExit(f"{run}\nserver: {server.text[-500:]}")
            if peak.most == 0:
                raise SystemExit("the server's memory was never seen")
            print(f"batches of {batch:2}: {run.out.strip()}; server's peak {peak.most >> 20} MiB", flush=True)
            worst = min(worst, float(re.search(r"least/mean ([\d.]+)", run.out)[1]))
            breach |= peak.most > LIMIT + IN_FLIGHT + SLACK
    print(f"the slowest of {given.clients} clients gets {worst:.2f} of the mean (at least 0.50); memory "
          f"{'BEYOND' if breach else 'within'} {(LIMIT + IN_FLIGHT + SLACK) >> 20} MiB")
    return 1 if worst < 0.5 or breach else 0


if __name__ == "__main__":
    sys.exit(main())

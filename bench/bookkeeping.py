#!/usr/bin/env python3
"""What client and server keep of a tile beside its pixels: a million tiles of 256 bytes each are put, and memory is looked at.

    cmake --preset release && cmake --build --preset release && python3 bench/bookkeeping.py [--tiles 1000000]

Exits 1 when client or server keep more than 512 bytes a tile beside the pixels.
"""
import argparse
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test" / "system"))
sys.path.insert(0, str(ROOT / "bench"))
os.environ.setdefault("SMALTI", str(ROOT / "build" / "release" / "smalti"))

from fairness import resident  # noqa: E402
from stage import SMALTI, Stage  # noqa: E402

PIXELS = 256
MOST = 512


def fill(stage, tiles, *words):
    """The client's growth a tile, and the process, which waits."""
    process = subprocess.Popen([SMALTI.parent / "smalti_bookkeeping", "--tiles", str(tiles), *map(str, words)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=stage.environment())
    stage.processes.append(process)
    line = process.stdout.readline().strip()
    if not line:
        raise SystemExit(f"{words}: exit {process.wait()}")
    return int(line), process


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--tiles", type=int, default=1_000_000)
    given = parse.parse_args()
    worst = 0
    with Stage() as stage:
        for store, here in (("memory", PIXELS), ("disk", 0), ("persisted", 0)):
            grew, process = fill(stage, given.tiles, "--store", store, "--folder", stage.path("images"))
            process.communicate()
            worst = max(worst, grew - here)
            print(f"{store} store: {grew - here} bytes a tile", flush=True)
        for count, replicas in ((1, 1), (3, 1), (3, 2)):
            servers = stage.servers(count, "-limit", "memory", "4GiB", "-limit", "map", "0", "-limit", "disk", "0", "-limit", "width",
                                    "10MP", "-limit", "height", "10MP")
            before = sum(resident(s.process.pid) for s in servers)
            grew, process = fill(stage, given.tiles, "--store", "servers", "--hosts", ",".join(s.address for s in servers),
                                 "--replicas", replicas)
            kept = (sum(resident(s.process.pid) for s in servers) - before) / given.tiles / replicas - PIXELS
            process.communicate()
            for server in servers:
                server.kill()
            worst = max(worst, grew, kept)
            print(f"{count} servers, {replicas} replicas: client {grew}, server {kept:.0f} bytes a tile", flush=True)
    print(f"at most {worst:.0f} bytes a tile beside the pixels ({MOST} allowed)")
    return 1 if worst > MOST else 0


if __name__ == "__main__":
    sys.exit(main())

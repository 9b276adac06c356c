#!/usr/bin/env python3
"""The main job beside its peers, in one run: -negate and -sharpen 5x2 on a 48-megapixel photograph.

cmake --preset bench && cmake --build --preset bench
usage: bench/main_job.py [--smalti PATH] [--rounds N] [--large] [--only WORD] > section-of-doc/bench.md
--large adds a gigapixel through two servers with `-limit memory 256MiB`.
"""
import argparse
import pathlib
import subprocess

from contest import Workbench, contest, machine, measure, spread, table

IM_POLICY = """<policymap>
  <policy domain="resource" name="memory" value="16GiB"/><policy domain="resource" name="map" value="16GiB"/>
  <policy domain="resource" name="disk" value="32GiB"/><policy domain="resource" name="area" value="16GP"/>
  <policy domain="resource" name="width" value="1MP"/><policy domain="resource" name="height" value="1MP"/>
</policymap>
"""
REMOTE = ["-limit", "memory", "64MiB", "-limit", "map", "0", "-limit", "disk", "0"]
OPERATORS = {"negate": ["-negate"], "sharpen": ["-sharpen", "5x2"]}


def photograph():
    return sorted(p for p in pathlib.Path("/usr/share/backgrounds").rglob("*.jpg") if p.stat().st_size > 500_000)[0]


def replicated(bench, name, across, down, crop=None):
    """A huge picture made of a real one, as a JPEG."""
    wide = bench.path("wide.v")
    subprocess.run(["vips", "replicate", photograph(), wide, str(across), str(down)], check=True)
    if crop:
        subprocess.run(["vips", "crop", wide, bench.path(name), "0", "0", *map(str, crop)], check=True)
    else:
        subprocess.run(["vips", "copy", wide, bench.path(name)], check=True)
    pathlib.Path(wide).unlink()
    return bench.path(name)


def contestants(bench, source, target, operator, hosts, plain_hosts):
    ours = [str(bench.smalti)]
    words = [source, *OPERATORS[operator], target]
    environment = bench.environment()
    disk = ["-limit", "memory", "32MiB", "-limit", "map", "0", "-limit", "disk", "16GiB"]
    mapped = ["-limit", "memory", "32MiB", "-limit", "map", "16GiB"]
    magick = bench.environment(MAGICK_CONFIGURE_PATH=bench.path("magick"))
    rows = {
        "smalti in memory": ([*ours, *words], environment),
        "smalti in memory, Q8": ([*ours, "-define", "quantum:depth=8", *words], environment),
        "smalti streaming, no cache": ([*ours, "-define", "cache:stream=auto", *words], environment),
        "smalti in map": ([*ours, *mapped, *words], environment),
        "smalti on disk": ([*ours, *disk, *words], environment),
        "smalti, 2 servers": ([*ours, *REMOTE, "-define", hosts, *words], environment),
        "smalti, 2 servers, no TLS": ([*ours, *REMOTE, "-define", "cache:encryption=none", "-define", plain_hosts, *words],
                                      environment),
        "ImageMagick 6 in memory": (["/usr/bin/convert", *words], magick),
        "ImageMagick 6 on disk": (["/usr/bin/convert", "-limit", "memory", "1MiB", "-limit", "map", "0", *words], magick),
    }
    if operator == "negate":
        rows["vips tool, streaming"] = (["vips", "invert", source, target], None)
    else:
        rows["libvips streaming, float"] = ([str(bench.smalti.parent / "vips_stream"), operator, source, target], None)
    return rows


def gigapixel(bench, rounds):
    source = replicated(bench, "giga.jpg", 10, 11, (36000, 26400))
    print(f"\n## A gigapixel ({36000}x{26400}), `-limit memory 256MiB`, the rest on two servers\n")
    hosts = bench.start_servers(2)
    for operator, words in OPERATORS.items():
        target = bench.path("out.ppm")
        limited = ["-limit", "memory", "256MiB", "-limit", "map", "0", "-limit", "disk", "0", "-define", hosts]
        rows = {"smalti, 2 servers": ([str(bench.smalti), *limited, source, *words, target], bench.environment()),
                "smalti in memory": ([str(bench.smalti), source, *words, target], bench.environment())}
        rows["libvips streaming"] = ([str(bench.smalti.parent / "vips_stream"), operator, source, target], None)
        print(f"`{' '.join(words)}` to PPM\n\n{table(contest(rows, rounds, warm_up=False))}\n")
    bench.end_servers()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--smalti", default="build/bench/smalti")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    with Workbench(options.smalti) as bench:
        magick = bench.folder / "magick"
        magick.mkdir()
        (magick / "policy.xml").write_text(IM_POLICY)
        source = replicated(bench, "photo.jpg", 3, 3, (8000, 6000))
        print(f"Machine: {machine()}; {options.rounds} rounds, contestants in turn; median (minimum–maximum).\n")
        hosts = bench.start_servers(2)
        plain = bench.start_servers(2, "-define", "cache:encryption=none")
        for suffix in ("ppm", "png"):
            for operator, words in OPERATORS.items():
                if options.only and options.only not in (suffix, operator):
                    continue
                rows = contestants(bench, source, bench.path("out." + suffix), operator, hosts, plain)
                results = contest(rows, options.rounds)
                print(f"## `{' '.join(words)}` of 48 megapixels to {suffix.upper()}\n\n"
                      f"{table(results, 'ImageMagick 6 in memory')}\n", flush=True)
        bench.end_servers()
        if options.large:
            gigapixel(bench, max(1, options.rounds // 2))


if __name__ == "__main__":
    main()

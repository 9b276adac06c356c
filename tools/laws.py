#!/usr/bin/env python3
"""The laws of the house, as a test: floors only look down, files and functions stay small, headers explain themselves.

Exits 1 and prints one line a breach. A law is raised only with a reason in doc/decisions/.
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLOOR = {"base": 0, "geom": 1, "tile": 2, "policy": 2, "store": 3, "wire": 3, "net": 3, "cache": 4, "client": 4,
         "server": 5, "ops": 5, "house": 6, "cli": 7, "main": 8}
# Folders of one floor are mutually blind, but for these.
MAY_SEE = set()
MOST_FILE_LINES = 800
MOST_FUNCTION_LINES = 70
MOST_PUBLIC_LINES = 2000
DOORS = {"asio": {"net", "client", "server", "house"}, "openssl": {"net", "wire"}, "vips": {"ops"}, "pugixml": {"policy"},
         "intel-ipsec-mb": {"net"}}
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def sources():
    for top in ("src", "include/smalti"):
        yield from sorted(p for p in (ROOT / top).rglob("*") if p.suffix in (".cc", ".h"))


def folder_of(path):
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "src" else parts[2]


def target_folder(kind, name):
    parts = name.split("/")
    if kind != '"' or len(parts) < 2:
        return None
    folder = parts[1] if parts[0] == "smalti" else parts[0]
    return folder if folder in FLOOR else None


def include_breaches(path):
    here = folder_of(path)
    if here not in FLOOR:
        yield f"{path}: folder '{here}' stands on no floor; give it one in tools/laws.py"
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        there = target_folder(*found.groups())
        where = f"{path.relative_to(ROOT)}:{number}"
        if there and there != here and FLOOR[there] >= FLOOR[here] and (here, there) not in MAY_SEE:
            yield f"{where}: {here}/ (F{FLOOR[here]}) includes {there}/ (F{FLOOR[there]}): floors only look down"
        library = found.group(2).split("/")[0].removesuffix(".hpp").removesuffix(".h")
        if library in DOORS and here not in DOORS[library]:
            yield f"{where}: only {', '.join(sorted(DOORS[library]))} may include <{library}>"


def size_breaches(path):
    lines = len(path.read_text().splitlines())
    if lines > MOST_FILE_LINES:
        yield f"{path.relative_to(ROOT)}: {lines} lines; a file has at most {MOST_FILE_LINES}"


def function_breaches(paths):
    tags = subprocess.run(["ctags", "--output-format=json", "--fields=+ne", "--languages=C++", "--kinds-C++=f", "-f", "-",
                           *map(str, paths)], capture_output=True, text=True, check=True).stdout
    for line in tags.splitlines():
        tag = json.loads(line)
        if "end" in tag and (length := tag["end"] - tag["line"] + 1) > MOST_FUNCTION_LINES:
            where = pathlib.Path(tag["path"]).relative_to(ROOT)
            yield f"{where}:{tag['line']}: {tag['name']} has {length} lines; a function has at most {MOST_FUNCTION_LINES}"


def await_breaches(path):
    """g++ 12.2 destroys a lambda made inside a co_await expression twice: name it, then await it."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        code = line.split("//")[0]
        if re.search(r"co_await\b.*\[[&=\w]", code) and "]" in code.split("co_await", 1)[1] and re.search(
                r"co_await\b[^;]*\[[^\]]+\]\s*(\(|\{|mutable)", code):
            yield f"{path.relative_to(ROOT)}:{number}: a capturing lambda inside co_await: name it first"


def public_breaches():
    lines = sum(len(p.read_text().splitlines()) for p in (ROOT / "include").rglob("*.h"))
    if lines > MOST_PUBLIC_LINES:
        yield f"include/: {lines} lines; public headers have at most {MOST_PUBLIC_LINES} together"


def main():
    paths = list(sources())
    breaches = [b for p in paths for law in (include_breaches, size_breaches, await_breaches) for b in law(p)]
    breaches += [*function_breaches(paths), *public_breaches()]
    print("\n".join(breaches) if breaches else f"{len(paths)} files keep the laws")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())

"""Side-by-side measurements of whole programs: contestants take turns, so that a drift of the machine hits all alike.

A figure is the median over the rounds, with minimum and maximum. Ratios are taken round by round.
"""
import dataclasses
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

LOOPBACK = pathlib.Path("/sys/class/net/lo/statistics/tx_bytes")


@dataclasses.dataclass
class Sample:
    wall: float       # seconds
    cpu: float        # seconds, user and system, of the program alone
    rss: int          # bytes, peak resident set
    anonymous: int    # bytes, peak anonymous resident set (sampled every 10 ms)
    wire: int         # bytes over loopback while it ran
    code: int
    said: str = ""    # on standard error


def watch_anonymous(pid, peak, stop):
    status = pathlib.Path(f"/proc/{pid}/status")
    while not stop.is_set():
        try:
            for line in status.read_text().splitlines():
                if line.startswith("RssAnon"):
                    peak[0] = max(peak[0], int(line.split()[1]) * 1024)
        except OSError:
            return
        stop.wait(0.01)


def measure(command, environment=None, timeout=3600):
    wire = int(LOOPBACK.read_text())
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    peak, stop = [0], threading.Event()
    watcher = threading.Thread(target=watch_anonymous, args=(process.pid, peak, stop))
    watcher.start()
    killer = threading.Timer(timeout, process.kill)
    killer.start()
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    killer.cancel()
    stop.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit {process.returncode}: {error.decode()[-500:]}")
    return Sample(time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, peak[0],
                  int(LOOPBACK.read_text()) - wire, process.returncode, error.decode(errors="replace"))


def contest(contestants, rounds, warm_up=True):
    """contestants: {name: (command, environment)}. Returns {name: [Sample]}."""
    if warm_up:
        for command, environment in contestants.values():
            measure(command, environment)
    results = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (command, environment) in contestants.items():
            results[name].append(measure(command, environment))
    return results


def spread(values, form="{:.2f}"):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{form.format(middle)} ({form.format(low)}–{form.format(high)})"


def table(results, against=None):
    """A Markdown table; `against` names the contestant that ratios refer to (wall time of it / wall time of the row)."""
    head = ["", "wall s", "CPU s", "peak RSS MiB", "anonymous MiB", "wire MiB"]
    if against:
        head.append(f"times as fast as {against}")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, samples in results.items():
        mib = lambda field: f"{statistics.median(getattr(s, field) for s in samples) / 2**20:.0f}"
        row = [name, spread([s.wall for s in samples]), spread([s.cpu for s in samples]), mib("rss"), mib("anonymous"),
               mib("wire")]
        if against:
            row.append(spread([b.wall / s.wall for b, s in zip(results[against], samples)]))
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def machine():
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    memory = next(int(l.split()[1]) // 2**20 for l in open("/proc/meminfo") if l.startswith("MemTotal"))
    system = next((l.split("=")[1].strip().strip('"') for l in open("/etc/os-release") if l.startswith("PRETTY")), "")
    return f"{os.cpu_count()} × {model}, {memory} GiB, {system}, kernel {platform.release().split('-')[0]}"


class Workbench:
    """A private folder with a policy, and the servers started in it; leaving it ends them."""

    def __init__(self, smalti):
        self.smalti = pathlib.Path(smalti).resolve()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="smalti-bench-"))
        self.servers = []
        (self.folder / "policy.xml").write_text(
            '<policymap><policy domain="cache" name="shared-secret" value="benchmark" stealth="true"/></policymap>')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end_servers()
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self, **more):
        return {**os.environ, "SMALTI_CONFIGURE_PATH": str(self.folder), "HOME": str(self.folder), **more}

    def path(self, name):
        return str(self.folder / name)

    def start_servers(self, count, *words):
        for _ in range(count):
            state = self.path(f"state-{len(self.servers)}")
            process = subprocess.Popen([self.smalti, *words, "-distribute-cache", "127.0.0.1:0"], text=True,
                                       stdout=subprocess.PIPE, env=self.environment(XDG_STATE_HOME=state))
            line = process.stdout.readline()
            address = next(word for word in line.replace(",", " ").split() if word.startswith("127.0.0.1:"))
            self.servers.append((process, address))
        return "registry:cache:hosts=" + ",".join(address for _, address in self.servers[-count:])

    def server_cpu(self):
        """Seconds of CPU that the servers have used so far."""
        ticks = os.sysconf("SC_CLK_TCK")
        fields = [open(f"/proc/{p.pid}/stat").read().rsplit(")")[1].split() for p, _ in self.servers]
        return sum(int(f[11]) + int(f[12]) for f in fields) / ticks

    def end_servers(self):
        for process, _ in self.servers:
            process.terminate()
            process.wait(30)
        self.servers = []

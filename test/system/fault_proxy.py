"""A TCP proxy in front of a server that spoils what passes: flips a bit, cuts, stalls; in either direction.

Faults are armed by a count of bytes, not by a clock, so that the same seed and the same traffic meet the same faults. By hand:

    python3 fault_proxy.py --to 127.0.0.1:6668 --listen 127.0.0.1:7000 --seed 1 --kinds flip,cut,stall --every 1000000
"""
import argparse
import collections
import random
import socket
import threading

UP, DOWN = "up", "down"  # to the server, to the client
KINDS = ("flip", "cut", "stall")
CHUNK = 256 << 10

Fault = collections.namedtuple("Fault", "kind direction at seconds bit")


class FaultProxy:
    """Use as a context manager. Thread-safe. What happened is in `done`."""

    def __init__(self, to, listen="127.0.0.1:0"):
        host, port = to.rsplit(":", 1)
        self.to = (host.strip("[]"), int(port))
        host, port = listen.rsplit(":", 1)
        self.listener = socket.create_server((host, int(port)))
        self.address = "{}:{}".format(*self.listener.getsockname()[:2])
        self.lock = threading.Lock()
        # Guarded by lock.
        self.passed = {UP: 0, DOWN: 0}
        self.armed = []
        self.done = []
        self.open = set()
        self.closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.closed.set()
        self.listener.close()
        self.cut()

    def arm(self, kind, direction, after, seconds=1.0, bit=0):
        """The fault strikes when so many bytes more have passed in this direction."""
        with self.lock:
            self.armed.append(Fault(kind, direction, self.passed[direction] + after, seconds, bit))

    def disarm(self):
        """What has not struck yet does not strike any more."""
        with self.lock:
            self.armed.clear()

    def struck(self):
        """How many faults have struck."""
        with self.lock:
            return len(self.done)

    def cut(self):
        """Ends every connection now."""
        with self.lock:
            sockets, self.open = self.open, set()
        for each in sockets:
            _end(each)

    def _accept(self):
        while not self.closed.is_set():
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.to, timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.open |= {client, server}
            for source, sink, direction in ((client, server, UP), (server, client, DOWN)):
                threading.Thread(target=self._pump, args=(source, sink, direction), daemon=True).start()

    def _due(self, direction, count):
        """The faults that strike within the next `count` bytes, with their places."""
        with self.lock:
            start = self.passed[direction]
            self.passed[direction] = start + count
            due = [f for f in self.armed if f.direction == direction and f.at < start + count]
            self.armed = [f for f in self.armed if f not in due]
            self.done += due
        return [(max(f.at - start, 0), f) for f in due]

    def _pump(self, source, sink, direction):
        buffer = bytearray(CHUNK)
        try:
            while count := source.recv_into(buffer):
                for at, fault in self._due(direction, count):
                    if fault.kind == "flip":
                        buffer[at] ^= 1 << fault.bit % 8
                    elif fault.kind == "stall":
                        self.closed.wait(fault.seconds)
                    elif fault.kind == "cut":
                        sink.sendall(memoryview(buffer)[:at])
                        return
                sink.sendall(memoryview(buffer)[:count])
        except OSError:
            pass
        finally:
            for each in (source, sink):
                _end(each)
            with self.lock:
                self.open -= {source, sink}


def _end(each):
    try:
        each.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    each.close()


def arm_at_random(proxy, choose, kinds, count, most_bytes, most_seconds=2.0):
    """`choose` is a random.Random: the same seed arms the same faults."""
    for _ in range(count):
        proxy.arm(choose.choice(kinds), choose.choice((UP, DOWN)), choose.randrange(most_bytes),
                  seconds=choose.uniform(0.1, most_seconds), bit=choose.randrange(8))


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--to", required=True)
    parse.add_argument("--listen", default="127.0.0.1:0")
    parse.add_argument("--seed", type=int, default=1)
    parse.add_argument("--kinds", default=",".join(KINDS))
    parse.add_argument("--every", type=int, default=1_000_000, help="bytes between faults, in the mean, each direction")
    given = parse.parse_args()
    choose = random.Random(given.seed)
    with FaultProxy(given.to, given.listen) as proxy:
        print(f"{proxy.address} -> {given.to}, seed {given.seed}", flush=True)
        told = 0
        while True:
            for direction in (UP, DOWN):
                with proxy.lock:
                    waiting = any(f.direction == direction for f in proxy.armed)
                if not waiting:
                    proxy.arm(choose.choice(given.kinds.split(",")), direction,
                              int(choose.expovariate(1 / given.every)), choose.uniform(0.1, 2), choose.randrange(8))
            proxy.closed.wait(0.05)
            for fault in proxy.done[told:]:
                print(*fault, flush=True)
            told = len(proxy.done)


if __name__ == "__main__":
    main()

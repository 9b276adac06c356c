"""The seed's example, verbatim, on hosts with the addresses it names (network namespaces; needs root).

SMALTI_LARGE=1 runs it with its real limits, on an image whose stored pixels exceed them.
"""
import filecmp
import os
import pathlib
import subprocess
import unittest

from mosaic import write_mosaic
from stage import SMALTI, StageCase, photograph

SCENARIO_TIMEOUT = 3000
ADDRESSES = {"a": "192.168.100.50", "b": "192.168.100.51", "c": "192.168.100.10"}


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@unittest.skipUnless(os.geteuid() == 0, "network namespaces need root")
class Hosts(StageCase):
    def setUp(self):
        super().setUp()
        self.tag = f"sm{os.getpid() % 100000}"
        self.addCleanup(self.tear_down_network)
        self.hub = self.space("hub")
        ip("netns", "add", self.hub)
        ip("-n", self.hub, "link", "add", "br0", "type", "bridge")
        ip("-n", self.hub, "link", "set", "br0", "up")
        for host, address in ADDRESSES.items():
            self.add_host(host, address)

    def space(self, host):
        return f"{self.tag}{host}"

    def add_host(self, host, address):
        space = self.space(host)
        ip("netns", "add", space)
        ip("-n", space, "link", "add", "eth0", "type", "veth", "peer", "name", f"to{host}", "netns", self.hub)
        ip("-n", self.hub, "link", "set", f"to{host}", "master", "br0", "up")
        ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "lo", "up")
        ip("-n", space, "link", "set", "eth0", "up")

    def tear_down_network(self):
        for host in (*ADDRESSES, "hub"):
            subprocess.run(["ip", "netns", "del", self.space(host)], capture_output=True)

    def on(self, host):
        return ("ip", "netns", "exec", self.space(host))

    def example(self, program, memory, map_, disk, picture, patience):
        """The two servers and the client of the example, each on its own host."""
        for host in ("a", "b"):
            self.stage.serve(program=program, port="6668", prefix=self.on(host))
        run = self.stage.run(
            "-limit", "memory", memory, "-limit", "map", map_, "-limit", "disk", disk, "-define",
            "registry:cache:hosts=192.168.100.50:6668,192.168.100.51:6668", "-debug", "cache", picture, "-sharpen", "5x2",
            "myhugeimage.png", program=program, prefix=self.on("c"), timeout=patience)
        self.assertSucceeds(run)
        for host in ("a", "b"):
            self.assertIn(ADDRESSES[host] + ":6668", run.err)

    def alone(self, picture, patience):
        run = self.stage.run("-limit", "memory", "unlimited", picture, "-sharpen", "5x2", "alone.png", timeout=patience)
        self.assertSucceeds(run)
        self.assertSamePixels("myhugeimage.png", "alone.png")

    def symlink(self):
        magick = pathlib.Path(self.stage.path("magick"))
        magick.symlink_to(SMALTI)
        return magick

    def test_the_example_scaled_down(self):
        picture = self.stage.path("myhugeimage.jpg")
        os.symlink(photograph(), picture)
        self.example(SMALTI, "8MiB", "4MiB", "4MiB", "myhugeimage.jpg", 120)
        self.alone("myhugeimage.jpg", 120)

    def test_the_example_scaled_down_through_a_symlink_named_magick(self):
        os.symlink(photograph(), self.stage.path("myhugeimage.jpg"))
        self.example(self.symlink(), "8MiB", "4MiB", "4MiB", "myhugeimage.jpg", 120)
        self.alone("myhugeimage.jpg", 120)

    @unittest.skipUnless(os.environ.get("SMALTI_LARGE"), "./test.sh --large")
    def test_the_example_with_its_real_limits(self):
        """3840x2400 photographs, 17 across and 17 down: 65280x40800 pixels, 7.4 GiB stored beside limits of 7 GiB."""
        size = write_mosaic(photograph(), self.stage.path("myhugeimage.jpg"), 17, 17)
        self.assertGreater(size[0] * size[1] * 3, 7 << 30)
        self.example(SMALTI, "1GiB", "2GiB", "4GiB", "myhugeimage.jpg", SCENARIO_TIMEOUT)
        self.large_alone()

    def large_alone(self):
        """Compares the files, which is the stricter: the decoded images are too large to hold twice."""
        run = self.stage.run("-limit", "memory", "unlimited", "myhugeimage.jpg", "-sharpen", "5x2", "alone.png",
                             timeout=SCENARIO_TIMEOUT)
        self.assertSucceeds(run)
        files = [self.stage.path(n) for n in ("myhugeimage.png", "alone.png")]
        self.assertTrue(filecmp.cmp(*files, shallow=False), "the results differ")


if __name__ == "__main__":
    unittest.main()

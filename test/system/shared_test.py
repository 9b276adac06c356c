"""Memory that servers share with clients on their host: who gets it, who does not, and what remains when either side is killed."""
import pathlib
import re
import signal
import unittest

from fault_proxy import FaultProxy
from stage import NOTHING_HERE, PATIENCE, StageCase, photograph, until

SAID = "tiles pass in shared memory"


def mappings(process):
    """Of shared memory, in a process that runs; none in one that is gone."""
    try:
        return pathlib.Path(f"/proc/{process.pid}/maps").read_text().count("memfd:smalti")
    except (FileNotFoundError, ProcessLookupError):
        return 0


class Shared(StageCase):
    def setUp(self):
        super().setUp()
        self.assertSucceeds(self.stage.run(photograph(), "-crop", "1200x800+500+300", "+repage", "in.jpg"))
        self.assertSucceeds(self.stage.run("in.jpg", "-sharpen", "5x2", "expected.ppm"))

    def words(self, *addresses):
        return (*NOTHING_HERE, "-define", "registry:cache:hosts=" + ",".join(addresses), "-define",
                "cache:placement=sharded")

    def job(self, *words):
        """A job through servers, its result compared; what it said."""
        run = self.stage.run(*words, "-verbose", "in.jpg", "-sharpen", "5x2", "out.ppm")
        self.assertSucceeds(run)
        self.assertEqual(pathlib.Path(self.stage.path("out.ppm")).read_bytes(),
                         pathlib.Path(self.stage.path("expected.ppm")).read_bytes())
        return run.out + run.err

    def test_on_one_host_it_is_taken_without_being_asked_for(self):
        for more in ((), ("-define", "cache:encryption=none")):
            servers = self.stage.servers(2, *more)
            told = self.job(*self.words(*(s.address for s in servers)), *more)
            for server in servers:
                self.assertIn(f"{server.address}: on this host: {SAID}", told)
                self.assertRegex(told, re.escape(server.address) + r"\.shared\.bytes [1-9]")
                until(lambda: mappings(server.process) == 0, "the server to give its memory back")

    def test_not_where_either_side_wants_none(self):
        none = ("-define", "cache:shared-memory=none")
        server = self.stage.serve()
        told = self.job(*self.words(server.address), *none)
        self.assertNotIn("shared", told.replace("shared-memory", ""))
        server = self.stage.serve(*none)
        told = self.job(*self.words(server.address))
        self.assertNotIn("shared", told)

    def test_not_through_whoever_stands_between(self):
        server = self.stage.serve()
        with FaultProxy(server.address) as proxy:
            told = self.job(*self.words(proxy.address))
        self.assertNotIn(SAID, told)
        self.assertNotIn("shared.bytes", told)

    def test_not_where_the_server_has_little_memory(self):
        server = self.stage.serve("-limit", "memory", "32MiB")
        self.assertNotIn(SAID, self.job(*self.words(server.address)))

    def test_a_client_that_is_killed_leaves_nothing(self):
        server = self.stage.serve("-define", "cache:grace=1")
        client = self.stage.start(*self.words(server.address), photograph(), "-resize", "200%", "-sharpen", "5x2", "big.ppm")
        until(lambda: mappings(server.process) > 0 or client.poll() is not None, "sharing")
        client.kill()
        client.wait(PATIENCE)
        until(lambda: mappings(server.process) == 0, "the server to give its memory back")
        self.assertIsNone(server.process.poll())
        self.assertIn(SAID, self.job(*self.words(server.address)))

    def test_a_server_that_is_killed_is_an_error_and_no_more(self):
        server = self.stage.serve()
        client = self.stage.start(*self.words(server.address), photograph(), "-resize", "200%", "-sharpen", "5x2", "big.ppm")
        until(lambda: mappings(client) > 0 or client.poll() is not None, "sharing")
        server.process.send_signal(signal.SIGKILL)
        _, err = client.communicate(timeout=PATIENCE)
        self.assertEqual(client.returncode, 1, err)
        self.assertIn(server.address, err)
        self.assertFalse(pathlib.Path(self.stage.path("big.ppm")).exists())


if __name__ == "__main__":
    unittest.main()

"""Sixteen servers on one machine, two replicas, and one of them killed in the middle.

SMALTI_LARGE=1 does it with a gigapixel picture.
"""
import filecmp
import os
import pathlib
import unittest

from mosaic import write_mosaic
from stage import NOTHING_HERE, HeldJob, StageCase, photograph

SERVERS = 16
PATIENCE = 3600


class Sixteen(StageCase):
    def kill_one_of_sixteen(self, picture, operators, output, *local_limits):
        """The job's tiles all go to the servers; one dies when about half of them are there, twice over."""
        servers = self.stage.servers(SERVERS, "-limit", "memory", "768MiB", "-limit", "map", "0", "-limit", "disk", "2GiB")
        job = HeldJob(self.stage, *local_limits, "-define", "registry:cache:hosts=" + ",".join(s.address for s in servers),
                      "-define", "cache:replicas=2", "-define", "cache:placement=sharded", "-verbose", picture, *operators,
                      pathlib.Path(output).suffix[1:] + ":-", patience=PATIENCE)
        job.until_read(50)
        servers[5].kill()
        self.assertEqual(job.finish(), 0, job.said)
        pathlib.Path(self.stage.path(output)).write_bytes(job.taken)
        self.assertIn(f"{servers[5].address} is lost", job.said)
        used = sum(s.address in job.said for s in servers)
        self.assertEqual(used, SERVERS, "not all servers took part")

    def same_as_alone(self, picture, operators, output, *limits):
        alone = pathlib.Path(output).stem + "-alone" + pathlib.Path(output).suffix
        self.assertSucceeds(self.stage.run(*limits, picture, *operators, alone, timeout=PATIENCE))
        self.assertTrue(filecmp.cmp(self.stage.path(output), self.stage.path(alone), shallow=False), "the results differ")

    def test_a_photograph(self):
        os.symlink(photograph(), self.stage.path("in.jpg"))
        self.kill_one_of_sixteen("in.jpg", ("-sharpen", "5x2"), "out.png", *NOTHING_HERE)
        self.same_as_alone("in.jpg", ("-sharpen", "5x2"), "out.png")

    @unittest.skipUnless(os.environ.get("SMALTI_LARGE"), "./test.sh --large")
    def test_a_gigapixel(self):
        """3840x2400 photographs, 9 across and 13 down: 34560x31200 pixels, 3 GiB stored, 6 GiB with replicas."""
        write_mosaic(photograph(), self.stage.path("in.jpg"), 9, 13)
        few = ("-limit", "memory", "64MiB", "-limit", "map", "0", "-limit", "disk", "0")
        self.kill_one_of_sixteen("in.jpg", ("-negate",), "out.jpg", *few)
        self.same_as_alone("in.jpg", ("-negate",), "out.jpg", "-limit", "memory", "256MiB", "-limit", "disk", "8GiB")


if __name__ == "__main__":
    unittest.main()

"""The main job: a real photograph through real servers, as a user would run it."""
import os
import pathlib
import re
import unittest

from stage import NOTHING_HERE, SMALTI, StageCase, hosts, photograph


class MainJob(StageCase):
    def in_memory(self, *operators, source=None, output="expected.png"):
        run = self.stage.run(source or photograph(), *operators, output)
        self.assertSucceeds(run)
        return output

    def test_pixels_go_to_both_servers_and_the_result_is_the_same(self):
        servers = self.stage.servers(2)
        run = self.stage.run(*NOTHING_HERE, "-define", hosts(servers), "-verbose", photograph(), "-sharpen", "5x2",
                             "out.png")
        self.assertSucceeds(run)
        for server in servers:
            self.assertIn(server.address, run.err + run.out)
        self.assertSamePixels("out.png", self.in_memory("-sharpen", "5x2"))

    def test_tiers_fill_in_order_before_the_servers_get_any(self):
        servers = self.stage.servers(2)
        run = self.stage.run("-limit", "memory", "16MiB", "-limit", "map", "4MiB", "-limit", "disk", "4MiB", "-define",
                             hosts(servers), "-verbose", photograph(), "-negate", "out.png")
        self.assertSucceeds(run)
        said = run.err + run.out
        for tier in ("Map", "Disk", "Distributed"):
            self.assertRegex(said, tier)
        self.assertSamePixels("out.png", self.in_memory("-negate"))

    def test_through_a_symlink_named_magick(self):
        magick = pathlib.Path(self.stage.path("magick"))
        magick.symlink_to(SMALTI)
        servers = [self.stage.serve(program=magick) for _ in range(2)]
        run = self.stage.run(*NOTHING_HERE, "-define", hosts(servers), photograph(), "-sharpen", "5x2", "out.png",
                             program=magick)
        self.assertSucceeds(run)
        self.assertSamePixels("out.png", self.in_memory("-sharpen", "5x2"))

    def test_embedded_needs_no_configuration(self):
        run = self.stage.run(photograph(), "-sharpen", "5x2", "out.png", policy="nowhere")
        self.assertSucceeds(run)
        self.assertEqual(run.err, "")

    def test_what_fits_here_opens_no_connection(self):
        """The host does not exist: any connection would fail."""
        run = self.stage.run("-define", "registry:cache:hosts=127.0.0.1:9", photograph(), "-negate", "out.png")
        self.assertSucceeds(run)

    def test_encryption_may_be_switched_off_on_both_sides(self):
        servers = self.stage.servers(2, "-define", "cache:encryption=none")
        run = self.stage.run(*NOTHING_HERE, "-define", "cache:encryption=none", "-define", hosts(servers), photograph(),
                             "-negate", "out.png")
        self.assertSucceeds(run)
        self.assertSamePixels("out.png", self.in_memory("-negate"))

    def test_a_sequence_is_spread_evenly_over_the_servers(self):
        self.assertSucceeds(self.stage.run(photograph(), "-resize", "300x200!", "small.png"))
        servers = self.stage.servers(3)
        run = self.stage.run(*NOTHING_HERE, "-define", hosts(servers), "-define", "cache:placement=round-robin", "-debug",
                             "cache", *["small.png"] * 7, "-flip", "out-%d.png")
        self.assertSucceeds(run)
        opened = [line for line in run.err.splitlines() if "open " in line and "Distributed" in line]
        counts = [sum(s.address in line for line in opened) for s in servers]
        self.assertLessEqual(max(counts) - min(counts), 1, run)
        self.assertGreaterEqual(sum(counts), 7, run)
        self.in_memory("-flip", source="small.png")
        for scene in range(7):
            self.assertSamePixels(f"out-{scene}.png", "expected.png")

    def test_verbose_says_where_the_tiles_went(self):
        servers = self.stage.servers(2)
        run = self.stage.run(*NOTHING_HERE, "-define", hosts(servers), "-verbose", photograph(), "-negate", "out.png")
        self.assertSucceeds(run)
        found = re.findall(r"Distributed\D*([\d.]+ ?[KMG]?i?B)", run.err + run.out)
        self.assertTrue(found, run)

    def test_each_tile_moves_once_whatever_the_order(self):
        servers = self.stage.servers(2)
        tiles = 15 * 10  # of 3840x2400 pixels
        for operators in ("-negate", "-sharpen 5x2", "-blur 0x8", "-flip", "-rotate 90", "-rotate 37",
                          "-blur 0x2 -sharpen 5x2 -resize 50%"):
            with self.subTest(operators):
                run = self.stage.run("-limit", "memory", "32MiB", "-limit", "map", "0", "-limit", "disk", "0", "-define",
                                     "cache:placement=sharded", "-define", hosts(servers), "-verbose", photograph(),
                                     *operators.split(), "null:")
                self.assertSucceeds(run)
                moved = re.search(r"; (\d+) tiles \([^)]*\) moved here, (\d+) of them ahead \((\d+) in vain\)", run.err)
                self.assertTrue(moved, run)
                self.assertLessEqual(int(moved[1]), tiles * 1.05, run)
                self.assertLessEqual(int(moved[3]), tiles * 0.05, run)

    def test_rotated_and_flipped_pictures_are_the_same_from_servers(self):
        servers = self.stage.servers(2)
        for operators in (("-rotate", "90"), ("-flip",), ("-rotate", "37"), ("-resize", "50%"), ("-auto-level",)):
            with self.subTest(operators):
                run = self.stage.run(*NOTHING_HERE, "-define", hosts(servers), photograph(), *operators, "out.png")
                self.assertSucceeds(run)
                self.assertSamePixels("out.png", self.in_memory(*operators))


if __name__ == "__main__":
    unittest.main()

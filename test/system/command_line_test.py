"""What people see: progress on a terminal, lists, versions, verbose words, exit codes."""
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time
import unittest

from stage import PATIENCE, SMALTI, StageCase, photograph

SLOW = ("-blur", "0x30") * 8  # much work, to be interrupted
SLOWED = ("-limit", "throttle", "1000")  # each report of progress pauses: over a second, however fast the machine


class Terminal(StageCase):
    def on_terminal(self, *words):
        """Runs with stderr on a terminal; gives back the exit code and what was drawn there."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen([str(SMALTI), *map(str, words)], stdout=subprocess.DEVNULL, stderr=theirs,
                                   cwd=self.stage.folder, env=self.stage.environment())
        self.stage.processes.append(process)
        os.close(theirs)
        drawn = b""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    part = os.read(ours, 65536)
                except OSError:
                    break  # the other side is closed
                if not part:
                    break
                drawn += part
        os.close(ours)
        return process.wait(PATIENCE), drawn.decode()

    def test_work_over_a_second_draws_a_bar_and_wipes_it(self):
        code, drawn = self.on_terminal(*SLOWED, photograph(), "-negate", "out.png")
        self.assertEqual(code, 0, drawn)
        self.assertRegex(drawn, r"\[#+ *\] +\d+%")
        self.assertTrue(drawn.endswith("\r\x1b[K"), repr(drawn[-80:]))

    def test_short_work_draws_nothing(self):
        code, drawn = self.on_terminal("-size", "10x10", "canvas:red", "out.png")
        self.assertEqual((code, drawn), (0, ""))

    def test_an_error_stands_on_a_line_of_its_own(self):
        code, drawn = self.on_terminal("missing.png", "out.png")
        self.assertEqual(code, 1)
        self.assertRegex(drawn, r"^smalti: .*missing\.png.*\r\n$")

    def test_monitor_tells_lines_where_there_is_no_terminal(self):
        run = self.stage.run("-monitor", *SLOWED, photograph(), "-negate", "out.png")
        self.assertSucceeds(run)
        self.assertRegex(run.err, r"\d+ of \d+, \d+% complete\n")

    def test_monitor_tells_short_work_too(self):
        run = self.stage.run("-monitor", photograph(), "info:")
        self.assertSucceeds(run)
        self.assertEqual(run.err, "", "nothing is read to describe a file")
        run = self.stage.run("-monitor", photograph(), "null:")
        self.assertSucceeds(run)
        self.assertRegex(run.err, r"reading .*: 9216000 of 9216000, 100% complete\n")

    def test_nothing_is_drawn_where_it_is_piped(self):
        run = self.stage.run(*SLOWED, photograph(), "-negate", "out.png")
        self.assertSucceeds(run)
        self.assertEqual(run.err, "")


class Words(StageCase):
    def test_list_resource_shows_what_holds(self):
        self.stage.policy("low", "x", '<policy domain="resource" name="memory" value="64MiB"/>\n')
        run = self.stage.run("-limit", "memory", "1GiB", "-limit", "disk", "1536", "-list", "resource", policy="low",
                             SMALTI_WIDTH_LIMIT="16KP")
        self.assertSucceeds(run)
        for line in ("Resource limits:", "Width: 16000P", "Memory: 64MiB", "Map: 0B", "Disk: 1536B", "Time: unlimited"):
            self.assertIn(line, run.out)

    def test_help_names_every_operator_and_setting(self):
        run = self.stage.run("-help")
        self.assertSucceeds(run)
        for word in ("-sharpen", "-virtual-pixel", "-limit", "-distribute-cache", "registry:cache:hosts"):
            self.assertIn(word, run.out)
        self.assertEqual(self.stage.run().out, run.out)

    def test_version_names_depth_and_libraries(self):
        run = self.stage.run("-version")
        self.assertSucceeds(run)
        self.assertRegex(run.out, r"Smalti \d+\.\d+\.\d+ Q16 ")
        self.assertIn("libvips 8.", run.out)
        self.assertIn("OpenSSL 3.", run.out)
        run = self.stage.run("-define", "quantum:depth=8", "-define", "quantum:hdri=true", "-version")
        self.assertRegex(run.out, r" Q8-HDRI ")

    def test_verbose_tells_times_and_totals(self):
        run = self.stage.run("-verbose", photograph(), "-negate", "out.png")
        self.assertSucceeds(run)
        self.assertRegex(run.err, r"JPEG 3840x2400 .*read in [\d.]+ s")
        self.assertRegex(run.err, r"Memory [\d.]+MiB in \d+ tiles")
        self.assertRegex(run.err, r"out\.png: 1 image written in [\d.]+ s")
        self.assertRegex(run.err, r"total: [\d.]+ s")

    def test_verbose_tells_operators_and_what_could_have_streamed(self):
        run = self.stage.run("-verbose", photograph(), "-negate", "-sharpen", "5x2", "out.png")
        self.assertSucceeds(run)
        self.assertRegex(run.err, r"\[0\] to out\.png in [\d.]+ s\n  -negate: computed [\d.]+ s in \d+ threads?\n"
                                  r"  -sharpen 5x2: computed [\d.]+ s in \d+ threads?\n  read: waited 0\.000 s")
        self.assertRegex(run.err, r"by tier: memory \d+")
        self.assertRegex(run.err, r"could have streamed without a cache, in about [\d.]+MiB")
        run = self.stage.run("-verbose", photograph(), "-flip", "flipped.png")
        self.assertNotIn("could have streamed", run.err)

    def test_what_can_stream_does_when_told(self):
        self.assertSucceeds(self.stage.run(photograph(), "-sharpen", "5x2", "-resize", "50%", "cached.png"))
        run = self.stage.run("-define", "cache:stream=auto", "-debug", "cache", "-verbose", photograph(), "-sharpen", "5x2",
                             "-resize", "50%", "out.png")
        self.assertSucceeds(run)
        self.assertNotIn("open ", run.err)
        self.assertIn("without a cache", run.err)
        self.assertSamePixels("out.png", "cached.png")
        run = self.stage.run("-define", "cache:stream=sometimes", photograph(), "out.png")
        self.assertFailsWith(run, "cache:stream", "never, auto")

    def test_any_part_of_a_terapixel_is_at_hand(self):
        run = self.stage.run("-verbose", "-size", "1000000x1000000", "canvas:white", "-crop", "100x100+500000+500000",
                             "out.ppm")
        self.assertSucceeds(run)
        self.assertTrue(pathlib.Path(self.stage.path("out.ppm")).read_bytes().endswith(b"\xff" * 30000))
        self.assertNotIn("stored", run.err)  # in no cache

    def test_debug_cache_tells_opening_and_end_of_each_image(self):
        self.assertSucceeds(self.stage.run("-size", "600x400", "canvas:red", "small.png"))
        run = self.stage.run("-debug", "cache", "small.png", "small.png", "-negate", "out-%d.png")
        self.assertSucceeds(run)
        lines = run.err.splitlines()
        self.assertEqual(sum(bool(re.match(r"open small\.png\[0\] \(Memory .*600x400x\d .*\)$", l)) for l in lines), 2, run)
        self.assertEqual(lines.count("destroy small.png[0]"), 2, run)

    def test_identify_prints_what_format_asks_for(self):
        run = self.stage.run("identify", "-format", "%m %wx%h %z\\n", photograph())
        self.assertSucceeds(run)
        self.assertEqual(run.out, "JPEG 3840x2400 8\n")

    def test_identify_reads_no_pixels(self):
        run = self.stage.run("identify", photograph(), photograph(), "-limit", "memory", "1", "-limit", "disk", "0")
        self.assertSucceeds(run)
        self.assertEqual(len(re.findall("JPEG 3840x2400", run.out)), 2, run)

    def test_throttle_and_threads_change_nothing_but_time(self):
        self.assertSucceeds(self.stage.run("-limit", "throttle", "5", "-limit", "thread", "1", photograph(), "-sharpen",
                                           "0x1", "slow.png"))
        self.assertSucceeds(self.stage.run(photograph(), "-sharpen", "0x1", "fast.png"))
        self.assertSamePixels("slow.png", "fast.png")

    def test_an_area_limit_takes_no_memory(self):
        run = self.stage.run("-verbose", "-limit", "area", "1MP", photograph(), "-negate", "out.png")
        self.assertSucceeds(run)
        self.assertRegex(run.err, r"Disk [\d.]+MiB in \d+ tiles")
        self.assertNotRegex(run.err, r"Memory [\d.]+MiB in")

    def test_few_files_are_enough(self):
        run = self.stage.run("-limit", "file", "1", "-limit", "memory", "1KiB", *[photograph()] * 3, "-negate", "out-%d.png")
        if run.code != 0:
            self.assertFailsWith(run, "file")

    def test_a_temporary_path_that_is_none(self):
        run = self.stage.run("-define", "registry:temporary-path=/nowhere", photograph(), "out.png")
        self.assertFailsWith(run, "/nowhere", "temporary", output="out.png")

    def test_a_define_that_is_none(self):
        run = self.stage.run("-define", "cache:placment=auto", photograph(), "out.png")
        self.assertFailsWith(run, "cache:placment", "cache:placement", output="out.png")

    def test_terminating_exits_143_and_leaves_nothing(self):
        process = self.stage.start("-debug", "cache", photograph(), *SLOW, "out.png")
        self.assertIn("open ", process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 143, err)
        self.assertEqual([p.name for p in pathlib.Path(self.stage.folder).iterdir() if "out" in p.name], [])


if __name__ == "__main__":
    unittest.main()

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

    def test_identify_goes_on_past_what_is_no_picture(self):
        pathlib.Path(self.stage.path("empty.jpg")).write_bytes(b"")
        run = self.stage.run("identify", "missing.jpg", photograph(), "empty.jpg")
        self.assertEqual(run.code, 1, run)
        self.assertIn("JPEG 3840x2400", run.out)
        self.assertRegex(run.err, r"missing\.jpg(.|\n)*empty\.jpg")

    def test_list_format_tells_what_can_be_read_and_written(self):
        run = self.stage.run("-list", "format")
        self.assertSucceeds(run)
        self.assertRegex(run.out, r"(?m)^ *JPEG +yes +yes +jpg ")
        self.assertRegex(run.out, r"(?m)^ *JP2 +yes +no ")

    def test_a_sequence_is_joined(self):
        for name, words in (("below.png", ("-append",)), ("beside.png", ("+append",))):
            self.assertSucceeds(self.stage.run("-size", "30x10", "xc:red", "-size", "10x20", "xc:blue", *words, name))
        run = self.stage.run("identify", "-format", "%wx%h ", "below.png", "beside.png")
        self.assertEqual(run.out, "30x30 40x20 ", run)

    def test_png_takes_its_kind_from_the_prefix(self):
        kinds = {"png8": "8-bit sRGB", "png24": "8-bit sRGB", "png32": "8-bit sRGB", "png48": "16-bit sRGB", "png64": "16-bit sRGB"}
        for word, facts in kinds.items():
            out = f"{word}:{word}.png"
            self.assertSucceeds(self.stage.run("-size", "20x10", "gradient:red-blue", out.upper().replace(".PNG", ".png")))
            run = self.stage.run("identify", f"{word.upper()}.png")
            self.assertIn(f"PNG 20x10 20x10+0+0 {facts}", run.out, run)
            kind = pathlib.Path(self.stage.path(f"{word.upper()}.png")).read_bytes()[25]
            self.assertEqual(kind, {"png8": 3, "png32": 6, "png64": 6}.get(word, 2), word)

    def test_a_jpeg_keeps_its_quality_and_a_tiff_its_compression(self):
        def size(name):
            return pathlib.Path(self.stage.path(name)).stat().st_size
        small = ("-resize", "400x")
        for quality in (30, 75, 98):
            self.assertSucceeds(self.stage.run(photograph(), *small, "-quality", str(quality), "in.jpg"))
            self.assertSucceeds(self.stage.run("in.jpg", "kept.jpg"))
            self.assertSucceeds(self.stage.run("in.jpg", "-quality", str(quality), "told.jpg"))
            self.assertEqual(size("kept.jpg"), size("told.jpg"), quality)
        self.assertSucceeds(self.stage.run(photograph(), *small, "plain.tif"))
        self.assertSucceeds(self.stage.run(photograph(), *small, "-compress", "LZW", "in.tif"))
        self.assertSucceeds(self.stage.run("in.tif", "kept.tif"))
        self.assertEqual(size("kept.tif"), size("in.tif"))
        self.assertLess(size("kept.tif"), size("plain.tif"))

    def test_a_tiff_goes_through_a_pipe(self):
        self.assertSucceeds(self.stage.run("-size", "300x200", "gradient:red-blue", "file.tif"))
        process = self.stage.start("-size", "300x200", "gradient:red-blue", "tiff:-", text=False)
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(out, pathlib.Path(self.stage.path("file.tif")).read_bytes())

    def test_a_tiff_of_tiles_and_a_pyramid(self):
        self.assertSucceeds(self.stage.run(photograph(), "-define", "tiff:tile-geometry=256x128", "tiled.tif"))
        self.assertSucceeds(self.stage.run(photograph(), "ptif:pyramid.tif"))
        run = self.stage.run("identify", "-format", "%wx%h ", "tiled.tif", "pyramid.tif")
        self.assertRegex(run.out, r"^3840x2400 3840x2400 1920x1200 960x600 ", run)
        bad = self.stage.run(photograph(), "-define", "tiff:tile-geometry=100x100", "bad.tif")
        self.assertFailsWith(bad, "tile-geometry", "16", output="bad.tif")

    def test_a_gif_is_written_and_moves(self):
        self.assertSucceeds(self.stage.run("-size", "30x20", "gradient:red-blue", "gradient:white-black", "out.gif"))
        run = self.stage.run("identify", "out.gif")
        self.assertEqual(len(re.findall("GIF 30x20", run.out)), 2, run)

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

    def test_a_define_whose_first_word_is_wrong(self):
        run = self.stage.run("-define", "cahce:hosts=a", photograph(), "out.png")
        self.assertFailsWith(run, "cahce:hosts", "cache:hosts", output="out.png")
        self.assertSucceeds(self.stage.run("-size", "2x2", "-define", "png:compression-level=9", "xc:red", "out.png"))

    def test_a_format_that_is_not_offered_is_no_file(self):
        for word in ("svg", "json", "rgb"):
            run = self.stage.run("-size", "2x2", "xc:red", f"{word}:out")
            self.assertFailsWith(run, f"'{word}:' is no format", output=f"{word}:out")
            self.assertFailsWith(self.stage.run(f"{word}:in", "out.png"), f"'{word}:' is no format", output="out.png")
        self.assertSucceeds(self.stage.run("-size", "2x2", "xc:red", "at 12:30.png"))

    def test_errors_name_no_numbers_of_images(self):
        run = self.stage.run("-limit", "memory", "1", "-limit", "map", "1", "-limit", "disk", "1", photograph(), "out.png")
        self.assertFailsWith(run, "cache resources exhausted", "raise it with", output="out.png")
        self.assertNotRegex(run.err, "[0-9a-f]{32}")

    def test_terminating_exits_143_and_leaves_nothing(self):
        process = self.stage.start("-debug", "cache", photograph(), *SLOW, "out.png")
        self.assertIn("open ", process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 143, err)
        self.assertEqual([p.name for p in pathlib.Path(self.stage.folder).iterdir() if "out" in p.name], [])


if __name__ == "__main__":
    unittest.main()

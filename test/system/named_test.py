"""Images with names, kept on real servers: put, read in part, worked on, listed, deleted, overwritten, and what happens
when writers die, lists of servers change, room ends, and servers are restarted."""
import pathlib
import re
import signal
import subprocess
import threading
import time
import unittest

from stage import StageCase, free_port, hosts, pixels, until


def picture(stage, name, width, height, seed):
    """A colour picture whose pixels tell where they are, and which of several it is."""
    rows = bytearray(f"P6 {width} {height} 255\n".encode())
    for y in range(height):
        rows += bytes(b for x in range(width) for b in ((x + seed) & 255, (y * 3 + seed) & 255, (x ^ y ^ seed) & 255))
    pathlib.Path(stage.path(name)).write_bytes(rows)


def plain(stage, name, width, height, value):
    """Two values only; not quite one colour, so that its tiles are stored."""
    pattern = bytes([value, value ^ 1]) * (width * height * 3 // 2)
    pathlib.Path(stage.path(name)).write_bytes(f"P6 {width} {height} 255\n".encode() + pattern)


def count(text, name):
    """The sum of a client's counters over all servers, from -verbose."""
    return sum(int(n) for n in re.findall(rf"\.{re.escape(name)} (\d+)", text))


class Named(StageCase):
    def cluster(self, servers, *words):
        self.servers = servers
        self.words = ("-define", hosts(servers), *words)
        return servers

    def smalti(self, *words, **more):
        return self.stage.run(*self.words, *words, **more)

    def put(self, *words, **more):
        return self.assertSucceeds(self.smalti(*words, **more))

    def serve_again(self, server, *words):
        """As it was, with a life of its own."""
        return self.stage.serve(*words, port=server.address, state=server.state)

    def listing(self):
        return self.put("-list", "cache").out

    def stored(self):
        """Bytes in all tiers of all servers."""
        sizes = re.findall(r"^    (?:Memory|Map|Disk|Persisted\w*) ([0-9.]+)([KMG]i)?B in", self.listing(), re.M)
        return sum(float(n) * {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[unit] for n, unit in sizes)

    def test_a_named_image_is_read_in_part_worked_on_listed_and_deleted(self):
        self.cluster(self.stage.servers(2), "-define", "cache:placement=sharded")
        picture(self.stage, "big.ppm", 2100, 1300, 0)
        self.put("big.ppm", "dpc:slide1")
        part = self.put("-verbose", "dpc:slide1[200x100+1000+700]", "crop.ppm")
        self.put("big.ppm", "-crop", "200x100+1000+700", "+repage", "expected.ppm")
        self.assertSamePixels("crop.ppm", "expected.ppm")
        moved = [int(n) for n in re.findall(r"(\d+) \([^)]*\) got from it", part.err)]
        self.assertTrue(moved and sum(moved) <= 6, part)  # of 54: those of the part, and a few that were read ahead
        self.put("dpc:slide1", "-negate", "dpc:slide 2")
        self.put("dpc:slide 2", "back.ppm")
        self.put("big.ppm", "-negate", "expected.ppm")
        self.assertSamePixels("back.ppm", "expected.ppm")
        text = self.listing()
        self.assertRegex(text, r"  slide1  2100x1300x3 8-bit, sharded over 2 servers, 1 copy, 7.81MiB .* old")
        self.assertRegex(text, r"  slide 2  2100x1300x3 ")
        for server in self.servers:
            self.assertRegex(text, re.escape(server.address) + r"  id [0-9a-f]{16}, 0 clients, 2 names")
        self.put("-delete-cache", "slide1", "-delete-cache", "slide 2")
        self.assertIn("Named images: none", self.listing())
        until(lambda: self.stored() == 0, "the servers to free the images")
        self.assertFailsWith(self.smalti("dpc:slide1", "gone.ppm"), r"no image is named `dpc:slide1'", output="gone.ppm")
        self.assertFailsWith(self.smalti("-delete-cache", "slide1"), r"no image is named `dpc:slide1'")

    def test_one_colour_is_not_stored(self):
        self.cluster(self.stage.servers(2), "-define", "cache:placement=sharded")
        self.put("-size", "20000x20000", "canvas:#204080", "dpc:big")  # 1.1 GiB
        copied = self.put("-verbose", "dpc:big", "dpc:copy")
        self.assertIn("0 tiles (0B) put to the store, 0 (0B) got from it", copied.err)
        self.put("dpc:copy", "-negate", "dpc:negated")
        self.assertEqual(self.stored(), 0)
        self.assertRegex(self.listing(), r"  negated  20000x20000x3 8-bit, .* 0B \(0B stored\)")
        for name, colour in (("big", "204080"), ("copy", "204080"), ("negated", "dfbf7f")):
            self.put(f"dpc:{name}[40x30+15000+12345]", "part.ppm")
            self.assertEqual(pixels(self.stage, "part.ppm")[1], bytes.fromhex(colour) * 1200, name)
        # A picture amid one colour: only its own tiles are stored and sent, and neighbours see both.
        picture(self.stage, "small.ppm", 300, 200, 5)
        framed = ("small.ppm", "-background", "red", "-gravity", "center", "-extent", "2100x1700")
        self.put(*framed, "framed.ppm")
        self.put(*framed, "dpc:framed")
        self.put("dpc:framed", "dpc:copy")
        self.assertLess(self.stored(), 2 * 2100 * 1700 * 3 / 4)
        for words in ((), ("-sharpen", "5x2"), ("-flop", "-resize", "50%"), ("-crop", "700x600+500+400", "+repage")):
            self.put("dpc:copy", *words, "out.ppm")
            self.put("framed.ppm", *words, "expected.ppm")
            self.assertSamePixels("out.ppm", "expected.ppm")

    def test_what_travels_beside_the_pixels(self):
        self.cluster(self.stage.servers(1))
        picture(self.stage, "in.ppm", 64, 48, 1)
        profile = next(iter(sorted(pathlib.Path("/usr/share/color/icc").rglob("*.icc"))), None)
        words = ["convert", "in.ppm", "-density", "240x120", "-units", "PixelsPerInch", "-set", "exif:Make", "x"]
        words += ["-profile", str(profile)] if profile else []
        subprocess.run([*words, "in.tif"], check=True, cwd=self.stage.folder, capture_output=True)
        subprocess.run(["vips", "copy", "in.tif", "in2.tif"], check=True, cwd=self.stage.folder, capture_output=True)
        self.put("in2.tif", "dpc:m")
        self.put("dpc:m", "out.tif")

        def header(name):
            text = subprocess.run(["vipsheader", "-a", self.stage.path(name)], capture_output=True, text=True, check=True).stdout
            return {line for line in text.splitlines() if re.match(r"xres|yres|icc|exif|orientation|width|bands|resolution", line)}
        self.assertEqual(header("out.tif"), header("in2.tif"))

    def test_overwriting_its_own_source(self):
        self.cluster(self.stage.servers(3), "-define", "cache:placement=sharded")
        picture(self.stage, "a.ppm", 900, 700, 3)
        self.put("a.ppm", "dpc:a")
        self.put("dpc:a", "-negate", "dpc:a")
        self.put("dpc:a", "out.ppm")
        self.put("a.ppm", "-negate", "expected.ppm")
        self.assertSamePixels("out.ppm", "expected.ppm")
        until(lambda: self.stored() <= 900 * 700 * 6 * 1.1, "the old version to be freed")

    def test_names_and_servers_must_be_sensible(self):
        self.cluster(self.stage.servers(1))
        picture(self.stage, "a.ppm", 20, 10, 3)
        for name in ("dpc:a/b", "dpc:", "dpc:a\nb", "dpc:x]"):
            self.assertFailsWith(self.smalti("a.ppm", name), "no name for an image")
        self.assertFailsWith(self.stage.run("a.ppm", "dpc:a"), "no pixel servers are set", "registry:cache:hosts")
        self.assertFailsWith(self.stage.run("-delete-cache", "a"), "no pixel servers are set")
        self.assertFailsWith(self.smalti("dpc:none[10x10+0+0]", "x.ppm"), "no image is named", output="x.ppm")

    def test_the_second_writer_is_refused_and_a_dead_one_leaves_the_old_version(self):
        servers = self.cluster(self.stage.servers(3, "-define", "cache:grace=2"), "-define", "cache:placement=sharded")
        picture(self.stage, "old.ppm", 700, 500, 0)
        self.put("old.ppm", "dpc:n")
        before = self.stored()
        writer = self.stage.start(*self.words, "-limit", "throttle", "1000", "old.ppm", "-resize", "4000x3000!", "-sharpen",
                                  "9x9", "dpc:n")
        until(lambda: "being written by" in self.listing() and self.stored() > before, "the writer to begin")
        writer.send_signal(signal.SIGSTOP)  # in its middle, for as long as the machine may need
        second = self.smalti("old.ppm", "dpc:n")
        self.assertFailsWith(second, r"`n' is being written by smalti \(127.0.0.1:\d+\)")
        writer.kill()
        writer.wait()
        self.put("dpc:n", "out.ppm")
        self.assertSamePixels("out.ppm", "old.ppm")
        until(lambda: self.stored() == before, "what it left to be freed")
        picture(self.stage, "new.ppm", 300, 200, 9)
        self.put("new.ppm", "dpc:n")
        self.put("dpc:n", "out.ppm")
        self.assertSamePixels("out.ppm", "new.ppm")
        self.assertEqual([s.process.poll() for s in servers], [None] * 3)

    def test_the_next_writer_does_not_wait_for_the_grace_of_a_dead_one(self):
        self.cluster(self.stage.servers(3, "-define", "cache:grace=3600"), "-define", "cache:placement=sharded")
        picture(self.stage, "old.ppm", 700, 500, 0)
        writer = self.stage.start(*self.words, "-limit", "throttle", "1000", "old.ppm", "-resize", "4000x3000!", "-sharpen",
                                  "9x9", "dpc:n")
        until(lambda: "being written by" in self.listing() or self.stored() > 0, "the writer to begin")
        writer.send_signal(signal.SIGSTOP)
        writer.kill()
        writer.wait()
        self.put("old.ppm", "dpc:n")
        self.put("dpc:n", "out.ppm")
        self.assertSamePixels("out.ppm", "old.ppm")

    def test_what_the_first_writer_left_is_freed_by_the_servers_themselves(self):
        x, y, z = self.cluster(self.stage.servers(3, "-define", "cache:grace=2"), "-define", "cache:first=0", "-define",
                               "cache:placement=round-robin")
        picture(self.stage, "a.ppm", 700, 500, 0)

        def pinned():  # from its pin on a server lists a name
            return "  n  " in self.assertSucceeds(self.stage.run("-define", hosts([x]), "-list", "cache")).out
        for tries in range(20):
            writer = self.stage.start(*self.words, "-limit", "throttle", "1000", "a.ppm", "-resize", "3000x2000!", "-sharpen",
                                      "9x9", "dpc:n")
            until(lambda: self.stored() > 0, "the writer to begin")
            writer.send_signal(signal.SIGSTOP)
            for other in (y, z):  # they have no tiles, and are told last
                other.signal(signal.SIGSTOP)
            writer.send_signal(signal.SIGCONT)
            until(lambda: pinned() or writer.poll() is not None, "its pin")
            writer.kill()
            writer.wait()
            for other in (y, z):
                other.signal(signal.SIGCONT)
            if re.search(r"  n  no finished version, (being written|a write was not)", self.listing()):
                break
            self.smalti("-delete-cache", "n")
            until(lambda: self.stored() == 0, "the servers to be empty")
        else:
            self.fail("no writer was killed between pin and enter")
        self.assertGreater(self.stored(), 0)
        until(lambda: "not finished" in self.listing(), "its lock to end")
        until(lambda: self.stored() == 0, "the servers to free it")
        self.assertIn("Named images: none", self.listing())
        self.put("a.ppm", "dpc:n")
        self.put("dpc:n", "out.ppm")
        self.assertSamePixels("out.ppm", "a.ppm")

    def test_a_name_that_may_be_forgotten_is_not_taken_for_absent(self):
        a, b, c = self.cluster(self.stage.servers(3), "-define", "cache:replicas=2", "-define", "cache:placement=sharded")
        picture(self.stage, "a.ppm", 500, 300, 5)
        c.signal(signal.SIGSTOP)  # the first version is known to the two others only
        self.put("a.ppm", "dpc:n")
        c.signal(signal.SIGCONT)
        a.kill()
        self.serve_again(a)
        b.signal(signal.SIGSTOP)
        gone = self.smalti("dpc:n", "out.ppm")
        self.assertFailsWith(gone, "`dpc:n' was not found on", "forget names when they are restarted", re.escape(b.address),
                             output="out.ppm")
        self.assertNotIn("no image is named", gone.err)
        b.signal(signal.SIGCONT)
        self.put("dpc:n", "out.ppm")
        self.assertSamePixels("out.ppm", "a.ppm")

    def test_a_name_whose_servers_are_gone_for_good(self):
        keeping = [("-define", f"cache:persist={self.stage.path(f'kept-{n}')}") for n in range(3)]
        servers = self.cluster([self.stage.serve(*words, port=f"127.0.0.1:{free_port()}") for words in keeping], "-define",
                               "cache:replicas=2")
        picture(self.stage, "a.ppm", 500, 300, 5)
        picture(self.stage, "b.ppm", 400, 300, 6)
        self.put("a.ppm", "dpc:n")
        for gone in servers[:2]:
            gone.kill()
        self.assertFailsWith(self.smalti("-delete-cache", "n"), "must be reached")
        self.put("-define", "cache:forced-delete=true", "-delete-cache", "n")
        self.assertNotIn("500x300", self.listing())
        for n in range(2):  # they come back after all, with what they had
            servers[n] = self.stage.serve(*keeping[n], port=servers[n].address, state=servers[n].state)
        self.assertFailsWith(self.smalti("dpc:n", "old.ppm"), "no image is named", output="old.ppm")
        self.put("b.ppm", "dpc:n")
        servers[2].kill()
        self.put("dpc:n", "out.ppm")
        self.assertSamePixels("out.ppm", "b.ppm")

    def test_readers_see_all_of_the_old_or_all_of_the_new(self):
        self.cluster(self.stage.servers(3), "-define", "cache:placement=sharded")
        plain(self.stage, "black.ppm", 1000, 700, 0)
        plain(self.stage, "white.ppm", 1000, 700, 255)
        self.put("black.ppm", "dpc:n")
        ended = threading.Event()
        seen, failures = [], []

        def read(number):
            while not ended.is_set() or not seen:
                run = self.smalti("dpc:n", f"seen-{number}.ppm")
                if run.code:
                    failures.append(run)
                    return
                data = pathlib.Path(self.stage.path(f"seen-{number}.ppm")).read_bytes()
                seen.append(sorted(set(data[data.index(b"255\n") + 4:])))
        readers = [threading.Thread(target=read, args=(n,)) for n in range(2)]
        for reader in readers:
            reader.start()
        for n in range(8):
            self.put("white.ppm" if n % 2 == 0 else "black.ppm", "dpc:n")
        ended.set()
        for reader in readers:
            reader.join()
        self.assertEqual(failures, [])
        self.assertEqual([s for s in seen if s not in ([0, 1], [254, 255])], [], "a mixture")
        self.put("dpc:n", "last.ppm")
        self.assertSamePixels("last.ppm", "black.ppm")

    def test_the_list_of_servers_may_change(self):
        a, b, c = self.cluster(self.stage.servers(3), "-define", "cache:placement=sharded")
        picture(self.stage, "a.ppm", 1200, 900, 5)
        self.put("a.ppm", "dpc:n")
        fewer, other = ("-define", hosts([a])), ("-define", hosts([c, *self.stage.servers(1)]))
        for words in (fewer, other):
            self.assertSucceeds(self.stage.run(*words, "dpc:n", "out.ppm"))
            self.assertSamePixels("out.ppm", "a.ppm")
        picture(self.stage, "b.ppm", 1000, 800, 77)
        self.assertSucceeds(self.stage.run(*other, "b.ppm", "dpc:n"))
        for words in (self.words, fewer, ("-define", hosts([b]))):
            self.assertSucceeds(self.stage.run(*words, "dpc:n", "out.ppm"))
            self.assertSamePixels("out.ppm", "b.ppm")

    def test_with_replicas_a_lost_server_is_no_loss(self):
        a, b, c = self.cluster(self.stage.servers(3), "-define", "cache:placement=sharded", "-define", "cache:replicas=2")
        picture(self.stage, "a.ppm", 1200, 900, 5)
        self.put("a.ppm", "dpc:n")
        b.kill()
        self.put("dpc:n", "out.ppm")
        self.assertSamePixels("out.ppm", "a.ppm")
        self.put("dpc:n", "-negate", "dpc:n")  # two of three are a majority
        self.put("a.ppm", "-negate", "expected.ppm")
        a.kill()  # the new version was written to the two that were left, to each of them
        self.put("dpc:n", "out.ppm")
        self.assertSamePixels("out.ppm", "expected.ppm")
        refused = self.smalti("a.ppm", "dpc:n")
        self.assertNotEqual(refused.code, 0, refused)

    def test_a_second_loss_is_survived_after_repair(self):
        a, b, c = self.cluster(self.stage.servers(3), "-define", "cache:placement=sharded", "-define", "cache:replicas=2")
        picture(self.stage, "a.ppm", 1200, 900, 5)
        self.put("a.ppm", "dpc:n")
        self.assertNotIn("missing", self.listing())
        b.kill()
        self.assertRegex(self.listing(), r"  n  1200x900.* of its copies missing \(-repair-cache 'n' makes them anew\)")
        self.assertRegex(self.put("-repair-cache", "n").out, r"n: [1-9]\d* tiles were copied")
        self.assertNotIn("missing", self.listing())
        self.assertRegex(self.put("-repair-cache", "dpc:n").out, r"n: 0 tiles were copied")
        a.kill()
        self.put("dpc:n", "out.ppm")
        self.assertSamePixels("out.ppm", "a.ppm")
        self.assertFailsWith(self.smalti("-repair-cache", "n"), r"`dpc:n': \d+ of its tiles have fewer than 2 copies")
        self.assertFailsWith(self.smalti("-repair-cache", "none"), "`dpc:none. was not found")

    def test_a_reader_makes_the_copies_anew(self):
        a, b, c = self.cluster(self.stage.servers(3), "-define", "cache:placement=sharded", "-define", "cache:replicas=2")
        picture(self.stage, "a.ppm", 1200, 900, 5)
        self.put("a.ppm", "dpc:n")
        reader = self.stage.start(*self.words, "-verbose", "dpc:n", "ppm:-")  # nobody reads its output yet, so it goes on reading
        b.kill()
        said = []
        for line in reader.stderr:
            said.append(line)
            if "its servers know where its copies are now" in line:
                break
        self.assertIn("its servers know where its copies are now", said[-1] if said else "", "".join(said))
        a.kill()
        self.put("dpc:n", "out.ppm")
        self.assertSamePixels("out.ppm", "a.ppm")
        reader.kill()

    def test_a_damaged_copy_is_written_back(self):
        keeping = [("-define", f"cache:persist={self.stage.path(f'kept-{n}')}") for n in range(2)]
        servers = self.cluster([self.stage.serve(*words, port=f"127.0.0.1:{free_port()}") for words in keeping], "-define", "cache:replicas=2", "-define",
                               "cache:placement=sharded")
        picture(self.stage, "a.ppm", 1200, 900, 5)
        self.put("a.ppm", "dpc:n")
        servers[1].stop()
        largest = max((p for p in pathlib.Path(self.stage.path("kept-1")).rglob("*.tiles")), key=lambda p: p.stat().st_size)
        data = bytearray(largest.read_bytes())
        for at in range(len(data) // 10, len(data), 20000):
            data[at] ^= 0x55
        largest.write_bytes(data)
        servers[1] = self.stage.serve(*keeping[1], port=servers[1].address, state=servers[1].state)
        for expected in (1, 0):
            read = self.put("-verbose", "dpc:n", "out.ppm")
            self.assertSamePixels("out.ppm", "a.ppm")
            self.assertEqual(min(count(read.err, "repaired.tiles"), 1), expected, read)

    def test_more_replicas_than_servers_are_wished(self):
        self.cluster(self.stage.servers(2), "-define", "cache:replicas=5")
        picture(self.stage, "a.ppm", 500, 300, 5)
        self.put("a.ppm", "dpc:a")
        self.assertRegex(self.listing(), r"  a  500x300x3 8-bit, whole on 2 servers, 5 copies, .* of its copies missing")

    def test_the_quota(self):
        self.cluster(self.stage.servers(1, "-define", "cache:quota=1MiB"))
        picture(self.stage, "a.ppm", 500, 500, 5)  # 732 KiB
        self.put("a.ppm", "dpc:a")
        refused = self.smalti("a.ppm", "dpc:b")
        self.assertFailsWith(refused, r"quota of named images exceeded: quota 1MiB, used \d", "needed", "cache:quota")
        self.assertRegex(self.listing(), r"\(73[0-9.]*KiB of 1MiB quota\)")
        self.put("-delete-cache", "dpc:a")
        self.put("a.ppm", "dpc:b")

    def test_a_restarted_server_serves_what_it_kept(self):
        folder, port = self.stage.path("kept"), f"127.0.0.1:{20000 + hash(self.stage.path('')) % 9000}"
        keeping = ("-define", f"cache:persist={folder}", "-limit", "disk", "1GiB")
        server = self.stage.serve(*keeping, port=port)
        self.cluster([server])
        picture(self.stage, "a.ppm", 900, 700, 5)
        self.put("a.ppm", "dpc:a")
        ids = []
        for number in (signal.SIGKILL, signal.SIGTERM):
            ids += re.findall(r"  id ([0-9a-f]{16})", self.listing())
            server.signal(number)
            server.process.wait(60)
            server = self.stage.serve(*keeping, port=port)
            self.put("dpc:a", "out.ppm")
            self.assertSamePixels("out.ppm", "a.ppm")
        self.assertEqual(len(set(ids)), 1)
        self.assertRegex(self.listing(), "kept through restarts")
        # Damage is told, and is never pixels.
        server.stop()
        largest = max((p for p in pathlib.Path(folder).rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        data = bytearray(largest.read_bytes())
        for at in range(len(data) // 4, len(data), len(data) // 8):
            data[at] ^= 0x55
        largest.write_bytes(data)
        server = self.stage.serve(*keeping, port=port)
        self.assertFailsWith(self.smalti("dpc:a", "bad.ppm"), r"dpc:a|image [0-9a-f]{32}", output="bad.ppm")
        self.put("-delete-cache", "a")
        self.put("a.ppm", "dpc:a")
        self.put("dpc:a", "out.ppm")
        self.assertSamePixels("out.ppm", "a.ppm")


if __name__ == "__main__":
    unittest.main()

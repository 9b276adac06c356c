"""Bad input gets a clear error and loses nothing: no output, no temporary file, no tile left behind."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import unittest

from stage import NOTHING_HERE, PATIENCE, StageCase, hosts, photograph, until


class Servers(StageCase):
    def job(self, servers, *words, limits=NOTHING_HERE, **more):
        where = servers if isinstance(servers, str) else hosts(servers)
        return self.stage.run(*limits, "-define", where, photograph(), "-negate", *words, "out.png", **more)

    def test_no_host_answers(self):
        run = self.job("registry:cache:hosts=127.0.0.1:9")
        self.assertFailsWith(run, r"127\.0\.0\.1:9", "refused", output="out.png")

    def test_a_host_that_accepts_and_never_speaks(self):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            address = "127.0.0.1:%d" % mute.getsockname()[1]
            run = self.job("registry:cache:hosts=" + address)
        self.assertFailsWith(run, address, output="out.png")

    def test_a_host_that_speaks_something_else(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = "127.0.0.1:%d" % other.getsockname()[1]

            def answer():
                while True:
                    try:
                        peer, _ = other.accept()
                    except OSError:
                        return
                    with peer:
                        peer.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" * 100)

            thread = threading.Thread(target=answer)
            thread.start()
            run = self.job("registry:cache:hosts=" + address)
            other.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
        self.assertFailsWith(run, address, output="out.png")

    def test_a_host_that_does_not_exist(self):
        run = self.job("registry:cache:hosts=nowhere.invalid")
        self.assertFailsWith(run, "nowhere.invalid:6668", output="out.png")

    def test_a_wrong_passphrase(self):
        servers = self.stage.servers(1)
        self.stage.policy("other", "another passphrase")
        run = self.job(servers, policy="other")
        self.assertFailsWith(run, "authentication failed", servers[0].address, output="out.png")
        self.assertNotIn("another passphrase", run.err + servers[0].text)

    def test_a_client_without_a_secret(self):
        servers = self.stage.servers(1)
        self.stage.policy("none", "")
        self.assertFailsWith(self.job(servers, policy="none"), "shared-secret", output="out.png")

    def test_a_server_without_a_secret_refuses_to_start(self):
        self.stage.policy("none", "")
        run = self.stage.run("-distribute-cache", "127.0.0.1:0", policy="none")
        self.assertFailsWith(run, "shared-secret", "policy.xml")

    def test_another_quantum_depth_and_hdri_are_named_with_both_values(self):
        server = self.stage.serve("-define", "quantum:depth=8")
        run = self.job([server])
        self.assertFailsWith(run, "quantum depth", "16", "8", server.address, output="out.png")

    def test_a_server_that_dies_in_the_middle(self):
        servers = self.stage.servers(2)
        process = self.stage.start(*NOTHING_HERE, "-define", hosts(servers), "-debug", "cache", photograph(), "-sharpen",
                                   "5x2", "out.png")
        line = process.stderr.readline()  # the cache is open: every tile is out
        self.assertIn("open ", line)
        servers[1].kill()
        _, err = process.communicate(timeout=120)
        self.assertNotEqual(process.returncode, 0, err)
        self.assertIn(servers[1].address, err)
        self.assertFalse(pathlib.Path(self.stage.path("out.png")).exists())

    def test_a_server_that_restarts_in_the_middle(self):
        """Its tiles are gone, which is an error and never blank pixels."""
        servers = self.stage.servers(2)
        process = self.stage.start(*NOTHING_HERE, "-define", hosts(servers), "-debug", "cache", photograph(), "-blur",
                                   "0x20", "out.png")
        self.assertIn("open ", process.stderr.readline())
        process.send_signal(signal.SIGSTOP)
        servers[1].kill()
        again = self.stage.serve(port=servers[1].address)
        self.assertEqual(again.address, servers[1].address)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=PATIENCE)
        self.assertNotEqual(process.returncode, 0, err)
        self.assertIn(servers[1].address, err)
        self.assertFalse(pathlib.Path(self.stage.path("out.png")).exists())

    def test_a_full_server_hands_on_to_the_next_then_the_error(self):
        small = self.stage.serve("-limit", "memory", "1MiB", "-limit", "disk", "1MiB")
        large = self.stage.serve()
        self.assertSucceeds(self.job([small, large]))
        pathlib.Path(self.stage.path("out.png")).unlink()
        run = self.job([small])
        self.assertFailsWith(run, "cache resources exhausted", small.address, output="out.png")

    def test_garbage_ends_only_its_own_connection(self):
        server = self.stage.serve()
        host, port = server.address.rsplit(":", 1)
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(70000), os.urandom(5000), b"\x16"):
            with socket.create_connection((host, int(port)), 10) as peer:
                peer.settimeout(60)
                try:
                    peer.sendall(garbage)
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(65536):
                        pass
                except OSError:
                    pass
        self.assertSucceeds(self.job([server]))

    def test_a_peer_that_never_speaks_is_closed(self):
        server = self.stage.serve()
        host, port = server.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 10) as peer:
            peer.settimeout(60)
            while peer.recv(4096):  # the greeting, then the end
                pass
        self.assertSucceeds(self.job([server]))

    def test_a_port_in_use(self):
        server = self.stage.serve()
        run = self.stage.run("-distribute-cache", server.address)
        self.assertFailsWith(run, server.address, "in use")

    def test_sigterm_drains_and_exits_zero(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.stage.serve()
            server.signal(number)
            self.assertEqual(server.process.wait(60), 0, server.text)

    def test_a_stray_imagemagick_client_is_told_no_in_the_log(self):
        server = self.stage.serve("-define", "cache:magick=none")
        host, port = server.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 10) as peer:
            peer.sendall(b"o" + bytes(1080))
            peer.settimeout(60)
            try:
                while peer.recv(4096):
                    pass
            except OSError:
                pass
        until(lambda: "ImageMagick" in server.text, "a log line that names ImageMagick")


class Limits(StageCase):
    def test_exhausted_names_resource_limit_and_cure(self):
        run = self.stage.run(*NOTHING_HERE, photograph(), "-negate", "out.png")
        self.assertFailsWith(run, "cache resources exhausted", "disk", "-limit disk", output="out.png")

    def test_width_height_and_list_length(self):
        for limit, value in (("width", "1000"), ("height", "1000")):
            run = self.stage.run("-limit", limit, value, photograph(), "-negate", "out.png")
            self.assertFailsWith(run, limit, value, output="out.png")
        run = self.stage.run("-limit", "list-length", "2", *[photograph()] * 3, "-negate", "out.png")
        self.assertFailsWith(run, "list-length", output="out.png")

    def test_time(self):
        run = self.stage.run("-limit", "time", "1", *[photograph()] * 8, "-blur", "0x20", "-blur", "0x20", "out-%d.png")
        self.assertFailsWith(run, "time limit exceeded")

    def test_policy_is_a_ceiling_that_options_cannot_raise(self):
        self.stage.policy("low", "passphrase", '<policy domain="resource" name="width" value="1KP"/>\n')
        run = self.stage.run("-limit", "width", "1MP", photograph(), "-negate", "out.png", policy="low")
        self.assertFailsWith(run, "width", output="out.png")

    def test_a_malformed_policy_names_file_and_line(self):
        folder = self.stage.policy("broken", "x")
        (folder / "policy.xml").write_text("<policymap>\n<policy domain='cache'\n</policymap>\n")
        run = self.stage.run(photograph(), "-negate", "out.png", policy="broken")
        self.assertFailsWith(run, r"policy\.xml", r":[23]\b|line [23]", output="out.png")

    def test_stealth_hides_the_secret(self):
        run = self.stage.run("-list", "policy")
        self.assertSucceeds(run)
        self.assertNotIn("passphrase", run.out)


class Pictures(StageCase):
    def test_a_truncated_picture(self):
        whole = photograph().read_bytes()
        pathlib.Path(self.stage.path("cut.jpg")).write_bytes(whole[:len(whole) // 2])
        run = self.stage.run("cut.jpg", "-negate", "out.png")
        self.assertFailsWith(run, "cut.jpg", output="out.png")
        run = self.stage.run("-define", "input:salvage=true", "cut.jpg", "-negate", "out.png")
        self.assertSucceeds(run)

    def test_a_truncated_picture_of_every_format(self):
        for suffix in ("png", "tif", "webp", "ppm"):
            whole = pathlib.Path(self.stage.path("whole." + suffix))
            subprocess.run(["vips", "copy", photograph(), whole], check=True, capture_output=True)
            cut = pathlib.Path(self.stage.path("cut." + suffix))
            cut.write_bytes(whole.read_bytes()[:whole.stat().st_size * 2 // 3])
            run = self.stage.run(cut.name, "-negate", "out.png")
            self.assertFailsWith(run, re.escape(cut.name), output="out.png")

    def test_not_a_picture(self):
        pathlib.Path(self.stage.path("words.png")).write_text("these are words")
        self.assertFailsWith(self.stage.run("words.png", "out.png"), "words.png", output="out.png")
        pathlib.Path(self.stage.path("empty.png")).write_bytes(b"")
        self.assertFailsWith(self.stage.run("empty.png", "out.png"), "empty.png", output="out.png")
        self.assertFailsWith(self.stage.run("missing.png", "out.png"), "missing.png", output="out.png")

    def test_an_unknown_output_format(self):
        self.assertFailsWith(self.stage.run(photograph(), "out.xyzzy"), "xyzzy", output="out.xyzzy")

    def test_an_absurd_size_allocates_nothing(self):
        import struct
        import zlib

        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        header = struct.pack(">IIBBBBB", 2**30, 2**30, 16, 6, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
        pathlib.Path(self.stage.path("absurd.png")).write_bytes(data)
        self.assertFailsWith(self.stage.run("absurd.png", "-negate", "out.png"), "absurd.png|exhausted", output="out.png")

    def test_a_decoder_that_holds_the_image_is_refused_by_name(self):
        subprocess.run(["vips", "copy", photograph(), self.stage.path("all.webp")], check=True, capture_output=True)
        run = self.stage.run("-limit", "memory", "4MiB", "all.webp", "-negate", "out.png")
        self.assertFailsWith(run, "all.webp", "memory", output="out.png")

    def test_a_pyramid_that_memory_does_not_hold_is_refused(self):
        run = self.stage.run("-limit", "memory", "4MiB", photograph(), "ptif:out.tif")
        self.assertFailsWith(run, "out.tif", "memory limit", output="out.tif")

    def test_an_unwritable_output(self):
        self.assertFailsWith(self.stage.run(photograph(), "-negate", "nowhere/out.png"), "nowhere")

    def mounted(self, name, options):
        """A small file system of its own in the stage's folder."""
        if os.geteuid() != 0:
            self.skipTest("mounting a small file system needs root")
        small = pathlib.Path(self.stage.path(name))
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", small], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", small], check=True)
        return small

    def test_an_output_on_a_read_only_file_system(self):
        self.mounted("fixed", "size=1m,ro")
        self.assertFailsWith(self.stage.run(photograph(), "-negate", "fixed/out.png"), "fixed", "[Rr]ead-only")

    def test_a_full_temporary_path(self):
        small = self.mounted("tight", "size=4m")
        for tier in ("map", "disk"):
            run = self.stage.run("-limit", "memory", "1KiB", "-limit", "map", "0", "-limit", "disk", "0", "-limit", tier,
                                 "1GiB", "-define", f"registry:temporary-path={small}", photograph(), "-negate",
                                 "out.png")
            self.assertFailsWith(run, "space|exhausted", output="out.png")
            self.assertEqual(list(small.iterdir()), [])

    def test_a_full_disk(self):
        small = self.mounted("small", "size=1m")
        run = self.stage.run(photograph(), "-negate", "small/out.png")
        self.assertFailsWith(run, r"out\.png", "space")
        self.assertEqual(list(small.iterdir()), [])

    def test_interrupting_stops_at_once_and_leaves_nothing(self):
        servers = self.stage.servers(1)
        process = self.stage.start(*NOTHING_HERE, "-define", hosts(servers), "-debug", "cache", photograph(), "-blur",
                                   "0x30", "-blur", "0x30", "-blur", "0x30", "out.png")
        self.assertIn("open ", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        left = [p.name for p in self.stage.folder.iterdir() if "out" in p.name and "png" in p.name]
        self.assertEqual(left, [])

    def test_a_killed_client_leaves_no_temporary_files(self):
        process = self.stage.start("-limit", "memory", "1KiB", "-limit", "map", "16MiB", "-debug", "cache", photograph(),
                                   "-blur", "0x30", "-blur", "0x30", "null:")
        self.assertIn("open ", process.stderr.readline())
        process.kill()
        process.wait(60)
        self.assertEqual(list(self.stage.temporary.iterdir()), [])


class CommandLine(StageCase):
    def test_an_unknown_option_names_the_nearest(self):
        self.assertFailsWith(self.stage.run(photograph(), "-sharpn", "5x2", "out.png"), "-sharpn", "-sharpen",
                             output="out.png")

    def test_a_bad_argument(self):
        self.assertFailsWith(self.stage.run(photograph(), "-sharpen", "soft", "out.png"), "sharpen", "soft",
                             output="out.png")


if __name__ == "__main__":
    unittest.main()

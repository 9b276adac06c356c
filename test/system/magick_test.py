"""Debian 12's own ImageMagick, unmodified, at our server; and our client's side at ImageMagick's server."""
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import time
import unittest

import magick_client
from magick_client import NOTHING_HERE, Client, hosts
from stage import PATIENCE, SMALTI, StageCase, until

CONVERT = "/usr/bin/convert"
PEER = os.environ.get("SMALTI_MAGICK_PEER", "build/release/magick_peer")


def is_imagemagick(program):
    try:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60).stdout
    except OSError:
        return False
    return "ImageMagick 6" in said


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@unittest.skipUnless(is_imagemagick(CONVERT), "needs Debian's imagemagick")
class MagickCase(StageCase):
    def setUp(self):
        super().setUp()
        self.client = Client(CONVERT)
        self.addCleanup(self.client.close)

    def advice(self):
        """The server's and the client's command lines, as the probe prints them."""
        run = self.assertSucceeds(self.stage.run("-probe-client", CONVERT))
        lines = [line.strip() for line in run.out.splitlines() if line.startswith("  ")]
        self.assertEqual(len(lines), 2, run)
        return lines[0].split()[1:], lines[1].split()[1:], run.out

    def serve_as_advised(self, *more):
        """Starts the server with the advised words; the ports alone are exchanged for free ones."""
        server_words, client_words, _ = self.advice()
        at = server_words.index("-distribute-cache")
        ports = server_words[at + 1].split(",")
        wanted = re.search(r"cache:hosts=127\.0\.0\.1:(\d+)", " ".join(client_words))[1]
        other = {port: str(free_port()) for port in ports}
        words = [*server_words[:at], *server_words[at + 2:], *more]
        server = self.stage.serve(*words, port=",".join(f"127.0.0.1:{other[p]}" for p in ports))
        return server, f"127.0.0.1:{other[wanted]}"


class Probe(MagickCase):
    def test_finds_the_handshake_and_the_samples(self):
        text = self.advice()[2]
        self.assertRegex(text, r"handshake n8, with samples of 16 bits\.")

    def test_the_two_command_lines_work_as_they_are_printed(self):
        """In a network of their own, where the usual ports are free. The policy keeps the client's pixels out of it."""
        apart = ["unshare", "--map-root-user", "--net"]
        if subprocess.run([*apart, "ip", "link", "set", "lo", "up"], capture_output=True).returncode != 0:
            self.skipTest("needs leave to make a network namespace, and ip")
        _, _, text = self.advice()
        serving, asking = [line.strip() for line in text.splitlines() if line.startswith("  ")]
        nothing = "".join(f'<policy domain="resource" name="{name}" value="1KiB"/>\n' for name in ("memory", "map", "disk"))
        policy = self.stage.policy("client", "passphrase", nothing)
        self.client.prepare()
        self.client.must("rgb.png", "-negate", "here.miff")
        asking = asking.replace("INPUT ... OUTPUT", f"-debug cache {self.client.outside}/rgb.png -negate "
                                                    f"{self.client.outside}/there.miff")
        (self.stage.folder / "smalti").symlink_to(SMALTI)
        script = f"""ip link set lo up; : >ready
            PATH=$PWD:$PATH {serving} >ready 2>server.log & server=$!
            for wait in $(seq 1000); do [ "$(wc -l <ready)" = 2 ] && break; sleep 0.05; done
            MAGICK_CONFIGURE_PATH={policy} {asking}; code=$?
            kill $server; wait $server; exit $code"""
        run = self.assertSucceeds(self.stage.run(*apart[1:], "sh", "-c", script, program=apart[0]))
        self.assertIn("Distributed", run.out + run.err)
        magick_client.expect_same(self, self.client)

    def test_quotes_what_is_no_client(self):
        run = self.stage.run("-probe-client", "/bin/ls")
        self.assertFailsWith(run, "/bin/ls", "did not come to a pixel server")
        run = self.stage.run("-probe-client", "/no/such/program")
        self.assertFailsWith(run, "/no/such/program")


class RealClient(MagickCase):
    def test_every_operation_gives_the_clients_own_result(self):
        server, address = self.serve_as_advised()
        magick_client.compare(self, self.client, address)
        self.assertNotIn("is closed", server.text)

    def test_pixels_do_go_to_the_server(self):
        _, address = self.serve_as_advised()
        said = self.client.must("-debug", "cache", *NOTHING_HERE, *hosts(address), "rose:", "-negate", "out.png")[1]
        self.assertIn("Distributed", said)

    def test_an_image_may_idle_while_others_are_worked_on(self):
        """The second input comes after seven seconds: ImageMagick's newer servers hang up after five."""
        _, address = self.serve_as_advised()
        self.client.prepare()
        second = (self.client.outside / "gray.png").read_bytes()
        self.client.must("rgb.png", "gray.png", "-append", "here.miff")
        process = self.client.start(*NOTHING_HERE, *hosts(address), "rgb.png", "png:-", "-append", "there.miff",
                                    stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(7)
        _, err = process.communicate(second, PATIENCE)
        self.assertEqual(process.returncode, 0, err)
        magick_client.expect_same(self, self.client)

    def test_a_wrong_passphrase_is_refused_and_logged(self):
        server, address = self.serve_as_advised()
        stranger = Client(CONVERT, secret="another")
        self.addCleanup(stranger.close)
        code, _, err = stranger.run(*NOTHING_HERE, *hosts(address), "rose:", "out.png")
        self.assertNotEqual(code, 0)
        self.assertIn("cache resources exhausted", err)
        until(lambda: "wrong passphrase" in server.text, "the log to say why")

    def test_the_first_port_says_which_port_it_needs(self):
        server = self.stage.serve()  # n16: not Debian 12's
        code, _, _ = self.client.run(*NOTHING_HERE, *hosts(server.address), "rose:", "out.png")
        self.assertNotEqual(code, 0)
        until(lambda: "handshake n8" in server.text, "the log to name the handshake")

    def test_through_a_gateway_to_two_servers(self):
        """The gateway's own tiers hold next to nothing: pixels go on, encrypted, to both."""
        behind = self.stage.servers(2)
        server, address = self.serve_as_advised("-limit", "memory", "1MiB", "-limit", "map", "0", "-limit", "disk", "0",
                                                "-define", "cache:placement=sharded", "-define",
                                                "registry:cache:hosts=" + ",".join(s.address for s in behind))
        self.client.prepare()
        magick_client.compare_larger(self, self.client, address)
        self.assertNotIn("is closed", server.text)

    def test_a_server_out_of_room_refuses_when_the_image_is_opened(self):
        server, address = self.serve_as_advised("-limit", "memory", "1MiB", "-limit", "map", "0", "-limit", "disk", "0")
        code, _, err = self.client.run(*NOTHING_HERE, *hosts(address), "-size", "700x500", "xc:red", "-negate", "out.png")
        self.assertNotEqual(code, 0)
        self.assertIn("cache resources exhausted", err)
        until(lambda: "cache resources exhausted" in server.text, "the log to say why")


class OldHandshakes(MagickCase):
    def test_their_ports_are_for_this_host_and_say_so(self):
        server = self.stage.serve("-define", "cache:magick=s", port="0")
        self.assertTrue(server.address.startswith("127.0.0.1:"), server.address)
        self.assertRegex(server.text, "cannot prove anything")

    def test_an_address_outside_the_list_is_not_even_greeted(self):
        server = self.stage.serve("-define", "cache:magick=s", "-define", "cache:allow=10.77.0.0/16")
        host, port = server.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), PATIENCE) as peer:
            peer.settimeout(PATIENCE)
            peer.sendall(b"o" + bytes(40))
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(peer.recv(100), b"")
        until(lambda: "cache:allow" in server.text, "the log to name cache:allow")


@unittest.skipUnless(pathlib.Path(PEER).exists(), "needs magick_peer")
class OurClientsSide(MagickCase):
    def heard_from(self, dialect, port):
        done = subprocess.run([PEER, dialect, "passphrase", str(port)], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        return done.stdout

    def test_gets_the_same_bytes_from_imagemagicks_server_and_from_ours(self):
        port = free_port()
        process = self.client.start("-distribute-cache", str(port))
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.kill)

        def listens():
            with socket.socket() as one:
                return one.connect_ex(("127.0.0.1", port)) == 0

        until(listens, "ImageMagick's server")
        theirs = self.heard_from("n8", port)
        ours = self.stage.serve("-define", "cache:magick=n8")
        self.assertEqual(theirs, self.heard_from("n8", ours.address.rsplit(":", 1)[1]))


if __name__ == "__main__":
    unittest.main()

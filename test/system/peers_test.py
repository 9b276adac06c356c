"""ImageMagick 7 of a newer Debian release, unmodified, at our server: whichever handshakes its versions there speak, Q16 and
Q16-HDRI; and our client's side at its servers. tools/peers.sh makes the root folders, once."""
import os
import pathlib
import subprocess
import unittest

import magick_client
from magick_client import Client
from magick_test import PEER, free_port
from stage import PATIENCE, StageCase, until

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
PROGRAMS = ("magick-im7.q16", "magick-im7.q16hdri")
# From this package on the newest handshake is spoken. Security updates move into the release by and by, so that which root folder
# has which is not known beforehand.
FIRST_OF_N16 = "8:7.1.1.43+dfsg1-1+deb13u13"


def version_in(root):
    return subprocess.run(["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f", "${Version}", "imagemagick-7.q16"],
                          capture_output=True, text=True, check=True).stdout


def speaks_n16(version):
    return subprocess.run(["dpkg", "--compare-versions", version, "ge", FIRST_OF_N16]).returncode == 0


def peers(roots):
    """Root folder, program, handshake; each version once."""
    versions = {version_in(roots / folder): roots / folder for folder in ("security", "release")}
    for version, root in versions.items():
        for program in PROGRAMS:
            yield root, program, "n16" if speaks_n16(version) else "s" + (":hdri" if "hdri" in program else "")


def setUpModule():
    global ROOTS
    made = subprocess.run(["sh", str(TOOLS / "peers.sh")], stdout=subprocess.PIPE, text=True)
    if made.returncode != 0:
        raise unittest.SkipTest("the newer release is not there, and making it needs root and the network")
    ROOTS = pathlib.Path(made.stdout.strip())
    if os.getuid() != 0:
        raise unittest.SkipTest("programs in another root need root")


class Peers(StageCase):
    def each(self):
        for root, program, dialect in peers(ROOTS):
            client = Client(f"/usr/bin/{program}", root=str(root), seven=True)
            self.addCleanup(client.close)
            yield client, dialect

    def probe(self, client):
        """The probe runs the client in its root through a little script."""
        script = self.stage.folder / "client"
        inside = pathlib.Path(client.root) / "tmp"
        script.write_text(f"""#!/bin/sh
# What the probe left in the environment is all the client needs; its policy is outside the root, so it is copied.
cp "$MAGICK_CONFIGURE_PATH/policy.xml" {client.outside}/policy.xml
exec chroot {client.root} /usr/bin/env MAGICK_CONFIGURE_PATH={client.folder} {client.program} "$@"
""")
        script.chmod(0o755)
        self.assertTrue(inside.is_dir())
        kept = (client.outside / "policy.xml").read_bytes()
        run = self.assertSucceeds(self.stage.run("-probe-client", script))
        (client.outside / "policy.xml").write_bytes(kept)
        return run.out

    def test_every_operation_gives_the_clients_own_result(self):
        for client, dialect in self.each():
            with self.subTest(root=client.root, program=client.program):
                server = self.stage.serve("-define", f"cache:magick={dialect}")
                magick_client.compare(self, client, server.address)
                if "hdri" not in client.program:
                    magick_client.compare_larger(self, client, server.address)
                self.assertNotIn("is closed", server.text)

    def test_the_probe_tells_them_apart(self):
        for client, dialect in self.each():
            with self.subTest(root=client.root, program=client.program):
                text = self.probe(client)
                bits = "32 bits, floating point" if "hdri" in client.program else "16 bits"
                self.assertRegex(text, rf"handshake {dialect}, with samples of {bits}\.")

    def test_our_clients_side_gets_the_same_bytes_from_their_servers_and_ours(self):
        for client, dialect in self.each():
            if dialect == "n16" and "hdri" in client.program:
                continue  # the wire does not tell the sample size, and our side sends the other
            with self.subTest(root=client.root, program=client.program):
                port = free_port()
                process = client.start("-distribute-cache", str(port))
                self.addCleanup(process.wait, PATIENCE)
                self.addCleanup(process.kill)
                heard = []

                def answered(port=port, dialect=dialect, heard=heard):
                    done = subprocess.run([PEER, dialect, "passphrase", str(port)], capture_output=True, text=True,
                                          timeout=PATIENCE)
                    heard[:] = [done.stdout]
                    return done.returncode == 0

                until(answered, "ImageMagick's server to serve our client's side")
                ours = self.stage.serve("-define", f"cache:magick={dialect}")
                done = subprocess.run([PEER, dialect, "passphrase", ours.address.rsplit(":", 1)[1]], capture_output=True,
                                      text=True, timeout=PATIENCE)
                self.assertEqual(done.stdout, heard[0])


if __name__ == "__main__":
    unittest.main()

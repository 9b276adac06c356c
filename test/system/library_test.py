"""The library as others use it: installed, found by a CMake project of their own, and run over servers."""
import os
import pathlib
import shutil
import subprocess
import unittest

from stage import StageCase

BUILD = os.environ.get("SMALTI_BUILD", "")
EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
LONG = 1200  # seconds; a compiler on a busy machine
# Two columns and two rows outside of the first tile, whose level is 1.
CORNER = "0 0 0 0 0 0 \n" * 2 + "0 0 1 1 1 1 \n" * 2


@unittest.skipUnless(BUILD and shutil.which("cmake"), "SMALTI_BUILD names no build to install from")
class Library(StageCase):
    def command(self, *words):
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=LONG, cwd=self.stage.folder)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_an_installed_library_serves_a_project_of_ones_own(self):
        prefix = self.stage.folder / "prefix"
        self.command("cmake", "--install", BUILD, "--prefix", prefix)
        self.command("cmake", "-S", EXAMPLES, "-B", "build", f"-DCMAKE_PREFIX_PATH={prefix}")
        self.command("cmake", "--build", "build")
        window = self.stage.folder / "build" / "window"

        alone = self.stage.run(program=window)
        self.assertEqual((alone.code, alone.out), (0, CORNER), alone)

        hosts = ",".join(server.address for server in self.stage.servers(2))
        over_servers = self.stage.run(hosts, program=window)
        self.assertEqual((over_servers.code, over_servers.out), (0, CORNER), over_servers)

        nobody = self.stage.run("127.0.0.1:1", program=window)
        self.assertEqual(nobody.code, 1, nobody)
        self.assertIn("127.0.0.1:1", nobody.err)
        wrong = self.stage.run("127.0.0.1:port", program=window)
        self.assertEqual(wrong.code, 1, wrong)
        self.assertIn("cache:hosts", wrong.err)

        program = self.stage.run("-version", program=prefix / "bin" / "smalti")
        self.assertIn("Smalti", program.out)


if __name__ == "__main__":
    unittest.main()

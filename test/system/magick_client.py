"""Real clients of ImageMagick's, on this system or in a root folder of a newer one, and what they are put through."""
import pathlib
import struct
import subprocess
import tempfile

PATIENCE = 300
POLICY = """<policymap>
  <policy domain="cache" name="shared-secret" value="{secret}" stealth="true"/>
</policymap>
"""
# Limits under which nothing can rest in the client: every image's pixels go to the server.
NOTHING_HERE = ("-limit", "memory", "1KiB", "-limit", "map", "1KiB", "-limit", "disk", "1KiB")


def tiff_with_extra_samples(path, width=6, height=4):
    """RGB and two samples of no stated meaning, 8 bit."""
    pixels = bytes((x * 37 + y * 11 + c * 59) % 256 for y in range(height) for x in range(width) for c in range(5))
    entries = [(256, 3, width), (257, 3, height), (258, 3, None), (259, 3, 1), (262, 3, 2), (273, 4, None), (277, 3, 5),
               (278, 3, height), (279, 4, len(pixels)), (284, 3, 1), (338, 3, 0)]
    at = 8 + 2 + 12 * len(entries) + 4
    directory = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        if tag == 258:
            directory += struct.pack("<HHII", tag, kind, 5, at)
        elif tag == 273:
            directory += struct.pack("<HHII", tag, kind, 1, at + 10)
        elif tag == 338:
            directory += struct.pack("<HHIHH", tag, kind, 2, 0, 0)
        else:
            directory += struct.pack("<HHII", tag, kind, 1, value)
    data = struct.pack("<2sHI", b"II", 42, 8) + directory + struct.pack("<I", 0) + struct.pack("<5H", *[8] * 5) + pixels
    pathlib.Path(path).write_bytes(data)


class Client:
    """A program and a folder of its own. With `root` both are inside that root folder."""

    def __init__(self, program, root=None, seven=False, secret="passphrase"):
        self.program, self.root, self.seven = program, root, seven
        inside = pathlib.Path(root or "/") / "tmp"
        self.scratch = tempfile.TemporaryDirectory(prefix="smalti-magick-", dir=inside)
        self.outside = pathlib.Path(self.scratch.name)
        self.folder = "/" + str(self.outside.relative_to(root)) if root else str(self.outside)
        (self.outside / "policy.xml").write_text(POLICY.format(secret=secret))

    def close(self):
        self.scratch.cleanup()

    def command(self, *words):
        kept = [f"HOME={self.folder}", f"MAGICK_CONFIGURE_PATH={self.folder}", "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"]
        chroot = ["chroot", self.root] if self.root else []
        return [*chroot, "/usr/bin/env", "-i", "-C", self.folder, *kept, self.program, *map(str, words)]

    def run(self, *words, feed=None, **more):
        done = subprocess.run(self.command(*words), capture_output=True, timeout=PATIENCE, input=feed, **more)
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def must(self, *words, **more):
        code, out, err = self.run(*words, **more)
        if code != 0:
            raise AssertionError(f"{self.program} {' '.join(map(str, words))}: exit {code}\n{out}\n{err}")
        return out, err

    def start(self, *words, **more):
        return subprocess.Popen(self.command(*words), **more)

    def describe(self, name):
        """Size and a hash over the pixels, of each image of a file."""
        program, words = self.sibling("identify")
        return program.must(*words, "-format", "%wx%h %[colorspace] %A %#\n", name)[0]

    def sibling(self, name):
        """compare, identify and montage: words of the program in 7, programs of their own in 6."""
        if self.seven:
            return self, [name]
        other = Client.__new__(Client)
        other.__dict__.update(self.__dict__, program=f"/usr/bin/{name}")
        return other, []

    def pixels_that_differ(self, one, other):
        """Of all images of two files, by the client's own metric AE."""
        program, words = self.sibling("compare")
        total = 0
        for scene in range(len(self.describe(one).splitlines())):
            code, _, err = program.run(*words, "-metric", "AE", f"{one}[{scene}]", f"{other}[{scene}]", "null:")
            if code not in (0, 1):
                raise AssertionError(f"compare: exit {code}\n{err}")
            total += float(err.split()[0])
        return total

    def prepare(self):
        """Pictures of every kind, made by the client itself and in its own memory."""
        make = self.must
        make("-seed", 7, "-size", "61x43", "plasma:fractal", "-depth", 8, "rgb.png")
        make("-seed", 9, "-size", "61x43", "plasma:fractal", "-depth", 16, "deep.png")
        make("rgb.png", "(", "-size", "61x43", "gradient:", ")", "-alpha", "off", "-compose", "CopyOpacity", "-composite",
             "alpha.png")
        make("rgb.png", "-colorspace", "Gray", "-depth", 8, "gray.png")
        make("rgb.png", "-colors", 16, "-type", "Palette", "palette.png")
        make("rgb.png", "-colorspace", "CMYK", "cmyk.tif")
        make("-size", "61x43", "xc:white", "-fill", "black", "-draw", "circle 30,20 30,5", "mask.png")
        make("-delay", 10, "rose:", "(", "rose:", "-roll", "+9+5", ")", "(", "rose:", "-crop", "20x20+10+10", ")", "-loop", 0,
             "moving.gif")
        tiff_with_extra_samples(self.outside / "extra.tif")

    def operations(self):
        """Name to words between program and output."""
        masked = ["-write-mask", "mask.png"] if self.seven else ["-mask", "mask.png"]
        unmasked = ["+write-mask"] if self.seven else ["+mask"]
        return {
            "negate": ["rgb.png", "-negate"],
            "sharpen": ["rgb.png", "-sharpen", "0x1"],
            "blur": ["rgb.png", "-blur", "0x2"],
            "resize": ["rgb.png", "-resize", "50%"],
            "enlarge": ["rgb.png", "-resize", "170%"],
            "rotate": ["rgb.png", "-rotate", "30"],
            "right angle": ["rgb.png", "-rotate", "90"],
            "crop": ["rgb.png", "-crop", "20x17+9+5", "+repage"],
            "flip": ["rgb.png", "-flip", "-flop"],
            "distort": ["rgb.png", "-distort", "Arc", "60"],
            "composite": ["rgb.png", "alpha.png", "-gravity", "center", "-composite"],
            "clone": ["rgb.png", "(", "+clone", "-negate", ")", "-append"],
            "mask": ["rgb.png", *masked, "-negate", *unmasked],
            "masked blur": ["rgb.png", *masked, "-blur", "0x2", *unmasked],
            "gray": ["rgb.png", "-colorspace", "Gray"],
            "of gray": ["gray.png", "-negate"],
            "alpha": ["alpha.png", "-channel", "A", "-negate", "+channel"],
            "of alpha": ["alpha.png", "-blur", "0x1"],
            "cmyk": ["rgb.png", "-colorspace", "CMYK"],
            "of cmyk": ["cmyk.tif", "-negate"],
            "palette": ["rgb.png", "-colors", "8"],
            "of palette": ["palette.png", "-negate"],
            "dither": ["rgb.png", "+dither", "-remap", "palette.png"],
            "deep": ["deep.png", "-evaluate", "multiply", "0.7"],
            "extra samples": ["extra.tif", "-negate"],
            "animation": ["moving.gif", "-coalesce"],
            "many": ["rgb.png", "gray.png", "alpha.png", "palette.png", "-negate", "-append"],
        }


def hosts(address):
    return ("-define", f"registry:cache:hosts={address}")


def labels_of(client):
    """Words that let montage find a font: 7 measures labels even where there are none."""
    return ["-font", "DejaVu-Sans"] if client.seven else []


def expect_same(case, client, here="here.miff", there="there.miff"):
    case.assertEqual(client.describe(here), client.describe(there))
    case.assertEqual(client.pixels_that_differ(here, there), 0)


def compare(case, client, address):
    """Every operation, in the client's own memory and at the server, to the same pixels."""
    client.prepare()
    for name, words in client.operations().items():
        with case.subTest(client=client.program, root=client.root, operation=name):
            client.must(*words, "here.miff")
            client.must(*NOTHING_HERE, *hosts(address), *words, "there.miff")
            expect_same(case, client)
    with case.subTest(client=client.program, operation="montage"):
        program, words = client.sibling("montage")
        pictures = [*labels_of(client), "rgb.png", "gray.png", "alpha.png", "-geometry", "30x30+2+2"]
        program.must(*words, *pictures, "here.miff")
        program.must(*words, *NOTHING_HERE, *hosts(address), *pictures, "there.miff")
        expect_same(case, client)


def compare_larger(case, client, address):
    """A few operations on pictures of a megapixel and a half, whose rows and tiles are many."""
    client.must("-seed", 3, "-size", "1500x1000", "plasma:fractal", "-depth", 8, "large.png")
    tiff_with_extra_samples(client.outside / "large.tif", 1500, 1000)
    for words in (["large.png", "-negate"], ["large.png", "-sharpen", "0x1"], ["large.png", "-rotate", "90"],
                  ["large.png", "-resize", "30%"], ["large.tif", "-negate"]):
        with case.subTest(client=client.program, root=client.root, words=words):
            client.must(*words, "here.miff")
            client.must(*NOTHING_HERE, *hosts(address), *words, "there.miff")
            expect_same(case, client)
    with case.subTest(client=client.program, operation="montage"):
        program, words = client.sibling("montage")
        pictures = [*labels_of(client), "large.png", "large.png", "-geometry", "700x500+2+2"]
        program.must(*words, *pictures, "here.miff")
        program.must(*words, *NOTHING_HERE, *hosts(address), *pictures, "there.miff")
        expect_same(case, client)

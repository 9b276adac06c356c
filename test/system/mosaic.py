"""Huge JPEG pictures in seconds: a photograph repeated across and down, without encoding it again.

With a restart interval of one row of blocks, each such row of the photograph is a piece of its own that can stand
anywhere, so that the mosaic is written by copying pieces.
"""
import pathlib
import re
import struct
import subprocess

BLOCK = 16  # pixels a side of an MCU, colours halved


def blocks_of(photograph, scratch, quality):
    """The photograph as a baseline JPEG with a restart interval of one row: header up to the scan, and pieces."""
    width, height = (int(subprocess.run(["vipsheader", "-f", field, photograph], check=True, capture_output=True,
                                        text=True).stdout) for field in ("width", "height"))
    if width % BLOCK or height % BLOCK:
        raise ValueError(f"{photograph}: {width}x{height} is no multiple of {BLOCK}")
    subprocess.run(["vips", "jpegsave", photograph, scratch, "--Q", str(quality), "--subsample-mode", "on", "--strip",
                    "--restart-interval", str(width // BLOCK)], check=True)
    data = pathlib.Path(scratch).read_bytes()
    at = 2
    while data[at + 1] != 0xDA:  # to the start of the scan
        if data[at + 1] == 0xC0:
            frame = at
        at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    scan = at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    pieces = re.split(rb"\xff[\xd0-\xd7]", data[scan:-2])  # within a scan, FF is followed by 00 else
    if len(pieces) != height // BLOCK:
        raise ValueError(f"{len(pieces)} pieces of {height // BLOCK}")
    return bytearray(data[:scan]), frame, pieces, width, height


def write_mosaic(photograph, out, across, down, quality=10):
    """Writes `out`, a JPEG of `across` by `down` photographs; returns its width and height."""
    header, frame, pieces, width, height = blocks_of(photograph, f"{out}.one.jpg", quality)
    size = width * across, height * down
    header[frame + 5:frame + 9] = struct.pack(">HH", size[1], size[0])
    count = across * down * len(pieces)
    number = 0
    with open(out, "wb") as file:
        file.write(header)
        for _ in range(down):
            for piece in pieces:
                for _ in range(across):
                    number += 1
                    file.write(piece)
                    file.write(bytes((0xFF, 0xD9 if number == count else 0xD0 + (number - 1) % 8)))
    pathlib.Path(f"{out}.one.jpg").unlink()
    return size

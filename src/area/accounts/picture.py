"""Shrinks and cleans an uploaded picture in a sandboxed process (`area.kit.sandbox`)."""

import re
from io import BytesIO
from typing import Any

from PIL import Image, ImageOps

from area.kit.zygote import Unreadable

SIDE = 256  # pixels of what is kept
MOST_PIXELS = 40_000_000
MOST_OF_WEBP = 25_000_000  # its decoder holds three of each
LONGEST_SIDE = 10_000
MOST_SCANS = 100  # of a progressive JPEG, which has about ten; each goes over the whole picture
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
AVERAGED = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr")  # modes of which Pillow makes averages

# What follows 0xFF in a JPEG (ITU-T T.81, B.1.1.2) where it is no zero that stands for the 0xFF itself, and no restart.
MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
START_OF_SCAN, END_OF_IMAGE, WITHOUT_LENGTH = 0xDA, 0xD9, (0x01, 0xD8)

Image.init()  # once, before anything is forked


def decode(content: bytes) -> bytes:
    """The picture as a square WebP of `SIDE` pixels without metadata. Raises `MemoryError`, or `Unreadable` for a bad
    `format`, or too many `pixels`, a too long `side`, or too many `scans`.
    """
    try:
        return _small(content)
    except (Unreadable, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise Unreadable("pixels") from None
    except Exception:  # noqa: BLE001 - what the decoders raise at what is no picture is many things
        raise Unreadable("format") from None


def _small(content: bytes) -> bytes:
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        # known from its first bytes, before anything is unpacked
        if image.width * image.height > (MOST_OF_WEBP if image.format == "WEBP" else MOST_PIXELS):
            raise Unreadable("pixels")
        if max(image.size) > LONGEST_SIDE:
            raise Unreadable("side")
        if image.format == "JPEG" and scans(content) > MOST_SCANS:
            raise Unreadable("scans")
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        square = ImageOps.fit(
            ImageOps.exif_transpose(_reduced(image)).convert("RGBA"), (SIDE, SIDE), Image.Resampling.LANCZOS
        )
    clean = Image.new("RGBA", (SIDE, SIDE))  # has nothing of what stood beside the pixels
    clean.paste(square)
    file = BytesIO()
    clean.save(file, "WEBP", quality=85)
    return file.getvalue()


def _reduced(image: Any) -> Any:
    """A large picture at a fraction of its size, so that it is held in full only once."""
    factor = min(image.size) // (2 * SIDE)
    if factor < 2:
        return image
    if image.mode not in AVERAGED:
        return image.resize((image.width // factor, image.height // factor), Image.Resampling.NEAREST)
    small = image.reduce(factor)
    small.info = image.info
    return small


def scans(content: bytes) -> int:
    """The number of scans in a JPEG. Those inside segments, such as a thumbnail's, don't count."""
    count, place = 0, 0
    while marker := MARKER.search(content, place):
        code, place = marker[1][0], marker.end()
        if code == END_OF_IMAGE:  # some cameras put a film behind it
            break
        count += code == START_OF_SCAN
        if code not in WITHOUT_LENGTH:
            place += max(2, int.from_bytes(content[place : place + 2], "big"))
    return count

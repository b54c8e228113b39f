"""Headers of JPEGs as cameras write them, made up: Exif, XMP, and any size, with hardly a pixel behind."""

from __future__ import annotations

import io
import re
import struct
from typing import Any

from PIL import ExifTags, TiffImagePlugin
from PIL import Image as pillow

__all__ = ["header_of", "rational", "with_facts"]


def rational(above: int, below: int) -> Any:
    """A fraction as Exif holds it."""
    return TiffImagePlugin.IFDRational(above, below)


def with_facts(content: bytes, exif: dict[str, Any] | None = None, xmp: dict[str, str] | None = None) -> bytes:
    """A JPEG with an Exif block and an XMP block.

    Args:
        content: The JPEG.
        exif: Values by the names of tags, of the Exif directory.
        xmp: Values by names with their prefix, such as ``drone-dji:LRFTargetDistance``.
    """
    blocks = []
    if exif:
        whole = pillow.Exif()
        whole[ExifTags.Base.Make] = "made up"
        whole.get_ifd(ExifTags.IFD.Exif).update({ExifTags.Base[name].value: value for name, value in exif.items()})
        blocks.append(whole.tobytes())
    if xmp:
        attributes = " ".join(f'{name}="{value}"' for name, value in xmp.items())
        blocks.append(
            b"http://ns.adobe.com/xap/1.0/\0"
            + f"<x:xmpmeta><rdf:RDF><rdf:Description {attributes}/></rdf:RDF></x:xmpmeta>".encode()
        )
    segments = b"".join(struct.pack(">BBH", 0xFF, 0xE1, len(block) + 2) + block for block in blocks)
    return content[:2] + segments + content[2:]


def header_of(
    size_wh: tuple[int, int], exif: dict[str, Any] | None = None, xmp: dict[str, str] | None = None
) -> pillow.Image:
    """An opened JPEG that says it has a size; only its header can be read."""
    buffer = io.BytesIO()
    pillow.new("L", (16, 16)).save(buffer, "JPEG")
    content = with_facts(buffer.getvalue(), exif, xmp)
    frame = re.search(rb"\xff\xc0\x00\x0b\x08", content)  # the start of the frame, which states its size
    assert frame is not None
    sized = content[: frame.end()] + struct.pack(">HH", size_wh[1], size_wh[0]) + content[frame.end() + 4 :]
    return pillow.open(io.BytesIO(sized), formats=("JPEG",))

"""Pixels: the decoders, and what each leaves to be done until an image is RGB with 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import simplejpeg
from PIL import Image as pillow
from PIL import ImageOps

from crackscope.arrays import UInt8Array
from crackscope.errors import ImageError
from crackscope.files.headers import OpenedFile, one_line, open_with_pillow
from crackscope.files.tiff import Tag, directories, plane, require_whole_tiff
from crackscope.files.wholeness import require_all_scans, require_nothing_unread, require_whole_bmp, require_whole_png

__all__ = ["ALPHA", "decode_jpeg", "decode_opened", "decode_pillow", "has_clear_pixels"]

ALPHA = frozenset({1, 2, 999})
"""ExtraSamples of a TIFF's alpha channel: multiplied into the colours, not multiplied, as CorelDRAW writes it."""

# libjpeg's words for bytes that stand where none should and hurt nothing: some phones leave them.
_HARMLESS = "extraneous bytes before marker"
_STRIP_PX = 512


def decode_jpeg(content: bytes) -> UInt8Array:
    """Pixels as they lie in the file. libjpeg fills what is missing with grey; here its complaint is the reason."""
    require_all_scans(content)
    try:
        try:
            pixels = simplejpeg.decode_jpeg(content, colorspace="RGB")
        except ValueError as error:
            if _HARMLESS not in str(error):
                raise
            require_nothing_unread(content, str(error))
            pixels = simplejpeg.decode_jpeg(content, colorspace="RGB", strict=False)
    except ValueError as error:
        kind = "truncated" if "Premature end" in str(error) else "damaged"
        raise ImageError(f"{kind} JPEG: {one_line(error)}") from error
    return np.asarray(pixels, np.uint8)


def decode_opened(opened: OpenedFile) -> UInt8Array:
    """Pixels of a file as they lie in it (a TIFF and a HEIC already upright), if all of them are there.

    Raises:
        ImageError: If some are missing, or cannot be decoded.
    """
    content, directory, kind = opened.content, opened.directory, opened.image.format
    if directory is not None:
        require_whole_tiff(directory)
        if opened.n_apart:
            return _joined(opened)
    elif kind == "PNG":
        require_whole_png(content)
    elif kind == "BMP":
        require_whole_bmp(content)
    elif kind in ("JPEG", "MPO"):
        decode_jpeg(content)  # CMYK: Pillow decodes it, but overlooks what libjpeg finds wrong
    return decode_pillow(opened.image)


def _joined(opened: OpenedFile) -> UInt8Array:
    """Pixels of a TIFF whose channels lie apart: each is read by itself."""
    directory = opened.directory or directories(opened.content)[0]
    photometric, extra = directory.value(Tag.PHOTOMETRIC), directory.value(Tag.EXTRA_SAMPLES)
    n_colours = {0: 1, 1: 1, 2: 3, 5: 4}.get(photometric, 99)
    bits, formats = set(directory.values(Tag.BITS)), set(directory.values(Tag.SAMPLE_FORMAT) or (1,))
    if opened.n_apart < n_colours or len(bits) > 1 or not bits <= {8, 16} or formats != {1}:
        raise ImageError("its channels lie apart, and are neither grey, RGB nor CMYK of 8 or 16 bits; save it as JPEG")
    has_alpha = extra in ALPHA and opened.n_apart > n_colours and n_colours != 4
    channels = []
    for number in range(n_colours + has_alpha):  # one after the other: each takes a copy of the file
        image = open_with_pillow(plane(directory, number), "TIFF") if number else opened.image
        channels.append(pillow.fromarray(np.ascontiguousarray(decode_pillow(image)[:, :, 0])))
    if photometric == 0:
        channels[0] = ImageOps.invert(channels[0])
    joined = pillow.merge({1: "L", 3: "RGB", 4: "CMYK"}[n_colours], channels[:n_colours])
    if has_alpha and extra == 1:  # the colours are multiplied by it
        rgb_alpha = pillow.merge("RGBA", [*joined.convert("RGB").split(), channels[-1]])
        joined = pillow.frombytes("RGBA", joined.size, rgb_alpha.tobytes(), "raw", "RGBa")
    elif has_alpha:
        joined.putalpha(channels[-1])
    return decode_pillow(joined)


def decode_pillow(image: pillow.Image) -> UInt8Array:
    """Pixels as they lie in the file (a TIFF's and a HEIC's already upright): (H, W, 3), writable."""
    try:
        image.load()
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
            return _upper_bits(image)
        if image.mode in ("I", "F"):
            raise ImageError(f"samples of mode {image.mode} have no stated range; save it as 8 or 16-bit")
        if image.has_transparency_data:
            image = _on_white(image.convert("RGBA"))
        return _in_strips(image if image.mode == "RGB" else image.convert("RGB"))
    except ImageError:
        raise
    except Exception as error:  # truncated data surfaces as OSError, SyntaxError, struct.error, ...
        raise ImageError(f"truncated or damaged {image.format or 'image'}: {one_line(error)}") from error


def has_clear_pixels(image: pillow.Image) -> bool:
    """Whether any pixel of an image that Pillow has opened is not opaque.

    Raises:
        ImageError: If it cannot be decoded.
    """
    if not image.has_transparency_data:
        return False
    try:
        clear = image.convert("RGBA").getchannel("A").getextrema()[0]
    except Exception as error:  # truncated data, or a mode that Pillow does not convert
        raise ImageError(f"its transparency cannot be read: {one_line(error)}") from error
    return clear != 255


def _in_strips(image: pillow.Image) -> UInt8Array:
    """Copy the pixels of an RGB image strip by strip; Pillow would make a further copy of all of them."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _STRIP_PX):
        bottom = min(top + _STRIP_PX, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels


def _upper_bits(image: pillow.Image) -> UInt8Array:
    """The upper eight bits of grey samples with 9 to 16 bits."""
    samples = np.asarray(image).astype(np.uint16)
    tags: Any = getattr(image, "tag_v2", {})
    n_bits = tags.get(258, (16,))[0]  # TIFF BitsPerSample
    grey = np.asarray(samples >> (n_bits - 8), np.uint8)
    if tags.get(262) == 0:  # TIFF PhotometricInterpretation: white is zero, which Pillow heeds up to 8 bits
        grey = 255 - grey
    if isinstance(transparent := image.info.get("transparency"), int):
        grey = np.where(samples == transparent, np.uint8(255), grey)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _on_white(rgba: pillow.Image) -> pillow.Image:
    if rgba.getchannel("A").getextrema() == (255, 255):
        return rgba
    white = pillow.new("RGBA", rgba.size, "white")
    white.alpha_composite(rgba)
    return white

"""Pages: HTML made from the templates in `templates/`, with all pictures inside the page."""

from __future__ import annotations

import base64
from collections.abc import Callable

import jinja2
import numpy as np

from crackscope.arrays import UInt8Array
from crackscope.errors import CrackscopeError
from crackscope.files.pictures import picture_bytes
from crackscope.measuring.wording import interval_text, number_text, percent_text

__all__ = ["ReadImage", "data_uri", "environment", "picture_bytes", "pixels_or_blank"]

ReadImage = Callable[[str], UInt8Array]
"""Function from the path of a patch to its RGB pixels, uint8, shape (h, w, 3)."""

_BLANK_GREY = 200


def environment() -> jinja2.Environment:
    """Open the templates of this package. Values are escaped, and a missing name is an error."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("crackscope.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {"number": number_text, "interval": interval_text, "percent": percent_text}
    return found


def pixels_or_blank(path: str, read_image: ReadImage) -> UInt8Array:
    """Read the pixels of a patch, or make a grey square if the file can no longer be read."""
    try:
        return read_image(path)
    except (OSError, KeyError, ValueError, CrackscopeError):
        return np.full((2, 2, 3), _BLANK_GREY, np.uint8)


def data_uri(content: bytes, kind: str) -> str:
    """Write a picture as a data address, which holds the whole picture."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"

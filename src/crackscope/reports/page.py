"""Pages: templates in `templates/`, and pictures inside the page."""

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
"""From the path of a patch to its RGB pixels, uint8 (h, w, 3)."""

_BLANK_GREY = 200


def environment() -> jinja2.Environment:
    """Templates of this package; what they are given is escaped, and a name that is missing is an error."""
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
    """Pixels of a patch, or a grey square where it went after it was judged: what was found stands without it."""
    try:
        return read_image(path)
    except (OSError, KeyError, ValueError, CrackscopeError):
        return np.full((2, 2, 3), _BLANK_GREY, np.uint8)


def data_uri(content: bytes, kind: str) -> str:
    """A picture as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"

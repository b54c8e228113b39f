"""What pages are made of: templates in `templates/`, and pictures inside the page."""

from __future__ import annotations

import base64

import cv2
import jinja2
import numpy as np

from crackscope.arrays import UInt8Array
from crackscope.reports.wording import interval_text, number_text, percent_text

__all__ = ["data_uri", "environment", "picture_bytes"]


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


def picture_bytes(pixels: UInt8Array, suffix: str, *, quality: int = 95) -> bytes:
    """Encode an RGB picture (h, w, 3) or a grey one (h, w) as ``.png`` or ``.jpg``; the same gives the same bytes."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    order = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    return cv2.imencode(suffix, np.ascontiguousarray(order), options)[1].tobytes()


def data_uri(content: bytes, kind: str) -> str:
    """A picture as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"

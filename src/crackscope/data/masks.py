"""Masks: pictures of the aspect of a photo in which the cracks are white, and everything else is black.

A mask that is inverted, blank, see-through or a photograph would give every tile a wrong label without a word. So a
mask that cannot be believed refuses its photo, and a folder of which most masks cannot be believed stops the run.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crackscope.arrays import BoolArray
from crackscope.errors import DataError, ImageError, reason_of
from crackscope.files.images import decode_image, is_see_through
from crackscope.files.inputs import ImageFile

__all__ = ["read_mask", "require_cracks_in_white", "require_mostly_black"]

_WHITE = 128
_SAME_ASPECT = 1.02  # of mask and photo: room for a mask drawn on a smaller copy
_MOST_WHITE = 0.5  # of a mask: no crack covers half of a photo; the 30 photos with masks of our tests have .01 to .11
_MOST_GREY = 0.25  # of a mask, in levels that are neither dark nor bright: smooth edges take much less
_GREY = (48, 208)


def read_mask(image: ImageFile, photo_hw: tuple[int, int], *, inverted: bool = False) -> BoolArray:
    """Read a mask: True where a crack is, at the mask's own size.

    Args:
        image: File of the mask.
        photo_hw: Height and width of its photo, in pixels.
        inverted: Whether cracks are black and everything else is white.

    Raises:
        ImageError: If the mask cannot be read, has another aspect than the photo, is see-through, is a photograph, or
            has no bright pixel although it is not black.
    """
    path = image.path
    try:
        content = image.read()
        levels = decode_image(content, path=path).pixels.max(axis=2)
        see_through = is_see_through(content)
    except (OSError, DataError) as error:
        raise ImageError(f"its mask {path}: {reason_of(error)}") from error
    (height, width), (photo_height, photo_width) = levels.shape, photo_hw
    aspect = width * photo_height / (height * photo_width)
    if max(aspect, 1 / aspect) > _SAME_ASPECT:
        raise ImageError(
            f"its mask {path} is {width}×{height} px, the photo {photo_width}×{photo_height}: not of one aspect; "
            "cut or turn the mask as the photo"
        )
    if see_through:
        raise ImageError(
            f"its mask {path} is transparent in part, so white is not clear; save it as black and white without an "
            "alpha channel"
        )
    if 0 < levels.max() < _WHITE:
        raise ImageError(f"its mask {path} has no value above {levels.max()}; cracks must be white (255)")
    grey = float(((levels >= _GREY[0]) & (levels < _GREY[1])).mean())
    if grey > _MOST_GREY:
        raise ImageError(f"its mask {path} is grey in {100 * grey:.0f} % of its pixels, like a photo; give the mask")
    white: BoolArray = (levels < _WHITE) if inverted else (levels >= _WHITE)
    return white


def require_mostly_black(share: float, path: str, *, inverted: bool = False) -> None:
    """Refuse a single mask that says that most of its photo is a crack.

    Args:
        share: Share of the mask that is a crack.
        path: Path of the mask.
        inverted: Whether cracks are black in it.

    Raises:
        ImageError: With the share.
    """
    if share > _MOST_WHITE:
        colour, other = ("black", "white") if inverted else ("white", "black")
        raise ImageError(
            f"its mask {path} is {colour} in {100 * share:.0f} % of its pixels; cracks must be {colour} and all else "
            f"{other}, so invert it or take it out"
        )


def require_cracks_in_white(place: str, shares: Mapping[str, float], *, inverted: bool = False) -> None:
    """Refuse masks that, taken together, are inverted or show no crack at all.

    Args:
        place: Folder or archive of the masks, for the message.
        shares: Share of each readable mask that is a crack, by its path.
        inverted: Whether cracks are black in them.

    Raises:
        DataError: With the share of one of them, and the remedy.
    """
    if not shares:
        return
    found = np.array(list(shares.values()))
    first, n_white = max(shares, key=lambda path: shares[path]), int((found > _MOST_WHITE).sum())
    colour, remedy = "white", "Give --masks-inverted (masks_inverted=True in Python) if cracks are black in them."
    if inverted:
        colour, remedy = "black", "Leave --masks-inverted (masks_inverted in Python) out if cracks are white in them."
    if np.median(found) > _MOST_WHITE:
        raise DataError(
            f"{place}: {n_white} of {len(found)} masks are mostly {colour} ({first}: {100 * shares[first]:.0f} %), "
            f"but cracks must be {colour} and cover less than half. {remedy}"
        )
    if not found.any():
        raise DataError(
            f"{place}: none of the {len(found)} masks has a {colour} pixel ({first}: 0 %), so no crack is labelled. "
            f"Save them with cracks in {colour} ({0 if inverted else 255}) and 8 bits."
        )

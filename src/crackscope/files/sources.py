"""Sources: whatever holds images becomes one image after the other, from files or from memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias
from uuid import uuid4

import numpy as np
from PIL import Image as pillow

from crackscope.arrays import UInt8Array
from crackscope.errors import DataError, ImageError, reason_of
from crackscope.files.images import MAX_MEGAPIXELS, Image, decode_image, from_pillow, read_image, require_rgb
from crackscope.files.inputs import ImageFile, files_behind, require_any

__all__ = [
    "AnyImage",
    "HeldImage",
    "Source",
    "SourceImage",
    "all_images_of",
    "as_image",
    "images_of",
    "is_stream",
    "run_mark",
]

AnyImage: TypeAlias = str | Path | bytes | bytearray | Image | ImageFile | pillow.Image | UInt8Array
"""One image: a path, the bytes of an image file, an `Image`, an `ImageFile`, a PIL image, or an array (H, W, 3) RGB or
(H, W) grey, uint8."""

Source: TypeAlias = AnyImage | Iterable[AnyImage]
"""Images: one of them, a folder, a glob, an archive, a CSV with a column ``path``, or an iterable of these, such as a
list of paths or a generator of video frames."""


@dataclass(frozen=True, eq=False)
class HeldImage:
    """An image that is in memory already.

    Attributes:
        path: Path of the image where it has one, else ``#`` and its number in the source, from 0.
        image: The image, in any form that `as_image` takes.
    """

    path: str
    image: AnyImage

    def load(self, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
        """The decoded image.

        Raises:
            ImageError: If it is no whole image within the limit.
        """
        return replace(as_image(self.image, max_megapixels=max_megapixels), path=self.path)


class SourceImage(Protocol):
    """An image of a source: `ImageFile`, `HeldImage`, or another value that can load one."""

    @property
    def path(self) -> str:
        """Path or number of the image, for rows and messages."""

    def load(self, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
        """The decoded image."""


def images_of(source: Source) -> Iterator[SourceImage]:
    """Images of a source, in order; an iterable is asked for one after the other, as they are needed.

    Args:
        source: See `Source`. A path behind which there is no image gives one that says so when it is loaded.

    Raises:
        DataError: If something in it is no image, or an archive or a list is damaged.
    """
    if isinstance(source, (str, Path)):
        yield from files_behind(source)
    elif isinstance(source, ImageFile):
        yield source
    elif isinstance(source, _HELD):
        yield _held(source, 0)
    elif isinstance(source, Iterable) and not isinstance(source, (Mapping, memoryview)):
        take = _taken if is_stream(source) else _held
        for number, one in enumerate(source):
            yield from images_of(one) if isinstance(one, (str, Path, ImageFile)) else [take(one, number)]
    else:
        raise DataError(_what_to_pass(source))


def all_images_of(source: Source, *, require_one: bool = False) -> list[SourceImage]:
    """All images of a source, listed before the first is read.

    Args:
        source: See `Source`.
        require_one: Whether a source without any image, such as an empty list, is refused too.

    Raises:
        DataError: If something in the source is no image, or it names files of which none is there.
    """
    images = [*images_of(source)]
    if require_one and not images:
        raise DataError("no image was given. Name at least one file, folder or archive.")
    files = [image for image in images if isinstance(image, ImageFile)]
    if len(files) == len(images):
        require_any(files)
    return images


def is_stream(source: object) -> bool:
    """Whether images come one by one, as from a generator or a camera, and may be more than memory holds."""
    return isinstance(source, Iterable) and not isinstance(source, (*_HELD, str, Path, Mapping, Sequence))


def as_image(image: AnyImage, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
    """One image in any form as an `Image`.

    Args:
        image: See `AnyImage`.
        max_megapixels: A larger image file is refused before its pixels are decoded.

    Raises:
        DataError: If it is nothing that an image is taken from; the message says what to pass.
        ImageError: If the file is missing, or no whole image within the limit.
    """
    if isinstance(image, Image):
        require_rgb(image.pixels)
        return image
    if isinstance(image, (str, Path)):
        return read_image(image, max_megapixels=max_megapixels)
    if isinstance(image, ImageFile):
        try:
            return image.load(max_megapixels=max_megapixels)
        except OSError as error:
            raise ImageError(reason_of(error)) from error
    if isinstance(image, (bytes, bytearray)):
        return decode_image(bytes(image), max_megapixels=max_megapixels)
    if isinstance(image, pillow.Image):
        return from_pillow(image, max_megapixels=max_megapixels)
    if isinstance(image, np.ndarray):
        pixels = np.repeat(image[:, :, None], 3, axis=2) if _is_grey(image) else image
        require_rgb(pixels)
        return Image(np.ascontiguousarray(pixels))
    raise DataError(_what_to_pass(image))


def run_mark(images: Iterable[SourceImage]) -> str:
    """Mark that tells a run over these images from other runs: empty for files, which their paths tell apart.

    Images in memory get a new mark each time, since nothing says that they are the same. So such a run is never
    resumed.
    """
    return "" if all(isinstance(image, ImageFile) for image in images) else uuid4().hex


_HELD = (Image, bytes, bytearray, pillow.Image, np.ndarray)


def _held(image: object, number: int) -> HeldImage:
    if isinstance(image, np.ndarray) and not _is_grey(image):
        require_rgb(image)  # a wrong array is the caller's mistake, not a file's fault
    elif not isinstance(image, _HELD):
        raise DataError(_what_to_pass(image))
    own = image.path if isinstance(image, Image) else getattr(image, "filename", "")
    return HeldImage(str(own) or f"#{number}", image)


def _taken(image: object, number: int) -> HeldImage:
    """Hold a copy of a frame: a stream may refill one array, or turn the pages of one PIL image, for each."""
    held = _held(image, number)
    if isinstance(image, np.ndarray):
        return replace(held, image=image.copy())
    if isinstance(image, pillow.Image):
        with suppress(ImageError):  # loading it says why
            return replace(held, image=from_pillow(image))
    return replace(held, image=bytes(image)) if isinstance(image, bytearray) else held


def _is_grey(image: UInt8Array) -> bool:
    return image.ndim == 2 and image.dtype == np.uint8


def _what_to_pass(found: object) -> str:
    return (
        f"an image cannot be taken from {type(found).__name__}. Pass a path, the bytes of an image file, a PIL image, "
        "an array (H, W, 3) of uint8 RGB or (H, W) of uint8 grey, or what crackscope.read_image gives."
    )

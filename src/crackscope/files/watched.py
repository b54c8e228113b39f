"""Watched images: what a file was when it was read, to tell later whether it is still the same.

Size and times of the file are noted before it is read, and the digest of the bytes that were decoded. Times alone do
not tell: a clock may be set back, and a copy may keep the times of another file. So a file counts as unchanged if size,
time of writing and time of the last change of its entry are the same; or else if its bytes are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crackscope.errors import DataError
from crackscope.files.images import MAX_MEGAPIXELS, Image, decode_image
from crackscope.files.inputs import ImageFile
from crackscope.files.sources import SourceImage

__all__ = ["FileState", "WatchedImage"]


@dataclass(frozen=True)
class FileState:
    """State of a file when it was read.

    Attributes:
        n_bytes: Size of the file, or of the archive that holds it.
        mtime_ns: Time of the last writing, in nanoseconds.
        ctime_ns: Time of the last change of the file's entry, in nanoseconds; the time of creation on Windows.
        sha256: SHA-256 of the bytes that were decoded, in hexadecimal; empty where they could not be read.
    """

    n_bytes: int
    mtime_ns: int
    ctime_ns: int
    sha256: str = ""

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


@dataclass(eq=False)
class WatchedImage:
    """An image of a source that notes the state of its file when it is loaded. It can be used as a `SourceImage`.

    Attributes:
        image: The image.
        state: State of the file when it was last loaded; None before, for a missing file, and for images in memory.
    """

    image: SourceImage
    state: FileState | None = field(default=None, init=False)

    @property
    def path(self) -> str:
        """Path or number of the image, for rows and messages."""
        return self.image.path

    def load(self, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
        """Read and decode the image, and note the state of its file.

        Args:
            max_megapixels: Limit in megapixels; a larger image is refused.

        Raises:
            OSError: If the file cannot be read.
            ImageError: If it is no whole image within the limit.
        """
        if not isinstance(self.image, ImageFile):
            return self.image.load(max_megapixels=max_megapixels)
        self.state = _entry_of(self.image)
        content = self.image.read()
        if self.state is not None:
            self.state = FileState(**{**self.state.to_dict(), "sha256": hashlib.sha256(content).hexdigest()})
        return decode_image(content, path=self.path, max_megapixels=max_megapixels)

    def is_unchanged(self, noted: Mapping[str, Any] | None) -> bool:
        """Whether the file is the one whose state was noted. A file that is gone by now counts as unchanged.

        Args:
            noted: What `FileState.to_dict` gave; None where there was no file.
        """
        if not isinstance(self.image, ImageFile):
            return True
        now = _entry_of(self.image)
        if now is None or noted is None:
            return now is None
        entry = {name: noted.get(name) for name in ("n_bytes", "mtime_ns", "ctime_ns")}
        if entry == {name: value for name, value in now.to_dict().items() if name != "sha256"}:
            return True
        try:
            return hashlib.sha256(self.image.read()).hexdigest() == noted.get("sha256")
        except (OSError, DataError):
            return False


def _entry_of(image: ImageFile) -> FileState | None:
    """State of an image's file without its digest; None where there is no file."""
    try:
        status = Path(image.place).stat()
    except (OSError, ValueError):
        return None
    return FileState(status.st_size, status.st_mtime_ns, status.st_ctime_ns)

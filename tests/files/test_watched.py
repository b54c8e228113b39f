"""A file that is another than the one that was read is told, whatever clocks and times say."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crackscope.errors import ImageError
from crackscope.files.inputs import ImageFile, list_images
from crackscope.files.sources import HeldImage
from crackscope.files.watched import WatchedImage
from shared.pictures import png

ONE, OTHER = (png(np.full((9, 9, 3), level, np.uint8)) for level in (10, 200))


def noted_of(image: ImageFile) -> dict[str, Any]:
    """What is noted of an image, as it comes back from a journal."""
    watched = WatchedImage(image)
    watched.load()
    assert watched.state is not None
    noted: dict[str, Any] = json.loads(json.dumps(watched.state.to_dict()))
    return noted


def keep_times(place: Path, change: Callable[[], object]) -> None:
    before = place.stat()
    change()
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_long_ago(place: Path) -> None:
    place.write_bytes(OTHER)
    os.utime(place, (1, 1))


def make_folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "nothing": (lambda place: None, True),
    "touched": (lambda place: os.utime(place, (2e9, 2e9)), True),
    "touched, long ago": (lambda place: os.utime(place, (1, 1)), True),
    "written again": (lambda place: place.write_bytes(ONE), True),
    "gone": (lambda place: place.unlink(), True),
    "replaced": (lambda place: place.write_bytes(OTHER), False),
    "replaced, times kept": (lambda place: keep_times(place, lambda: place.write_bytes(OTHER)), False),
    "replaced, long ago": (replace_long_ago, False),
    "emptied": (lambda place: place.write_bytes(b""), False),
    "now a folder": (make_folder, False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_told(change: str, tmp_path: Path) -> None:
    assert len(ONE) == len(OTHER)
    place = tmp_path / "a.png"
    place.write_bytes(ONE)
    image = ImageFile(str(place), str(place))
    noted = noted_of(image)
    assert noted["sha256"] == hashlib.sha256(ONE).hexdigest()
    do, unchanged = CHANGES[change]
    do(place)
    assert WatchedImage(image).is_unchanged(noted) is unchanged


def test_a_member_of_an_archive_is_told_by_its_bytes(tmp_path: Path) -> None:
    def pack(**members: bytes) -> None:
        for name, content in members.items():
            (tmp_path / f"{name}.png").write_bytes(content)
        with tarfile.open(tmp_path / "x.tar", "w") as tar:
            for name in members:
                tar.add(tmp_path / f"{name}.png", f"{name}.png")

    pack(a=ONE, b=ONE)
    a, b = list_images([tmp_path / "x.tar"])
    noted_a, noted_b = noted_of(a), noted_of(b)
    pack(a=ONE, b=OTHER)
    assert WatchedImage(a).is_unchanged(noted_a)
    assert not WatchedImage(b).is_unchanged(noted_b)
    shutil.rmtree(tmp_path)
    assert WatchedImage(b).is_unchanged(noted_b)


def test_a_file_that_was_missing_and_came_is_told(tmp_path: Path) -> None:
    place = tmp_path / "a.png"
    watched = WatchedImage(ImageFile(str(place), str(place)))
    with pytest.raises(OSError, match=r"a\.png"):
        watched.load()
    assert watched.state is None
    assert watched.is_unchanged(None)
    place.write_bytes(ONE)
    os.utime(place, (1, 1))
    assert not watched.is_unchanged(None)


def test_a_broken_file_has_a_state_too(tmp_path: Path) -> None:
    place = tmp_path / "a.png"
    place.write_bytes(b"%PDF-1.7")
    watched = WatchedImage(ImageFile(str(place), str(place)))
    with pytest.raises(ImageError):
        watched.load()
    assert watched.state is not None
    assert watched.is_unchanged(watched.state.to_dict())


def test_an_image_in_memory_does_not_change() -> None:
    watched = WatchedImage(HeldImage("#0", ONE))
    assert watched.load().pixels.shape == (9, 9, 3)
    assert (watched.path, watched.state, watched.is_unchanged(None)) == ("#0", None, True)

"""A raw file gets no verdict on its thumbnail, whatever it is called; a TIFF that is none is read as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crackscope.errors import DataError, ImageError
from crackscope.files.images import decode_image
from crackscope.files.inputs import list_images
from shared.pictures import jpeg, noise
from shared.tiffs import ifd, tiff

THUMBNAIL = noise((192, 256))
LARGE = {256: 6000, 257: 4000, 258: 14, 277: 1}
CFA, LINEAR, DNG = 32803, 34892, {50706: b"\x01\x04\x00\x00"}
MAKE = {271: b"NIKON CORPORATION\x00"}


def with_sub(tags: dict[int, Any], below: dict[int, Any]) -> bytes:
    return tiff(THUMBNAIL, tags=tags, below=[ifd(below)])


RAW: dict[str, bytes] = {
    "DNG": with_sub({254: 1, **DNG, **MAKE}, {254: 0, **LARGE, 259: 7, 262: CFA}),
    "DNG, linear": with_sub({254: 1, **DNG}, {254: 0, **LARGE, 259: 7, 262: LINEAR}),
    "DNG without a word of a thumbnail": with_sub(DNG, {**LARGE, 259: 1, 262: 2}),
    "DNG whose first picture is the raw one": tiff(noise((64, 64))[:, :, :1], tags={**DNG, 262: CFA}),
    "NEF": with_sub({254: 1, **MAKE}, {254: 0, **LARGE, 259: 34713, 262: CFA}),
    "NEF, uncompressed": with_sub({254: 1}, {254: 0, **LARGE, 259: 1, 262: CFA}),
    "ARW": with_sub({254: 1}, {254: 0, **LARGE, 259: 32767, 262: CFA}),
    "PEF": tiff(noise((64, 64))[:, :, :1], tags={259: 65535, 262: CFA}),
    "SRW": with_sub({254: 1}, {254: 0, **LARGE, 259: 32770}),
    "of an unknown kind": with_sub({254: 1}, {254: 0, **LARGE, 259: 1, 262: 2}),
    "of an unknown kind, not marked": with_sub({}, {**LARGE, 259: 1, 262: 2}),
    "only a reduced picture": tiff(THUMBNAIL, tags={254: 1}),
    "CR2": b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(400),
    "IIQ": b"II*\x00\x10\x00\x00\x00IIII" + bytes(400),
    "CR3": b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01crx isom" + bytes(400),
    "RAF": b"FUJIFILMCCD-RAW 0201FF383501" + bytes(400),
    "RW2": b"IIU\x00\x18\x00\x00\x00" + bytes(400),
    "ORF": b"IIRO\x08\x00\x00\x00" + bytes(400),
    "CRW": b"II\x1a\x00\x00\x00HEAPCCDR" + bytes(400),
    "X3F": b"FOVb\x00\x00\x02\x00" + bytes(400),
    "MRW": b"\x00MRM\x00\x00" + bytes(400),
}


@pytest.mark.parametrize("kind", RAW)
def test_a_raw_file_is_refused_with_the_reason(kind: str) -> None:
    for path in ("photo.tif", "photo.jpg", ""):
        with pytest.raises(ImageError) as caught:
            decode_image(RAW[kind], path=path)
        reason = str(caught.value)
        assert "raw file" in reason
        assert reason.endswith("export it as JPEG or TIFF")
        assert "\n" not in reason
        if "thumbnail" in reason or "picture" in reason:
            assert "256×192 px" in reason or "64×64 px" in reason


@pytest.mark.parametrize("name", ["photo.NEF", "photo.dng", "photo.x3f"])
def test_what_nothing_inside_tells_is_told_by_its_name(name: str) -> None:
    for content in (b"\x01\x02\x03\x04" * 9, tiff(THUMBNAIL)):
        with pytest.raises(ImageError, match=r"raw file \((NEF|DNG|X3F)\).*export it as JPEG or TIFF$"):
            decode_image(content, path=name)


def test_a_jpeg_is_read_whatever_it_is_called() -> None:
    assert decode_image(jpeg(THUMBNAIL), path="photo.nef").pixels.shape == THUMBNAIL.shape


@pytest.mark.parametrize(
    "content",
    [
        tiff(THUMBNAIL, tags=MAKE),
        with_sub(MAKE, {254: 1, 256: 128, 257: 96, 259: 1, 262: 2}),
        with_sub({}, {254: 1, 256: 64, 257: 48, 259: 1, 262: 2}),
        with_sub({}, {254: 1, 256: 256, 257: 192, 259: 1, 262: 2}),
    ],
)
def test_a_photo_with_smaller_copies_below_it_is_read(content: bytes) -> None:
    np.testing.assert_array_equal(decode_image(content).pixels, THUMBNAIL)


def test_raw_files_of_a_folder_are_named_unless_their_photo_is_there(tmp_path: Path) -> None:
    for name in ("a.NEF", "b.nef", "c.cr3"):
        (tmp_path / name).write_bytes(b"raw")
    with pytest.raises(
        DataError, match=r"a\.NEF: it is a camera's raw file \(NEF\); export it as JPEG or TIFF; nor is"
    ):
        list_images([tmp_path])
    (tmp_path / "b.jpg").write_bytes(jpeg(THUMBNAIL))
    found = {Path(image.path).name: image.fault for image in list_images([tmp_path])}
    assert list(found) == ["a.NEF", "b.jpg", "c.cr3"]
    assert found["b.jpg"] is None
    assert "raw file (CR3)" in str(found["c.cr3"])

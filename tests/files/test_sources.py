"""Whatever form an image has, it is the same image; what is none is told in one line."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, ImageSequence
from PIL import Image as pillow

from crackscope.arrays import UInt8Array
from crackscope.drawing.walls import draw_patch
from crackscope.errors import DataError, ImageError
from crackscope.files.images import Image, decode_image, read_image
from crackscope.files.inputs import ImageFile, list_images
from crackscope.files.sources import AnyImage, HeldImage, as_image, images_of, run_mark
from shared.pictures import noise
from shared.tiffs import ifd, tiff

PIXELS = draw_patch(0, side_px=96).pixels[:64]


def encoded(pixels: UInt8Array, kind: str = "PNG", **choices: Any) -> bytes:
    stream = io.BytesIO()
    pillow.fromarray(pixels).save(stream, kind, **choices)
    return stream.getvalue()


def turned(kind: str, orientation: int) -> bytes:
    exif = pillow.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(PIXELS, kind, exif=exif)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "wall.png"
    path.write_bytes(encoded(PIXELS))
    return path


FORMS: dict[str, Callable[[Path], Any]] = {
    "path": lambda file: file,
    "text": str,
    "file": lambda file: ImageFile(str(file), str(file)),
    "bytes": lambda file: file.read_bytes(),
    "bytearray": lambda file: bytearray(file.read_bytes()),
    "image": read_image,
    "PIL": lambda file: pillow.open(file),
    "PIL, loaded": lambda file: pillow.fromarray(np.asarray(pillow.open(file))),
    "array": lambda file: np.asarray(pillow.open(file)),
    "strided": lambda file: np.asarray(pillow.open(file))[:, ::-1][:, ::-1],
}


@pytest.mark.parametrize("form", FORMS)
def test_an_image_is_the_same_in_every_form(file: Path, form: str) -> None:
    np.testing.assert_array_equal(as_image(FORMS[form](file)).pixels, PIXELS)


@pytest.mark.parametrize("form", FORMS)
def test_a_source_may_be_one_image_a_list_or_an_iterator(file: Path, form: str) -> None:
    for source in (FORMS[form](file), [FORMS[form](file)], (one for one in [FORMS[form](file)]), (FORMS[form](file),)):
        (image,) = images_of(source)
        np.testing.assert_array_equal(image.load().pixels, PIXELS)
        assert image.path in (str(file), "#0")
        assert image.load().path == image.path


@pytest.mark.parametrize("shape", [(64, 96), (16, 16)])
def test_grey_levels_become_three_equal_channels(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for image in (grey, pillow.fromarray(grey)):
        np.testing.assert_array_equal(as_image(image).pixels, np.repeat(grey[:, :, None], 3, 2))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_pil_image_is_turned_as_its_file_is(kind: str, orientation: int) -> None:
    content = turned(kind, orientation)
    expected = decode_image(content)
    found = as_image(pillow.open(io.BytesIO(content)))
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert (found.pixels.shape[0] < found.pixels.shape[1]) == (orientation < 5)


def test_a_pil_image_keeps_what_the_camera_noted() -> None:
    exif = pillow.Exif()
    exif[ExifTags.Base.DateTime] = "2024:05:06 07:08:09"
    content = encoded(PIXELS, "JPEG", exif=exif)
    assert as_image(pillow.open(io.BytesIO(content))).taken_at == decode_image(content).taken_at is not None


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "I;16"])
def test_a_pil_image_may_have_any_mode_that_a_file_may_have(mode: str) -> None:
    image = pillow.new("I;16", (64, 48), 40_000) if mode == "I;16" else pillow.fromarray(PIXELS).convert(mode)
    assert as_image(image).pixels.shape == (image.height, image.width, 3)


WRONG: dict[str, tuple[Any, str]] = {
    "None": (None, "NoneType"),
    "number": (3, "int"),
    "mapping": ({"a.png": b""}, "dict"),
    "memoryview": (memoryview(b"x"), "memoryview"),
    "list in a list": ([[b"x"]], "list"),
    "list with None": ([None], "NoneType"),
    "float array": (np.zeros((32, 32, 3)), "float64 (32, 32, 3)"),
    "four channels": (np.zeros((32, 32, 4), np.uint8), "uint8 (32, 32, 4)"),
    "channels first": (np.zeros((3, 32, 32), np.uint8), "uint8 (3, 32, 32)"),
    "batch": (np.zeros((2, 32, 32, 3), np.uint8), "uint8 (2, 32, 32, 3)"),
    "float grey": (np.zeros((32, 32)), "float64 (32, 32)"),
    "16 bits": (np.zeros((32, 32, 3), np.uint16), "uint16 (32, 32, 3)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_image_is_told_in_one_line_with_what_to_pass(name: str) -> None:
    wrong, found = WRONG[name]
    with pytest.raises(DataError) as caught:
        list(images_of(wrong))
    text = str(caught.value)
    assert found in text
    assert "\n" not in text
    assert "RGB" in text


def test_a_file_that_is_no_image_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    for image in images_of([tmp_path, b"", tmp_path / "gone.png"]):
        with pytest.raises((OSError, ImageError)):
            image.load()


def test_an_iterator_is_asked_for_no_more_than_is_needed() -> None:
    taken = []

    def frames() -> Iterator[UInt8Array]:
        for i in range(10**6):
            taken.append(i)
            yield PIXELS

    images = images_of(frames())
    assert taken == []
    assert [next(images).path for _ in range(3)] == ["#0", "#1", "#2"]
    assert taken == [0, 1, 2]


def test_a_stream_may_use_one_image_again_for_every_frame() -> None:
    def arrays() -> Iterator[UInt8Array]:
        frame = np.zeros((32, 32, 3), np.uint8)
        for level in (10, 20, 30):
            frame[:] = level
            yield frame

    stream = io.BytesIO()
    pages = [pillow.new("RGB", (32, 32), (level,) * 3) for level in (10, 20, 30)]
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:])
    for source in (arrays(), ImageSequence.Iterator(pillow.open(stream))):
        assert [int(image.load().pixels[0, 0, 0]) for image in list(images_of(source))] == [10, 20, 30]


class Frames:
    """An iterable that is no iterator, as readers of videos and data sets are."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[UInt8Array]:
        while True:
            self.taken += 1
            yield PIXELS


def test_whatever_is_no_sequence_is_asked_image_by_image() -> None:
    frames = Frames()
    assert [image.path for image, _ in zip(images_of(frames), range(2), strict=False)] == ["#0", "#1"]
    assert frames.taken <= 3


def test_a_file_that_is_gone_is_an_image_error_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read: No such file"):
        as_image(ImageFile("gone.png", str(tmp_path / "gone.png")))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_zip_is_read_on_both_sides_of_a_fork(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(40):
            archive.writestr(f"{i:02}.png", encoded(PIXELS) + bytes([i]) * 9999)
    images = list_images([tmp_path / "a.zip"])
    expected = [image.read() for image in images]
    children = []
    for _ in range(3):
        if (child := os.fork()) == 0:
            os._exit(0 if all([image.read() for image in images] == expected for _ in range(5)) else 1)
        children.append(child)
    assert all([image.read() for image in images] == expected for _ in range(5))
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]


def test_an_image_in_memory_has_its_own_path_or_its_number() -> None:
    images: list[AnyImage] = [PIXELS, Image(PIXELS, path="wall.jpg"), Image(PIXELS)]
    assert [image.path for image in images_of(images)] == ["#0", "wall.jpg", "#2"]


def test_folders_archives_globs_and_tables_may_stand_in_a_list(file: Path) -> None:
    folder = file.parent
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.write(file, "inside/wall.png")
    (folder / "list.csv").write_text("path\nwall.png\n")
    source: list[str | Path | AnyImage] = [folder, folder / "a.zip", f"{folder}/*.png", folder / "list.csv", PIXELS]
    paths = [image.path for image in images_of(source)]
    assert paths == [f"{folder}/wall.png", f"{folder}/a.zip/inside/wall.png", str(file), str(file), "#4"]


@pytest.mark.parametrize("kind", ["folder", "tar", "zip", "csv", "file"])
def test_a_file_can_be_pickled_and_read_elsewhere(file: Path, kind: str) -> None:
    place = file.parent / f"a.{kind}"
    if kind == "tar":
        with tarfile.open(place, "w") as tar:
            tar.add(file, "wall.png")
    elif kind == "zip":
        with zipfile.ZipFile(place, "w") as archive:
            archive.write(file, "wall.png")
    elif kind == "csv":
        place.write_text("path\nwall.png\n")
    else:
        place = file.parent if kind == "folder" else file
    (image,) = list_images([place])
    kept = pickle.dumps(image)
    assert len(kept) < 1000
    assert pickle.loads(kept) == image
    assert pickle.loads(kept).read() == file.read_bytes()


def test_an_archive_that_changed_is_read_anew(tmp_path: Path) -> None:
    for content in (encoded(PIXELS), encoded(PIXELS[:32])):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("wall.png", content)
        (image,) = list_images([tmp_path / "a.zip"])
        assert image.read() == content


def test_a_run_over_images_in_memory_is_like_no_other(file: Path) -> None:
    files, held = [*images_of(file)], [HeldImage("#0", PIXELS)]
    assert run_mark(files) == run_mark(files) == ""
    assert run_mark(held) != run_mark(held)


# What Pillow reads wrongly, or in part


def test_a_pil_image_says_at_which_frame_it_stands() -> None:
    frames = [pillow.fromarray(noise((40, 60), seed)).quantize(16) for seed in range(3)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        image = pillow.open(buffer)
        assert as_image(image).page == "1 of 3", kind
        image.seek(1)
        assert as_image(image).page == "2 of 3", kind
    assert as_image(frames[0]).page is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (tiff(noise((40, 60)).astype(np.uint16) * 257, planar=True), "pass the path of the file instead"),
        (tiff(noise((40, 60)), planar=True, compression="lzw"), "pass the path of the file instead"),
        (tiff(noise((40, 60)), tags={50706: b"\x01\x04\x00\x00"}), "raw file (DNG)"),
        (tiff(noise((40, 60)), tags={254: 1}, below=[ifd({256: 6000, 257: 4000})]), "raw file"),
    ],
)
def test_a_tiff_that_pillow_reads_wrongly_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ImageError) as caught:
        as_image(pillow.open(io.BytesIO(content)))
    assert said in str(caught.value)

"""What is written is there wholly or not at all, and what was there before is never lost on the way."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from crackscope.errors import OutputError
from crackscope.files.output import (
    explain,
    json_text,
    new_file,
    new_folder,
    require_free,
    resumable_folder,
    write_folder,
    write_text,
)
from shared.folders import names_in

OURS = {"old", "new", "one", "two", "half", "deep", "photo"}

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")


def fill(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


class Killed(BaseException):
    """Stands for SystemExit, KeyboardInterrupt and the like."""


def raising(code: int, filename: str | None = None) -> OSError:
    return OSError(code, os.strerror(code), filename) if filename else OSError(code, os.strerror(code))


# Files


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b" / "out.csv"
    with new_file(out) as part:
        assert not out.exists()
        assert part.parent == out.parent
        assert part.suffix == ".csv"
        assert part.name.startswith(".")
        part.write_text("x")
    assert out.read_text() == "x"
    assert names_in(out.parent) == ["out.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Killed, SystemExit])
@pytest.mark.parametrize("existing", [True, False])
def test_nothing_half_written_is_left(tmp_path: Path, error: type[BaseException], existing: bool) -> None:
    file, folder = tmp_path / "out.csv", tmp_path / "run"
    if existing:
        file.write_text("old")
        fill(folder, old="old")
    before = names_in(tmp_path)

    def write_half(part: Path) -> None:
        part.write_text("half") if part.is_file() else fill(part / "deep", half="half")
        raise error

    with pytest.raises(error), new_file(file, overwrite=existing) as part:
        write_half(part)
    with pytest.raises(error), new_folder(folder, ours=OURS, overwrite=existing) as part:
        write_half(part)
    assert names_in(tmp_path) == before
    if existing:
        assert (file.read_text(), names_in(folder)) == ("old", ["old"])


def test_what_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    file, folder = tmp_path / "out.csv", fill(tmp_path / "run", old="old")
    file.write_text("old")
    for make, out in ((new_file, file), (partial(new_folder, ours=OURS), folder)):
        with pytest.raises(OutputError, match=r"exists\. Choose another --out, or say --overwrite"), make(out):
            pytest.fail("the block must not run")
    with pytest.raises(OutputError, match="exists"):
        require_free(file, overwrite=False)
    require_free(file, overwrite=True)
    require_free(tmp_path / "none", overwrite=False)
    assert names_in(tmp_path) == ["out.csv", "run"]


def test_overwriting(tmp_path: Path) -> None:
    file, folder = tmp_path / "out.csv", fill(tmp_path / "run", old="old")
    write_text(file, "old")
    write_text(file, "new", overwrite=True)
    with new_folder(folder, ours=OURS, overwrite=True) as part:
        assert names_in(folder) == ["old"]
        fill(part, new="new")
    assert (file.read_text(), names_in(folder), names_in(tmp_path)) == ("new", ["new"], ["out.csv", "run"])


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path: Path) -> None:
    folder, file = fill(tmp_path / "run", old="old"), tmp_path / "out.csv"
    file.write_text("old")
    for overwrite in (True, False):
        with pytest.raises(OutputError, match="is a folder; a file"), new_file(folder, overwrite=overwrite):
            pytest.fail("the block must not run")
        with (
            pytest.raises(OutputError, match="is not a folder; one is"),
            new_folder(file, ours=OURS, overwrite=overwrite),
        ):
            pytest.fail("the block must not run")
    for out in (file / "below", file / "deep" / "below"):
        with pytest.raises(OutputError, match="a file lies where a folder is needed"), new_file(out):
            pytest.fail("the block must not run")
    assert (file.read_text(), names_in(folder)) == ("old", ["old"])


@posix
def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for out in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(OutputError, match="is not an ordinary file"), new_file(out, overwrite=True):
            pytest.fail("the block must not run")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@posix
def test_a_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    real = fill(tmp_path / "real", old="old")
    (tmp_path / "run").symlink_to(real)
    (tmp_path / "out.csv").symlink_to(real / "old")
    with new_folder(tmp_path / "run", ours=OURS, overwrite=True) as part:
        fill(part, new="new")
    write_text(tmp_path / "out.csv", "new", overwrite=True)
    assert (names_in(real), (real / "old").read_text()) == (["old"], "old")
    assert (names_in(tmp_path / "run"), (tmp_path / "out.csv").read_text()) == (["new"], "new")
    (tmp_path / "broken").symlink_to("nowhere")
    with pytest.raises(OutputError, match=r"exists|is not"), new_file(tmp_path / "broken"):
        pytest.fail("the block must not run")


@posix
def test_permissions_are_those_of_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    (tmp_path / "usual folder").mkdir()
    write_text(tmp_path / "out.csv", "x")
    with new_folder(tmp_path / "run", ours=OURS):
        pass
    assert (tmp_path / "out.csv").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert (tmp_path / "run").stat().st_mode == (tmp_path / "usual folder").stat().st_mode


def test_text_that_is_no_unicode_is_escaped(tmp_path: Path) -> None:
    write_text(tmp_path / "out.csv", "caf\udce9 é\n")
    assert (tmp_path / "out.csv").read_bytes() == b"caf\\udce9 \xc3\xa9\n"


# Folders are exchanged safely


def test_a_folder_of_files_appears_whole_and_a_taken_one_costs_no_work(tmp_path: Path) -> None:
    def files(n: int) -> Iterator[tuple[str, str | bytes]]:
        yield "one", "é"
        yield "two", b"\xff"
        if n > 2:
            raise Killed

    assert write_folder(str(tmp_path / "out"), files(2), ours=OURS) == tmp_path / "out"
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names_in(tmp_path / "out")} == {
        "one": "é".encode(),
        "two": b"\xff",
    }
    with pytest.raises(OutputError, match="exists"):
        write_folder(tmp_path / "out", files(3), ours=OURS)
    with pytest.raises(Killed):
        write_folder(tmp_path / "other", files(3), ours=OURS)
    assert names_in(tmp_path) == ["out"]


def test_json_of_ours_ends_with_a_line_and_holds_no_nan() -> None:
    assert json_text({"a": 1}) == '{\n  "a": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(float("nan"))


def test_the_current_folder_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "project" / "data", photo="precious")
    monkeypatch.chdir(tmp_path / "project")
    for out in (Path(), Path(".."), tmp_path, tmp_path / "project"):
        with pytest.raises(OutputError, match="holds the current folder"), new_folder(out, ours=OURS, overwrite=True):
            pytest.fail("the block must not run")
    with new_folder(Path("data"), ours=OURS, overwrite=True):
        pass
    assert names_in(tmp_path / "project") == ["data"]


@pytest.mark.parametrize("error", [raising(errno.EACCES), KeyboardInterrupt()])
@pytest.mark.parametrize("failing", [1, 2])
def test_a_failed_exchange_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, error: BaseException
) -> None:
    folder, replace, calls = fill(tmp_path / "run", old="old"), Path.replace, []

    def fail(path: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == failing:
            raise error
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises((OutputError, KeyboardInterrupt)), new_folder(folder, ours=OURS, overwrite=True) as part:
        fill(part, new="new")
    assert (names_in(tmp_path), names_in(folder)) == (["run"], ["old"])


def test_at_every_step_of_an_exchange_old_or_new_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill may fall between any two steps; each is watched from outside."""
    folder, replace, seen = fill(tmp_path / "run", one="old", two="old"), Path.replace, []

    def watch() -> None:
        seen.append([path for path in tmp_path.iterdir() if names_in(path) == ["one", "two"]])

    def watched(path: Path, target: Path) -> Path:
        watch()
        result = replace(path, target)
        watch()
        return result

    monkeypatch.setattr(Path, "replace", watched)
    with new_folder(folder, ours=OURS, overwrite=True) as part:
        fill(part, one="new", two="new")
    assert len(seen) == 4
    assert all(len(whole) == 2 for whole in seen)
    assert (folder / "one").read_text() == "new"
    assert names_in(tmp_path) == ["run"]


# Disks


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "no space left on the disk. Free some"),
        (errno.EROFS, "not allowed to write there"),
        (errno.EACCES, "not allowed to write there"),
        (errno.ENAMETOOLONG, "the name is too long"),
        (errno.EIO, "cannot be written"),
    ],
)
def test_a_disk_that_refuses_is_one_line(tmp_path: Path, code: int, said: str) -> None:
    file, folder = tmp_path / "out.csv", tmp_path / "run"
    for make, out in ((new_file, file), (partial(new_folder, ours=OURS), folder)):
        with pytest.raises(OutputError) as caught, make(out):
            raise raising(code)
        assert said in str(caught.value)
        assert str(caught.value).startswith(f"{out}: ")
        assert "\n" not in str(caught.value)
    assert names_in(tmp_path) == []


def test_a_read_only_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, *_: object, **__: object) -> None:
        raise raising(errno.EROFS, str(path))

    monkeypatch.setattr(Path, "touch", fail)
    monkeypatch.setattr(Path, "mkdir", fail)
    for make, out in (
        (new_file, tmp_path / "out.csv"),
        (partial(new_folder, ours=OURS), tmp_path / "run"),
        (new_file, tmp_path / "a/b/c"),
    ):
        with pytest.raises(OutputError, match="not allowed to write there"), make(out):
            pytest.fail("the block must not run")


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path: Path) -> None:
    for make in (new_file, partial(new_folder, ours=OURS)):
        for name in ("n" * 300, "n" * 300 + ".csv", "橋" * 100, "a/" + "n" * 300):
            with pytest.raises(OutputError, match="the name is too long"), make(tmp_path / name):
                pytest.fail("the block must not run")


@pytest.mark.parametrize("name", ["n" * 251 + ".csv", "橋" * 85, "a." + "s" * 250])
def test_a_long_name_that_the_disk_takes_is_fine(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "x")
    assert (tmp_path / name).read_text() == "x"
    with new_folder(tmp_path / "in" / name, ours=OURS):
        pass
    assert names_in(tmp_path / "in") == [name]


def test_an_error_about_another_file_names_that_one(tmp_path: Path) -> None:
    source = tmp_path / "elsewhere" / "photo.jpg"
    with pytest.raises(OutputError) as caught, new_file(tmp_path / "out" / "out.csv"):
        source.read_bytes()
    assert str(caught.value).startswith(f"{source}: No such file or directory, while {tmp_path}")
    assert names_in(tmp_path / "out") == []


def test_an_error_of_ours_passes_unchanged(tmp_path: Path) -> None:
    error = OutputError("mine")
    with pytest.raises(OutputError) as caught, new_folder(tmp_path / "run", ours=OURS), new_file(tmp_path / "out.csv"):
        raise error
    assert caught.value is error
    assert names_in(tmp_path) == []


def test_explaining_with_a_name_alone() -> None:
    assert explain(raising(errno.ENOSPC), "output").startswith("output: no space left")
    assert explain(OSError("odd"), Path("a")) == "a: cannot be written (odd). Choose another --out."


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    with new_file(tmp_path / "out.csv") as one, new_file(tmp_path / "out.csv") as two:
        assert one != two
        one.write_text("1")
        two.write_text("2")
    assert (tmp_path / "out.csv").read_text() == "1"
    assert names_in(tmp_path) == ["out.csv"]


def test_a_folder_that_holds_anything_else_is_never_replaced(tmp_path: Path) -> None:
    folder = fill(tmp_path / "run", old="old", thesis="precious")
    with (
        pytest.raises(OutputError, match=r"holds 'thesis', .* does not replace it"),
        new_folder(folder, ours={"old"}, overwrite=True),
    ):
        pass
    assert names_in(folder) == ["old", "thesis"]


# Folders that are taken up again


def fill_and_raise(folder: Path, error: type[BaseException] | BaseException, **files: str) -> None:
    fill(folder, **files)
    raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Killed, SystemExit])
def test_what_an_interrupted_run_has_written_is_there_for_the_next(tmp_path: Path, error: type[BaseException]) -> None:
    out = tmp_path / "deep" / "run"
    with pytest.raises(error), resumable_folder(out, ours=OURS) as part:
        fill_and_raise(part, error, one="1")
    assert not out.exists()
    assert [name.startswith(".") for name in names_in(out.parent)] == [True]  # hidden from a listing of images
    with resumable_folder(out, ours=OURS) as part:
        assert names_in(part) == ["one"]
        fill(part, two="2")
        assert not out.exists()
    assert (names_in(out), names_in(out.parent)) == (["one", "two"], ["run"])


def test_runs_beside_each_other_are_taken_up_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with pytest.raises(Killed), resumable_folder(tmp_path / name, ours=OURS) as part:
            fill_and_raise(part, Killed, **{name: "mine"})
    for name in ("one", "two"):
        with resumable_folder(tmp_path / name, ours=OURS):
            pass
        assert names_in(tmp_path / name) == [name]


def test_a_folder_to_be_taken_up_is_refused_where_a_new_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "run", old="old")
    fill(tmp_path / "walk", old="old", thesis="precious")
    (tmp_path / "file").write_text("mine")
    fill(tmp_path / "here" / "data", photo="precious")
    monkeypatch.chdir(tmp_path / "here" / "data")
    before = sorted(tmp_path.rglob("*"))
    for out, overwrite, reason in (
        *((tmp_path / "run", False, "exists"), (tmp_path / "file", True, "is not a folder")),
        *((tmp_path / "walk", True, "holds 'thesis'"), (tmp_path / "here", True, "holds the current folder")),
        *((Path(), True, "holds the current folder"), (tmp_path / "file" / "x", False, "a file lies where a folder")),
        (tmp_path / ("n" * 300), False, "the name is too long"),
    ):
        with pytest.raises(OutputError, match=reason), resumable_folder(out, ours=OURS, overwrite=overwrite):
            pytest.fail("the block must not run")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_old_folder_stands_until_the_one_that_is_taken_up_is_whole(tmp_path: Path) -> None:
    out = fill(tmp_path / "run", old="old")
    with pytest.raises(Killed), resumable_folder(out, ours=OURS, overwrite=True) as part:
        fill_and_raise(part, Killed, one="1")
    assert names_in(out) == ["old"]
    with resumable_folder(out, ours=OURS, overwrite=True) as part:
        fill(part, two="2")
    assert (names_in(out), names_in(tmp_path)) == (["one", "two"], ["run"])


@pytest.mark.parametrize(("overwrite", "reason"), [(False, "exists"), (True, "holds 'thesis'")])
def test_what_comes_to_lie_there_meanwhile_is_not_replaced(tmp_path: Path, overwrite: bool, reason: str) -> None:
    out = tmp_path / "run"
    meanwhile = {"old": "of another run"} | ({"thesis": "precious"} if overwrite else {})
    with pytest.raises(OutputError, match=reason), resumable_folder(out, ours=OURS, overwrite=overwrite) as part:
        assert fill(part, one="1") != fill(out, **meanwhile)
    assert names_in(out) == sorted(meanwhile)
    for path in out.iterdir():
        path.unlink()
    out.rmdir()
    with resumable_folder(out, ours=OURS):
        pass
    assert names_in(out) == ["one"]


@posix
def test_a_link_is_replaced_by_what_is_taken_up(tmp_path: Path) -> None:
    real = fill(tmp_path / "real", old="old")
    (tmp_path / "run").symlink_to(real)
    with resumable_folder(tmp_path / "run", ours=OURS, overwrite=True) as part:
        fill(part, new="new")
    assert (names_in(real), names_in(tmp_path / "run"), names_in(tmp_path)) == (["old"], ["new"], ["real", "run"])


@pytest.mark.parametrize(
    ("code", "said"), [(errno.ENOSPC, "no space left on the disk"), (errno.EROFS, "not allowed to write there")]
)
def test_a_disk_that_refuses_costs_nothing_that_was_written(tmp_path: Path, code: int, said: str) -> None:
    out = tmp_path / "run"
    with pytest.raises(OutputError, match=said) as caught, resumable_folder(out, ours=OURS) as part:
        fill_and_raise(part, raising(code), one="1")
    assert "\n" not in str(caught.value)
    with resumable_folder(out, ours=OURS) as part:
        assert names_in(part) == ["one"]


def test_a_relative_folder_lies_in_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Killed), resumable_folder(Path("run"), ours=OURS) as part:
        fill_and_raise(part, Killed, one="1")
    with resumable_folder(tmp_path / "run", ours=OURS):
        pass
    assert names_in(tmp_path / "run") == ["one"]

import errno
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.errors import OutputError
from crackscope.files import journal as journal_module
from crackscope.files.journal import Journal

PATHS = [f"patch{i}.png" for i in range(20)]


def open_at(folder: Path, *, task: str = "t", paths: list[str] = PATHS) -> Journal:
    return Journal(folder / "out.csv", task=task, paths=paths)


def fill(folder: Path, n_rows: int, **changes: Any) -> Path:
    with open_at(folder) as journal:
        for path in PATHS[:n_rows]:
            journal.append({"path": path, "error": None} | changes)
    return folder / ".out.csv.journal"


def resumed(folder: Path, **settings: Any) -> int:
    with open_at(folder, **settings) as journal:
        assert [row["path"] for row in journal.rows()] == PATHS[: journal.n_rows]
        return journal.n_rows


@pytest.mark.parametrize(("n_rows", "kept"), [(0, 0), (1, 1), (3, 3), (20, 20)])
def test_every_row_is_taken_over(tmp_path: Path, n_rows: int, kept: int) -> None:
    fill(tmp_path, n_rows)
    assert resumed(tmp_path) == kept
    assert resumed(tmp_path) == kept


def test_rows_go_on_where_they_ended(tmp_path: Path) -> None:
    fill(tmp_path, 6)
    with open_at(tmp_path) as journal:
        for path in PATHS[journal.n_rows : 10]:
            journal.append({"path": path})
        assert journal.n_rows == 10
        assert [row["path"] for row in journal.rows()] == PATHS[:10]
        journal.append({"path": PATHS[10]})
        assert len(list(journal.rows())) == 11
        journal.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"task": "other"}, 0),
        ({"paths": PATHS[::-1]}, 0),
        ({"paths": PATHS[:9] + PATHS[10:]}, 9),
        ({"paths": PATHS[:6]}, 6),
        ({"paths": [*PATHS, "more.png"]}, 14),
        ({"paths": []}, 0),
    ],
)
def test_rows_of_another_task_or_other_inputs_are_not(tmp_path: Path, settings: dict[str, Any], kept: int) -> None:
    fill(tmp_path, 14)
    assert resumed(tmp_path, **settings) == kept


@settings(deadline=None)
@given(cut=st.integers(0, 1200), tail=st.binary(max_size=20) | st.sampled_from([b"7\n", b"null\n", b"[]\n", b"\0" * 9]))
def test_a_torn_journal_gives_back_what_is_whole(
    tmp_path_factory: pytest.TempPathFactory, cut: int, tail: bytes
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    journal = fill(folder, 20)
    content = journal.read_bytes()
    head = content.index(b"\n") + 1
    journal.write_bytes(content[:cut] + tail)
    n_whole = content[head:cut].count(b"\n")
    found = resumed(folder)
    assert n_whole <= found
    assert found <= n_whole + (tail.count(b"\n") and 1)
    assert journal.read_bytes().count(b"\n") == found + 1


def test_an_outage_before_the_end_is_tried_again(tmp_path: Path) -> None:
    lost = (1, 3, *range(9, 20))
    with open_at(tmp_path) as journal:
        for i, path in enumerate(PATHS):
            journal.append({"path": path, "error": "cannot be read: Stale file handle" if i in lost else None})
    assert resumed(tmp_path) == 9


def test_refused_photos_are_not_looked_at_again(tmp_path: Path) -> None:
    fill(tmp_path, 20, error="4000×3000 px is a photo")
    assert resumed(tmp_path) == 20


def test_a_file_that_changed_since_is_done_again(tmp_path: Path) -> None:
    paths = [str(tmp_path / path) for path in PATHS]
    for path in paths:
        with open(path, "w"):  # noqa: PTH123
            pass
    with open_at(tmp_path, paths=paths) as journal:
        for path in paths:
            journal.append({"path": path, "error": None})
    with open_at(tmp_path, paths=paths) as journal:
        assert journal.n_rows == 20
    later = time.time() + 60
    os.utime(paths[9], (later, later))
    with open_at(tmp_path, paths=paths) as journal:
        assert journal.n_rows == 9


def test_rows_with_a_state_are_asked_for_it(tmp_path: Path) -> None:
    states: list[dict[str, Any] | None] = [{"n_bytes": i} if i % 2 else None for i in range(20)]
    with open_at(tmp_path) as journal:
        for path, state in zip(PATHS, states, strict=True):
            journal.append({"path": path, "error": None}, state=state)
        assert all(row == {"path": row["path"], "error": None} for row in journal.rows())
    asked: dict[int, object] = {}

    def unchanged(i: int, state: object) -> bool:
        asked[i] = state
        return i != 7

    with Journal(tmp_path / "out.csv", task="t", paths=PATHS, unchanged=unchanged) as journal:
        assert journal.n_rows == 7
    assert asked == dict(enumerate(states[:8]))


def test_an_archive_that_changed_since_is_done_again(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar"
    archive.write_bytes(b"")
    paths = [f"{archive}/{i}.png" for i in range(4)]
    with open_at(tmp_path, paths=paths) as journal:
        for path in paths:
            journal.append({"path": path, "error": None})
    with open_at(tmp_path, paths=paths) as journal:
        assert journal.n_rows == 4
    later = time.time() + 60
    os.utime(archive, (later, later))
    with open_at(tmp_path, paths=paths) as journal:
        assert journal.n_rows == 0


def test_two_runs_do_not_write_one_output(tmp_path: Path) -> None:
    with open_at(tmp_path) as journal:
        journal.append({"path": PATHS[0]})
        with pytest.raises(OutputError, match=r"out\.csv: another run is writing it"):
            open_at(tmp_path)
        journal.append({"path": PATHS[1]})
        assert len(list(journal.rows())) == 2
    assert resumed(tmp_path) == 2


HOLDING = """
import sys, time
from pathlib import Path
from crackscope.files.journal import Journal
journal = Journal(Path(sys.argv[1]), task="t", paths=sys.argv[2:])
journal.append({"path": sys.argv[2]})
print("begun", flush=True)
time.sleep(600)
"""


def test_a_run_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "out.csv"), *PATHS]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"begun\n"
        with pytest.raises(OutputError, match=r"out\.csv: another run is writing it\. Wait for it"):
            open_at(tmp_path)
        running.kill()
    assert resumed(tmp_path) == 1


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks_lets_every_run_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(fd: int, *, blocking: bool) -> None:
        assert not blocking
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(journal_module, "lock_descriptor", refuse)
    with open_at(tmp_path) as journal, open_at(tmp_path):
        journal.append({"path": PATHS[0]})
        journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_what_is_done_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_at(tmp_path)
    with suppress(OutputError), journal:
        for path in PATHS[:8]:
            journal.append({"path": path})

        class Full:
            write = journal._file.write

            def flush(self) -> None:
                raise OSError(28, "No space left on device")

            def close(self) -> None:
                journal_file.close()
                raise OSError(28, "No space left on device")

        journal_file, full_file = journal._file, Full()
        monkeypatch.setattr(journal, "_file", full_file)
        with pytest.raises(OutputError, match="no space left"):
            journal.append({"path": PATHS[8]})
        raise OutputError("as the caller would")
    assert resumed(tmp_path) == 9  # the row that was told of reached the disk after all


def test_a_place_that_cannot_hold_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError, match=r"out\.csv"):
            open_at(folder)
    (tmp_path / ".out.csv.journal").mkdir()
    with pytest.raises(OutputError, match=r"out\.csv"):
        open_at(tmp_path)


def test_lines_are_ascii_json(tmp_path: Path) -> None:
    path = fill(tmp_path, 1, error="größer\nals\udcff")
    lines = path.read_bytes().decode("ascii").splitlines()
    assert json.loads(lines[1])["error"] == "größer\nals\udcff"

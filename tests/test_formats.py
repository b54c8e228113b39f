"""docs/formats.md tells of every field that a command writes, and of no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from crackscope.cli import app
from shared.command import Run
from shared.formats import FAILED, PRINTED, FormatsPage, compare_folder, differences, table_differences, unwritten
from shared.world import CASES, World

PAGE = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
COMMANDS = {command.callback.__name__ for command in app.registered_commands if command.callback}


def compared(page: FormatsPage, name: str, world: World) -> list[str]:
    """What differs between the page and one of the cases."""
    command, ran = CASES[name].command, world.ran(name)
    assert ran.result.code in (0, 3), ran.result.err
    form = page.form(command, PRINTED)
    assert form is not None, command
    printed = [f"{command}, {PRINTED}: {one}" for one in differences(ran.result.json, form)]
    return printed + compare_folder(page, command, ran.folder)


@pytest.mark.slow
def test_the_page_tells_of_every_field_and_of_no_other(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    page = FormatsPage(PAGE)
    for case in CASES.values():
        if case.needs:
            pytest.importorskip(case.needs)
    found = [one for name in CASES for one in compared(page, name, world)]
    found += compared_lines(page, world, run)
    found += compared_failures(page, run, monkeypatch)
    assert not found, "\n".join(found)
    assert [one for one in page.unwritten() if not one.startswith("`demo`")] == []  # tests/test_demo.py


def compared_lines(page: FormatsPage, world: World, run: Run) -> list[str]:
    """What differs between the page and what `evaluate` writes where a model has a fine map."""
    (photos, masks), out = world.masked_photos(), world.folder / "lines"
    given = ("--masks", masks, "--joints", world.joints(), "--model", world.fine_model())
    printed = run("evaluate", photos, *given, "--out", out, "--json").json
    form = page.form("evaluate", PRINTED)
    assert form is not None
    return [*differences(printed, form), *compare_folder(page, "evaluate", out)]


def compared_failures(page: FormatsPage, run: Run, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What differs between the page and the documents of an error, of wrong usage and of Ctrl-C."""
    form = page.form(FAILED, PRINTED)
    assert form is not None
    failed = [run("bundle", "nowhere.onnx", "--json"), run("predict", "--threads", "none", "--json")]

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crackscope.model.bundle.read_bundle", interrupt)
    failed.append(run("bundle", "--json"))
    assert [one.code for one in failed] == [1, 2, 130]
    return [one for result in failed for one in differences(result.json, form)]


def test_every_command_is_called() -> None:
    assert {case.command for case in CASES.values()} == COMMANDS - {"demo"}
    page = FormatsPage(PAGE)
    assert [command for command in COMMANDS if page.form(command, PRINTED) is None] == []


# How the page is compared

SMALL = """
# Title
## An end
| field | meaning |
| --- | --- |
| `low`, `high` | ends |

## `a`, `b`: `x.json`
| field | meaning |
| --- | --- |
| `n` | number |
| `note` | a note; only with a letter |
| `runs[].figure` | see [ends](#an-end) |
| `counts.*` | number of each |
| `free.**` | anything |

## `a`: `--json`
Has all fields of
[`x.json`](#a-b-xjson), and:

| field | meaning |
| --- | --- |
| `status` | how it ended |

## `a`: `deep/*.csv`
| field | meaning |
| --- | --- |
| `path` | path |
| `extra` | only with luck |
| `label_*` | answers |
"""
WHOLE = {"n": 1, "runs": [{"figure": {"low": 0, "high": None}}], "counts": {"crack": 1}, "free": {"a": {"b": [1]}}}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (WHOLE, []),
        (WHOLE | {"note": "so"}, []),
        (WHOLE | {"runs": [], "counts": {}}, []),
        (WHOLE | {"runs": None}, []),
        (WHOLE | {"other": 1}, ["other is written, and not told"]),
        ({key: WHOLE[key] for key in WHOLE if key != "n"}, ["n is told, and not written"]),
        (
            WHOLE | {"runs": [{"figure": {"low": 0, "mid": 1}}]},
            ["runs[].figure.mid is written, and not told", "runs[].figure.high is told, and not written"],
        ),
        (WHOLE | {"n": {"deep": 1}}, ["n.deep is written, and not told"]),
        (WHOLE | {"n": [{"deep": 1}]}, ["n[] is an object, and not told"]),
        (WHOLE | {"n": [[1, 2], [3, 4]]}, []),
        (WHOLE | {"runs": 3}, ["runs is told as an object or a list, and is 3"]),
    ],
)
def test_a_document_is_compared_with_its_form(document: dict[str, object], told: list[str]) -> None:
    form = FormatsPage(SMALL).form("b", "x.json")
    assert form is not None
    assert list(differences(document, form)) == told


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (["path", "label_a", "label_b"], []),
        (["path", "extra", "label_a"], []),
        (["path", "label_a", "more"], ["more is written, and not told"]),
        (["label_a"], ["path is told, and not written"]),
        (["label_a", "path"], ["the order of the columns is told otherwise than label_a, path"]),
    ],
)
def test_a_table_is_compared_with_its_form(columns: list[str], told: list[str]) -> None:
    form = FormatsPage(SMALL).form("a", "deep/2.csv")
    assert form is not None
    assert list(table_differences(columns, form)) == told


def test_a_field_that_is_never_written_is_found() -> None:
    form = FormatsPage(SMALL).form("a", PRINTED)
    assert form is not None
    assert list(differences(WHOLE | {"status": "done", "runs": []}, form)) == []
    assert list(unwritten(form)) == ["note", "runs[]"]


def test_a_file_is_found_by_command_and_path() -> None:
    page = FormatsPage(SMALL)
    assert page.form("a", "any/deep/1.csv") is not None
    assert page.form("a", "other/1.csv") is None
    assert page.form("b", "deep/1.csv") is None

"""The notebook runs from top to bottom, on drawn walls and on METU; the page on recipes says what the code says."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import nbformat
import pytest
from pydantic import BaseModel

from crackscope.reports import comparison_report, evaluation_report
from crackscope.training.recipes import HEAD, Recipe, _keys, read_recipe, recipe_names
from crackscope.training.run_folder import RECIPE_FILES
from shared.real_photos import photos_with_masks

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "metu.ipynb"
SCAN_NOTEBOOK = ROOT / "examples" / "scan.ipynb"
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
read_notebook: Any = nbformat.read  # the two are not typed
new_code_cell: Any = nbformat.v4.new_code_cell
CELL_SECONDS = 1800  # for a machine that is busy with other things


# The notebook as it is committed


@pytest.mark.parametrize("file", [NOTEBOOK, SCAN_NOTEBOOK], ids=lambda file: str(file.name))
def test_a_notebook_is_committed_without_outputs_and_for_any_machine(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    notebook = read_notebook(file, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            assert len(cell.source.splitlines()) <= 15
    assert not re.search(r"/home/|/work/|/tmp/|/Users/|[A-Z]:\\\\", text)
    assert [cell.metadata.get("tags") for cell in notebook.cells].count(["parameters"]) == 1


# The notebook as it runs


def executed(
    folder: Path, settings: str, monkeypatch: pytest.MonkeyPatch, *, file: Path = NOTEBOOK, **environment: str
) -> Any:
    """A notebook after its run in a folder, with its settings changed as papermill would; a failing cell raises."""
    if file == NOTEBOOK:
        pytest.importorskip("torch", reason="the extra `train` is not installed")
    from nbclient import NotebookClient

    for name in ("CRACKSCOPE_METU", "CRACKSCOPE_BACKBONE", "CRACKSCOPE_PHOTOS", "CRACKSCOPE_MASKS"):
        monkeypatch.delenv(name, raising=False)
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")}
    own = {"IPYTHONDIR": str(folder / "ipython"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    for name, value in {**offline, **own, **environment}.items():
        monkeypatch.setenv(name, value)
    notebook = read_notebook(file, as_version=4)
    after = next(i for i, cell in enumerate(notebook.cells) if cell.metadata.get("tags") == ["parameters"]) + 1
    notebook.cells.insert(after, new_code_cell(settings))
    client = NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(folder)}})
    return client.execute()


def printed(notebook: Any) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


def n_pictures(notebook: Any) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def accuracy(text: str) -> float:
    found = re.search(r"accuracy on \d+ test patches: (\d\.\d{4}) \[", text)
    assert found
    return float(found[1])


@pytest.mark.slow
def test_the_notebook_on_photos_runs_on_drawn_walls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = executed(tmp_path, "N_WALLS = 2", monkeypatch, file=SCAN_NOTEBOOK)
    text = printed(notebook)
    assert n_pictures(notebook) == 2  # the overlay is a JPEG
    for line in ("so walls are drawn", "2 photos", "a map of", "scale 0.625", "refused: 0", "wall-1.jpg,", "auroc: "):
        assert line in text
    assert (tmp_path / "runs" / "scan-notebook" / "scan" / "report.html").is_file()


@pytest.mark.slow
def test_the_notebook_on_photos_runs_on_real_ones(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = photos_with_masks(real_data, tmp_path / "photos", parts=("test",))  # others were learnt
    places = {"CRACKSCOPE_PHOTOS": str(photos / "images"), "CRACKSCOPE_MASKS": str(photos / "masks")}
    text = printed(executed(tmp_path, "", monkeypatch, file=SCAN_NOTEBOOK, **places))
    found = re.search(r"auroc: (0\.\d{3}) \[", text)
    assert found
    assert float(found[1]) > 0.95


@pytest.mark.slow
def test_without_data_and_backbone_the_notebook_tells_its_story_on_drawn_walls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = executed(tmp_path, "N_WALLS, EPOCHS = 12, 2", monkeypatch)
    text = printed(notebook)
    assert n_pictures(notebook) == 10
    assert accuracy(text) > 0.5
    for line in (
        "so walls are drawn",
        "split by photo: No leaks.",
        "of 12 photos or groups, 12 are on two sides",
        "Rebuild the split with `crackscope split --by photo`",  # a random split is refused
        "No backbone, so the small network of `cnn-scratch`",
        "finetuning 2/2",
        "block_4",
        "weighted avg",
        "always crack",
        "leaky: False",
        "letter.jpg",
        "augmented against plain",
    ):
        assert line in text
    runs = tmp_path / "runs" / "metu-notebook"
    assert {path.name for path in runs.iterdir() if path.is_dir()} == {
        *("augmented", "comparison", "mine", "plain", "walls")
    }


@pytest.mark.slow
def test_the_notebook_tells_its_story_on_metu(
    real_data: Path, real_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: dict[str, Any] = {
        "CRACKSCOPE_METU": str(real_data / "metu_sample.tar"),
        "CRACKSCOPE_BACKBONE": str(real_weights),
    }
    notebook = executed(tmp_path, "N_PATCHES, EPOCHS = 600, 2", monkeypatch, **places)
    text = printed(notebook)
    assert n_pictures(notebook) == 10
    assert accuracy(text) > 0.95
    for line in (
        "of these 600, {'uncracked': 300, 'crack': 300}",
        "photos are not known",
        "split by similarity: No leaks.",
        "Rebuild the split with `crackscope split --by similarity`",
        "mobilenetv2-augmented: augmented views",
        "frozen 2/2",
        "finetuning 2/2",
        "leaky: True",  # the model that comes with crackscope has seen METU
        "augmented against plain",
    ):
        assert line in text
    assert "drawn" not in text
    assert "No backbone" not in text


# The page on recipes


def rows(title: str) -> list[list[str]]:
    """Cells of all tables of the page whose first column has a title."""
    found, inside = [], False
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == title:
            inside = True
        elif inside and not set(line) <= set("|- "):
            found.append(cells)
    return found


def default_of(key: str) -> str:
    """How the page writes a setting's default."""
    form: type[BaseModel] = Recipe
    *tables, last = key.split(".")
    for table in tables:
        annotation = form.model_fields[table].annotation
        inner = (annotation, *getattr(annotation, "__args__", ()))
        form = next(part for part in inner if isinstance(part, type) and issubclass(part, BaseModel))
    field = form.model_fields[last]
    default = field.default
    if field.is_required():
        return "required"
    if isinstance(default, BaseModel):
        return "as below"
    if default == "":
        return "empty"
    if isinstance(default, tuple):
        return f"`{list(default)}`"
    if isinstance(default, bool) or default is None:
        return f"`{default}`".lower()
    return f"`{default}`" if isinstance(default, str) else f"`{default:g}`"


def test_the_page_has_every_setting_once_with_its_default() -> None:
    said = [(key, cells[2]) for cells in rows("key") for key in re.findall(r"`([^`]+)`", cells[0])]
    assert sorted(said) == sorted((key, default_of(key)) for key in _keys(Recipe))


def test_the_page_lists_every_recipe_with_its_source_and_what_to_expect() -> None:
    listed = {cells[0].strip("`"): cells for cells in rows("recipe")}
    assert sorted(listed) == sorted([*recipe_names(), HEAD])
    for name in recipe_names():
        recipe = read_recipe(name)
        assert listed[name][1] == recipe.source
        assert listed[name][4] == recipe.expected


def test_the_page_names_every_file_of_a_run_and_of_a_comparison() -> None:
    assert sorted(cells[0].strip("`") for cells in rows("file")) == sorted(RECIPE_FILES)
    for name in (*evaluation_report.FILES, *comparison_report.FILES):
        assert f"`{name}`" in PAGE


def test_every_change_that_the_page_shows_is_one_that_recipes_take() -> None:
    commands = [shlex.split(line) for line in PAGE.splitlines() if line.startswith("$ ") and "--set" in line]
    assert len(commands) > 5
    for words in commands:
        name = words[words.index("--recipe") + 1]
        changes = [value for option, value in itertools.pairwise(words) if option == "--set"]
        assert read_recipe(name, changes) != read_recipe(name)

"""Whatever is planted is found, what is clean is left alone, and a cleaned index can be read back."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from playwright.sync_api import Browser

import crackscope
from crackscope.auditing.audit import _kept_together
from crackscope.auditing.cleaning import require_cleanable, write_clean_index
from crackscope.auditing.kinds import KINDS, Audit, AuditFinding, left_out
from crackscope.data.cache import Rows
from crackscope.data.patches import Patch, read_patches
from crackscope.data.splits import Split, write_split
from crackscope.drawing.walls import draw_patch
from crackscope.errors import BundleError, DataError, OutputError, SplitError
from crackscope.reports import audit_report
from crackscope.reports.audit_report import FILES, FILES_APART, write_audit
from shared.command import Run
from shared.markup import ReadPage
from shared.pages import violations
from shared.sdnet import draw_sdnet, photos_of_scenes

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "audit.py"


def benchmark() -> Any:
    """The module that plants faults, whose figures README quotes."""
    spec = importlib.util.spec_from_file_location("audit_benchmark", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Planted:
    """A drawn set with faults of every kind, and its audit."""

    def __init__(self, folder: Path) -> None:
        self.module = benchmark()
        self.table, self.split, self.truth = self.module.plant(folder, n_photos=32, side_px=128)
        self.audit = crackscope.audit(self.table, split=self.split)

    def found(self, kind: str) -> set[frozenset[str]]:
        photo_of = {patch.path: patch.photo for patch in self.audit.index.patches}
        found: set[frozenset[str]] = self.module.found_of(self.audit.findings, kind, photo_of)
        return found


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return Planted(tmp_path_factory.mktemp("planted") / "walls")


@pytest.fixture
def walls(drawn: Path, tmp_path: Path) -> Path:
    """A folder of one's own, of 12 photos, with nothing wrong."""
    shutil.copytree(drawn.parent, tmp_path / "walls")
    return tmp_path / "walls"


def told(found: Audit) -> list[tuple[str, tuple[str, ...], float, str]]:
    return [(one.kind, one.files, one.score, one.why) for one in found.findings]


def of_kind(found: Audit, kind: str) -> list[AuditFinding]:
    return [finding for finding in found.findings if finding.kind == kind]


# What is planted is found


@pytest.mark.parametrize(
    "kind",
    [
        *("contradictory_duplicate", "exact_duplicate", "near_duplicate", "exact_leak", "near_leak", "photo_leak"),
        *("unreadable", "odd_file"),
    ],
)
def test_what_is_certain_is_found_and_nothing_else(planted: Planted, kind: str) -> None:
    assert planted.found(kind) == planted.truth[kind]


@pytest.mark.parametrize("kind", ["blurred", "dark", "overexposed", "low_information"])
def test_faulty_pictures_are_found(planted: Planted, kind: str) -> None:
    found, truth = planted.found(kind), planted.truth[kind]
    assert len(found & truth) >= 0.75 * len(truth)
    assert len(found - truth) <= 2


def test_wrong_labels_are_found(planted: Planted) -> None:
    found, truth = planted.found("label_error"), planted.truth["label_error"]
    assert len(truth) == round(0.05 * (len(planted.audit.index)))
    assert len(found & truth) >= 0.7 * len(truth)
    assert len(found & truth) >= 0.8 * len(found)


def test_every_finding_says_why_and_the_gravest_comes_first(planted: Planted) -> None:
    findings = planted.audit.findings
    order = [list(KINDS).index(finding.kind) for finding in findings]
    assert order == sorted(order)
    for kind in KINDS:
        scores = [finding.score for finding in of_kind(planted.audit, kind)]
        assert scores == sorted(scores, reverse=True)
    assert all(finding.why and finding.score > 0 for finding in findings)
    assert sum(planted.audit.counts().values()) == len(findings)
    first = findings[0]
    assert first.why.startswith("the same")
    assert "1 labelled crack, 1 uncracked; judging by other patches, it is" in first.why


def test_a_patch_with_opposite_copies_is_not_told_twice(planted: Planted) -> None:
    contradictory = {path for one in of_kind(planted.audit, "contradictory_duplicate") for path in one.files}
    assert not contradictory & {path for one in of_kind(planted.audit, "label_error") for path in one.files}


def test_facts_count_what_is_there(planted: Planted) -> None:
    facts, index = planted.audit.facts, planted.audit.index
    assert facts["n_patches"] == len(index) == sum(facts["labels"].values())
    assert facts["n_readable"] == len(index) - len(planted.truth["unreadable"])
    assert facts["n_contents"] < facts["n_readable"]
    assert sum(sum(labels.values()) for labels in facts["parts"].values()) == len(index)
    assert facts["n_photos"] == len({patch.photo for patch in index.patches})
    assert facts["label_error"]["accuracy"] > 0.85
    assert planted.audit.skipped == {}


# Nothing is found where nothing is wrong, and nothing depends on how it is read


def test_an_archive_gives_the_same_findings_as_its_folder(walls: Path, tmp_path: Path) -> None:
    shutil.copy(next((walls / "crack").iterdir()), walls / "crack" / "copy.jpg")
    with (walls / "labels.csv").open("a") as file:
        file.write("crack/copy.jpg,crack,other\n")
    with tarfile.open(tmp_path / "walls.tar", "w") as archive:
        archive.add(walls, "walls")
    from_folder, from_archive = crackscope.audit(walls), crackscope.audit(tmp_path / "walls.tar")
    assert from_folder.counts()["exact_duplicate"] == 1
    assert [one.files for one in from_archive.findings] == [
        tuple(f"walls/{path}" for path in one.files) for one in from_folder.findings
    ]
    assert [one.why for one in from_archive.findings] == [one.why for one in from_folder.findings]


@settings(max_examples=4, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_neither_order_nor_threads_change_a_finding(drawn: Path, rng: Any, threads: int) -> None:
    index = read_patches(drawn)
    patches = [replace(patch, part=("train", "test")[i % 2]) for i, patch in enumerate(index.patches)]
    patches[3] = replace(patches[3], label="crack" if patches[3].label == "uncracked" else "uncracked")
    expected = crackscope.audit(index.select(patches), threads=1)
    assert expected.counts()["photo_leak"] == 12
    rng.shuffle(patches)
    again = crackscope.audit(index.select(patches), threads=threads)
    assert told(again) == told(expected)
    assert again.facts == expected.facts


def test_a_clean_set_has_no_finding(drawn: Path) -> None:
    found = crackscope.audit(drawn)
    assert (found.findings, found.skipped, found.document()["status"]) == ((), {}, "clean")


# Leaving out


def test_copies_with_one_label_leave_one_in_test_before_val_before_train(drawn: Path) -> None:
    index = read_patches(drawn)
    one, two, three, four, five = index.patches[:5]
    patches = [replace(one, part="train"), replace(two, part="val"), replace(three, part="test"), four, five]
    paths = [patch.path for patch in patches]
    copies = AuditFinding("exact_duplicate", tuple(paths[:4]), 4.0, "")
    found = Audit(index.select(patches), (copies,), {})
    assert left_out(found) == dict.fromkeys(sorted({paths[0], paths[1], paths[3]}), "exact_duplicate")
    doubted = AuditFinding("label_error", (paths[2],), 0.9, "")
    assert left_out(replace(found, findings=(doubted, copies))) == {
        **dict.fromkeys((paths[0], paths[3]), "exact_duplicate"),
        paths[2]: "label_error",
    }


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_of_copies_one_stays_and_of_contradictions_none(drawn: Path, data: st.DataObject) -> None:
    index = read_patches(drawn)
    paths, findings, at = index.paths, [], 0
    while at < 40:
        n = data.draw(st.integers(2, 4))
        kind = data.draw(st.sampled_from(["exact_duplicate", "near_duplicate", "contradictory_duplicate", "blurred"]))
        findings.append(AuditFinding(kind, tuple(paths[at : at + n]), float(n), "why"))
        at += n
    parts = data.draw(
        st.lists(st.sampled_from(["train", "val", "test", None]), min_size=len(paths), max_size=len(paths))
    )
    patches = [replace(patch, part=part) for patch, part in zip(index.patches, parts, strict=True)]
    without = left_out(Audit(index.select(patches), tuple(findings), {}))
    part_of = dict(zip(paths, parts, strict=True))
    for finding in findings:
        kept = [path for path in finding.files if path not in without]
        if finding.kind == "blurred":
            assert len(kept) == len(finding.files)
        elif finding.kind == "contradictory_duplicate":
            assert kept == []
        else:
            (only,) = kept
            rank = ["test", "val", "train", None].index
            assert rank(part_of[only]) == min(rank(part_of[path]) for path in finding.files)


def test_a_cleaned_index_is_read_back_and_holds_no_more_of_it(planted: Planted, tmp_path: Path) -> None:
    folder = planted.table.parent
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    out = tmp_path / "elsewhere" / "clean.csv"
    out.parent.mkdir()
    n_kept = write_clean_index(planted.audit, planted.table, out)
    index = read_patches(out)
    assert len(index) == n_kept == len(planted.audit.index) - len(left_out(planted.audit))
    kept = {patch.path.rpartition("walls/")[2]: patch for patch in index.patches}
    for patch in planted.audit.index.patches:
        if patch.path in kept:
            mine = kept[patch.path]
            assert (mine.label, mine.photo, mine.part) == (patch.label, patch.photo, patch.part)
    again = crackscope.audit(out).counts()
    for kind in ("contradictory_duplicate", "exact_duplicate", "near_duplicate", "exact_leak", "unreadable"):
        assert again[kind] == 0, kind
    assert again["photo_leak"] == len(planted.truth["photo_leak"])  # single patches left out do not mend it
    assert again["low_information"] == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_what_could_not_be_read_back_is_refused_at_once(walls: Path, tmp_path: Path) -> None:
    index = read_patches(walls)
    with pytest.raises(DataError, match=r"is an archive, .* Unpack it first"):
        require_cleanable(index, tmp_path / "walls.tar", tmp_path / "clean.csv")
    with pytest.raises(DataError, match=r"end in \.csv"):
        require_cleanable(index, walls, tmp_path / "clean.txt")
    (tmp_path / "taken.csv").write_text("")
    with pytest.raises(OutputError, match="--overwrite"):
        require_cleanable(index, walls, tmp_path / "taken.csv")
    require_cleanable(index, walls, tmp_path / "taken.csv", overwrite=True)
    for table in (walls / "labels.csv", walls / "crack" / "labels.csv"):
        with pytest.raises(OutputError, match=r"is read by a table of that name\. Choose another path"):
            require_cleanable(index, walls, table, overwrite=True)
    with pytest.raises(OutputError, match="is read by a table"):
        require_cleanable(index, walls / "labels.csv", walls / "crack" / ".." / "labels.csv", overwrite=True)
    require_cleanable(index, walls / "labels.csv", walls / "clean.csv", overwrite=True)
    for name in ("crack/ends with a blank.jpg ", "crack/back\\slash.jpg", "crack/\udcff.jpg"):
        odd = index.select([Patch(name, "crack")])
        with pytest.raises(DataError, match="Rename"):
            require_cleanable(odd, walls, tmp_path / "clean.csv")
    breaks = index.select([Patch("crack/new\nline and carriage\rreturn.jpg", "crack")])
    require_cleanable(breaks, walls, tmp_path / "clean.csv")
    nothing = Audit(index, tuple(AuditFinding("unreadable", (path,), 1.0, "empty") for path in index.paths), {})
    with pytest.raises(DataError, match="every patch would be left out"):
        write_clean_index(nothing, walls, tmp_path / "clean.csv")


# Files unlike the rest, and labels that lack


def test_odd_files_are_told_with_what_is_odd(walls: Path) -> None:
    (walls / "labels.csv").unlink()
    one, other, *_ = sorted((walls / "crack").iterdir())
    makers: dict[str, Callable[[Image.Image], Image.Image]] = {
        "cmyk.jpg": lambda image: image.convert("CMYK"),
        "grey.png": lambda image: image.convert("L"),
        "wide.png": lambda image: image.resize((200, 96)),
        "sixteen.png": lambda image: Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257),
    }
    for name, make in makers.items():
        with Image.open(one) as image:
            make(image.transpose(Image.Transpose.ROTATE_90)).save(walls / "crack" / name)
    with Image.open(other) as image:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.rotate(90).save(walls / "crack" / "turned.jpg", exif=exif, quality=97)
    cv2.imwrite(str(walls / "crack" / "strip.png"), draw_patch(9, side_px=160).pixels[:40])
    (walls / "lost").mkdir()
    shutil.copy(walls / "crack" / "turned.jpg", walls / "lost" / "nowhere.jpg")
    found = crackscope.audit(walls)
    why = {Path(one.files[0]).name: one.why for one in of_kind(found, "odd_file")}
    assert set(why) == {"cmyk.jpg", "grey.png", "wide.png", "sixteen.png", "turned.jpg", "strip.png"}
    assert "colour mode CMYK, while most files have RGB" in why["cmyk.jpg"]
    assert "colour mode L," in why["grey.png"]
    assert "colour mode I;16" in why["sixteen.png"]
    assert "200×96 px, while" in why["wide.png"]
    assert "EXIF orientation 6" in why["turned.jpg"]
    assert "160×40 px is" in why["strip.png"]  # and no patch at all
    assert [one.files for one in of_kind(found, "unlabelled")] == [("lost/nowhere.jpg",)]


def test_sizes_that_vary_are_judged_by_their_median(tmp_path: Path) -> None:
    for i, side in enumerate([64, 70, 76, 82, 88, 94, 100, 106, 30]):
        for label in ("crack", "uncracked"):
            (tmp_path / label).mkdir(exist_ok=True)
            pixels = draw_patch(2 * i + (label == "crack"), side_px=side, crack=label == "crack").pixels
            cv2.imwrite(str(tmp_path / label / f"{i}.png"), pixels)
    found = of_kind(crackscope.audit(tmp_path), "odd_file")
    assert sorted(Path(one.files[0]).name for one in found) == ["8.png", "8.png"]
    assert "while the median is 82×82 px" in found[0].why


def test_a_photo_whose_first_patch_cannot_be_read_is_not_torn_apart(drawn: Path) -> None:
    index = read_patches(drawn)
    patches = sorted(index.patches, key=lambda patch: (patch.photo or "", patch.path))
    photos = [patch.photo for patch in patches]
    first = {photos.index(photo): "the file is empty" for photo in set(photos)}
    patches.append(replace(patches[0], path="another.jpg", photo=None))  # so groups are needed
    values = np.random.default_rng(0).uniform(0, 255, (len(patches), 1035)).astype(np.float16)
    prints = Rows(values, tuple(b"%d" % i for i in range(len(patches))), first)
    groups = _kept_together(index.select(patches), prints, np.empty((0, 2), np.int64))
    of_photo: dict[str | None, set[int]] = {}
    for i, photo in enumerate(photos):
        if i not in first:
            of_photo.setdefault(photo, set()).add(int(groups[i]))
    assert [len(found) for found in of_photo.values()] == [1] * 12


def test_groups_of_a_split_are_not_taken_for_photos(drawn: Path) -> None:
    index = read_patches(drawn)
    grouped = [replace(patch, photo=f"group-{int((patch.photo or '')[-2:]):03d}") for patch in index.patches]
    flipped = grouped[0]
    grouped[0] = replace(flipped, label="crack" if flipped.label == "uncracked" else "uncracked")
    said: list[str] = []
    found = crackscope.audit(index.select(grouped), say=said.append)
    assert (found.facts["n_photos"], found.facts["patches_a_photo"]) == (None, None)
    assert "judging labels by patches of other groups that look alike" in said
    assert not any("other photos" in one.why for one in found.findings)
    assert found.facts["label_error"]["n_groups"] == 12


def test_a_label_that_lacks_skips_that_check_alone(drawn: Path) -> None:
    index = read_patches(drawn)
    cracked = index.select([patch for patch in index.patches if patch.label == "crack"])
    found = crackscope.audit(cracked)
    assert found.skipped == {"label_error": "no patch is labelled uncracked"}
    assert [one.why for one in found.findings] == ["in the set, no patch is labelled uncracked"]
    parts = [
        replace(p, part="test" if p.label == "crack" and p.photo == "photo-00" else "train") for p in index.patches
    ]
    assert "in part test, no patch is labelled uncracked" in [
        one.why for one in crackscope.audit(index.select(parts)).findings
    ]


def test_a_very_rare_label_is_told(drawn: Path) -> None:
    index = read_patches(drawn)
    clean = [replace(patch, photo=None) for patch in index.patches if patch.label == "uncracked"]
    missing = [Patch(f"uncracked/{i}.jpg", "uncracked") for i in range(100)]
    crack = next(patch for patch in index.patches if patch.label == "crack")
    found = crackscope.audit(index.select([crack, *clean, *missing]))
    (rare,) = of_kind(found, "rare_label")
    assert f"1 of {101 + len(clean)} patches is labelled crack" in rare.why
    assert found.counts()["unreadable"] == 100
    assert "one photo or group" in found.skipped["label_error"]


def test_one_photo_alone_cannot_be_judged_by_others(drawn: Path) -> None:
    index = read_patches(drawn)
    found = crackscope.audit(index.select([replace(patch, photo="one") for patch in index.patches]))
    assert found.skipped == {"label_error": "all patches are from one photo or group, so no other can judge them"}


def test_where_nothing_can_be_read_that_is_what_is_found(tmp_path: Path) -> None:
    for label in ("crack", "uncracked"):
        (tmp_path / label).mkdir()
        for i in range(3):
            (tmp_path / label / f"{i}.jpg").write_bytes(b"\xff\xd8 not much")
    found = crackscope.audit(tmp_path)
    assert found.counts() == {kind: 6 * (kind == "unreadable") for kind in KINDS}
    assert list(found.skipped) == ["label_error"]
    write_audit(found, tmp_path / "out")


def test_a_split_of_other_data_and_a_foreign_backbone_are_refused(drawn: Path, tmp_path: Path) -> None:
    write_split(Split((Patch("strange.jpg", "crack", "p", "train"),)), tmp_path / "split.csv")
    with pytest.raises(SplitError, match="belongs to other data"):
        crackscope.audit(drawn, split=tmp_path / "split.csv")
    with pytest.raises(BundleError):
        crackscope.audit(drawn, backbone=drawn)


def test_patches_that_a_split_does_not_name_are_in_no_part(drawn: Path) -> None:
    index = read_patches(drawn)
    named = [replace(patch, part="train") for patch in index.patches[::2]]
    found = crackscope.audit(index, split=Split(tuple(named)))
    assert len(found.index) == len(index)
    assert sum(patch.part is None for patch in found.index.patches) == len(index) - len(named)


def test_another_backbone_can_judge(drawn: Path, backbone_file: Path, bundle_file: Path) -> None:
    index = read_patches(drawn)
    for file in (backbone_file, bundle_file):
        judged = crackscope.audit(index, backbone=file).facts["label_error"]
        assert (judged["backbone"], judged["n_judged"]) == ("tiny", len(index))


# The folder


@pytest.fixture(scope="module")
def written(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("audit") / "deep" / "audit"
    return write_audit(planted.audit, out)


def test_the_folder_holds_every_finding_as_json_and_as_a_table(planted: Planted, written: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == sorted(FILES)
    document = json.loads((written / "audit.json").read_text(encoding="utf-8"))
    assert document["counts"] == planted.audit.counts()
    assert document["left_out"] == left_out(planted.audit)
    with (written / "audit.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["kind", "files", "score", "why", "left_out"]
    for row, finding, entry in zip(rows, planted.audit.findings, document["findings"], strict=True):
        assert row["files"].split(FILES_APART) == list(finding.files) == entry["files"]
        assert (row["kind"], row["why"]) == (finding.kind, finding.why) == (entry["kind"], entry["why"])
        dropped = [path for path in finding.files if path in document["left_out"]]
        assert row["left_out"] == FILES_APART.join(dropped)


def test_the_page_shows_the_worst_of_each_kind_and_fetches_nothing(planted: Planted, written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    page = ReadPage(text)
    pictured = [kind for kind in KINDS if kind not in ("unreadable", "unlabelled", "rare_label")]
    shown = [one for kind in pictured for one in of_kind(planted.audit, kind)[:12]]
    assert page.n_images == sum(min(4, len(one.files)) for one in shown)
    assert all(address.startswith(("data:image/", "#")) for address in page.fetched)
    assert "url(" not in text
    n_hidden = len(of_kind(planted.audit, "near_duplicate")) - 12
    assert f"{n_hidden} more in audit.csv" in text
    assert str(planted.table.parent.parent) not in text


def test_a_notebook_shows_how_many_of_each_kind(planted: Planted) -> None:
    text = planted.audit._repr_html_()
    assert f"{len(planted.audit.findings):,} findings in {planted.audit.index.name}" in text
    for kind, n in planted.audit.counts().items():
        assert (f"<tr><th>{KINDS[kind].title}</th><td>{n}</td>" in text) == bool(n)


def test_the_same_audit_gives_the_same_bytes(planted: Planted, written: Path, tmp_path: Path) -> None:
    write_audit(planted.audit, tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (written / name).read_bytes(), name


def test_names_are_escaped_and_pictures_that_went_leave_an_empty_tile(drawn: Path, tmp_path: Path) -> None:
    index = read_patches(drawn)
    odd = Patch("crack/<b> & \udcff.jpg", "crack", "p", "train")
    found = Audit(
        index.select([odd, *index.patches]),
        (AuditFinding("blurred", (odd.path,), 3.0, "<i>soft</i>"), AuditFinding("unreadable", ("<u>",), 1.0, "gone")),
        crackscope.audit(index).facts | {"name": "walls & <bridges>"},
        {"label_error": "a reason"},
    )
    write_audit(found, tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for piece in ("crack/&lt;b&gt; &amp;", "&lt;i&gt;soft", "&lt;bridges&gt;", "&lt;u&gt;", "A reason."):
        assert piece in text
    assert "<b> &" not in text


def test_a_failure_leaves_nothing_behind(planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(audit_report, "_page", fail)
    with pytest.raises(KeyboardInterrupt):
        write_audit(planted.audit, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# The command


def test_the_command_tells_writes_and_exits_with_3_where_something_is_found(
    run: Run, planted: Planted, tmp_path: Path
) -> None:
    out, clean = tmp_path / "audit", tmp_path / "clean.csv"
    code, text, err = run(
        "audit", planted.table, "--split", planted.split, "--out", out, "--clean", clean, "--json", "--threads", 2
    )
    document = json.loads(text)
    assert (code, document["status"], document["out"]) == (3, "findings", str(out))
    assert document["counts"] == planted.audit.counts()
    assert document["n_kept"] == len(read_patches(clean)) == document["n_patches"] - document["n_left_out"]
    assert "3 photos stand on two sides" in err
    code, text, err = run("audit", planted.table, "--split", planted.split, "--out", out)
    assert (code, text) == (1, "")
    assert "--overwrite" in err
    code, text, _ = run("audit", planted.table, "--split", planted.split, "--out", out, "--overwrite")
    assert code == 3
    assert "labels that are probably wrong" in text


def test_the_command_exits_with_0_where_nothing_is_found(run: Run, walls: Path, tmp_path: Path) -> None:
    code, text, _ = run("audit", walls, "--out", tmp_path / "audit", "--clean", walls / "clean.csv")
    assert (code, text.splitlines()[0]) == (0, "nothing found")
    assert read_patches(walls / "clean.csv").paths == sorted(read_patches(walls).paths)


def test_the_command_refuses_in_one_line_before_anything_is_read(run: Run, walls: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "walls.tar", "w") as archive:
        archive.add(walls, "walls")
    (tmp_path / "taken.csv").write_text("mine")
    taken, table = tmp_path / "taken.csv", (walls / "labels.csv").read_bytes()
    for arguments, part in (
        ((walls, "--split", taken, "--clean", taken, "--overwrite"), "is the split file"),
        ((walls, "--clean", walls / "labels.csv", "--overwrite"), "is read by a table"),
        ((tmp_path / "walls.tar", "--clean", tmp_path / "clean.csv"), "Unpack it first"),
        ((walls, "--clean", tmp_path / "taken.csv"), "--overwrite"),
        ((walls, "--clean", tmp_path / "clean.tsv"), ".csv"),
        ((tmp_path / "none",), "no such folder"),
    ):
        code, text, err = run("audit", *arguments, "--out", tmp_path / "audit")
        assert (code, text) == (1, "")
        (line,) = err.splitlines()
        assert line.startswith("crackscope: ")
        assert part in line
    assert not (tmp_path / "audit").exists()
    assert (tmp_path / "taken.csv").read_text() == "mine"
    assert (walls / "labels.csv").read_bytes() == table


# In a browser


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_axe_and_the_width_of_the_page(browser: Browser, written: Path, width: int, scheme: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto((written / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    assert complaints == []


def test_an_index_inside_the_folder_of_the_report_is_refused(tmp_path: Path, drawn: Path, run: Run) -> None:
    """It would be replaced with the folder, or stand in the way of that."""
    words = ["audit", str(drawn), "--out", str(tmp_path / "out"), "--clean", str(tmp_path / "out" / "clean.csv")]
    code, _, err = run(*words)
    assert code == 1
    assert "which is replaced as a whole. Write the index elsewhere." in err
    assert not (tmp_path / "out").exists()


def test_photos_of_a_scene_in_two_parts_are_a_finding(tmp_path: Path, backbone_file: Path) -> None:
    data = draw_sdnet(tmp_path / "sdnet2018", {"P": photos_of_scenes("P", 6, most=2)}, patches_per_photo=4)
    index = read_patches(data)
    by_photo = crackscope.split(index, by="photo", val=0.25, test=0.25)
    found = crackscope.audit(index, split=by_photo, backbone=backbone_file)
    leaks = [one for one in found.findings if one.kind == "scene_leak"]
    sides: dict[str | None, set[str | None]] = {}
    for patch in by_photo.patches:
        sides.setdefault(patch.scene, set()).add(patch.part)
    assert len(leaks) == sum(len(parts) > 1 for parts in sides.values()) > 0
    assert all(one.why.startswith("Scene S") and one.score >= 1 for one in leaks)
    assert (found.facts["n_photos"], found.facts["n_scenes"]) == (12, 6)
    assert found.facts["label_error"]["n_groups"] == 6  # a label is judged by other scenes
    write_audit(found, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "6 scenes" in page
    assert "neither the patch nor its scene" in page
    clean = crackscope.audit(
        index, split=crackscope.split(index, by="scene", val=0.25, test=0.25), backbone=backbone_file
    )
    assert clean.counts()["scene_leak"] == 0
    write_clean_index(clean, data, tmp_path / "clean.csv")
    assert {patch.scene for patch in read_patches(tmp_path / "clean.csv").patches} == {p.scene for p in index.patches}

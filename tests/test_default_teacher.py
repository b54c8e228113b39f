"""The half trained network turns what it finds into masks that the training can learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from default_teacher import LEVELS, mask_of, untraced

NONE, PERHAPS, LINE = LEVELS


def test_a_long_and_sure_line_becomes_a_line_and_a_short_or_weak_one_is_not_judged() -> None:
    probability = np.zeros((80, 80), np.float32)
    probability[10:12, 10:60] = 0.6
    probability[10:12, 30:40] = 0.9  # sure somewhere: the whole line counts
    probability[40:42, 10:60] = 0.7  # nowhere sure
    probability[60:62, 10:30] = 0.95  # short
    probability[70:72, 10:60] = 0.2
    mask = mask_of(probability)
    assert (mask[10:12, 10:60] == LINE).all()
    for rows, columns in (
        (slice(40, 42), slice(10, 60)),
        (slice(60, 62), slice(10, 30)),
        (slice(70, 72), slice(10, 60)),
    ):
        assert (mask[rows, columns] == PERHAPS).all()
    assert (mask > NONE).sum() == (probability > 0).sum()


def test_untraced_photos_are_those_of_the_part_and_of_no_source_that_is_kept_back(tmp_path: Path) -> None:
    parts = tmp_path / "parts.csv"
    parts.write_text(
        "set,file,source,part\n"
        "traced/real,r.jpg,a,train\n"
        "traced/unlabelled,b.jpg,b,train\n"
        "traced/unlabelled,a.jpg,a,train\n"
        "traced/unlabelled,c.jpg,c,train\n"
        "traced/unlabelled,d.jpg,d,barred\n",
        encoding="utf-8",
    )
    found = untraced(tmp_path, parts, without={"c"})
    assert [one.name for one in found] == ["a.jpg", "b.jpg"]
    assert found[0].parent == tmp_path / "unlabelled" / "images"

"""The folder of a search for scenes: which photos show the same place, each pair as numbers and as a picture."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from crackscope.data.scene_search import PhotoPair, ScenePhoto, SceneSearch, find_scenes
from crackscope.files.output import require_free_folder, resumable_folder, write_text
from crackscope.files.streaming import Progress
from crackscope.files.tables import table_text
from crackscope.reports.page import data_uri, environment

__all__ = ["FILES", "PAIR_COLUMNS", "SCENE_COLUMNS", "write_scenes"]


FILES = ("scenes.csv", "pairs.csv", "index.html")
"""What `write_scenes` writes."""

SCENE_COLUMNS = ("photo", "scene")
PAIR_COLUMNS = (
    "photo_a",
    "photo_b",
    "scene",
    "inliers",
    "spread",
    "texture_share",
    "overlap_share_a",
    "overlap_share_b",
    "residual_px",
    *(f"h{i}" for i in range(9)),
)

_N_PICTURES = 300
_N_REFUSED_LISTED = 50


def write_scenes(
    photos: Sequence[ScenePhoto],
    out: str | Path,
    *,
    by_names: bool = True,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SceneSearch:
    """Find which photos show the same place, and write it into a folder. An interrupted run goes on where it stopped.

    Args:
        photos: Photos, in the order in which they were taken as far as that is known.
        out: Path of the folder; missing parent folders are made.
        by_names: Whether photos that stand near each other in this order are compared first.
        threads: Number of threads; all cores if left out.
        overwrite: Whether an older search is replaced; a folder that holds anything else never is.
        progress: Called with (done, total), first over photos and then over each round of pairs.

    Returns:
        What was found.

    Raises:
        DataError: If two photos have one name.
        OutputError: If `out` is taken, cannot be written, or another run is writing it.
    """
    out = Path(out)
    require_free_folder(out, ours=FILES, overwrite=overwrite)
    with resumable_folder(out, ours=FILES, overwrite=overwrite) as folder:
        found = find_scenes(photos, by_names=by_names, folder=folder, threads=threads, progress=progress)
        write_text(folder / "scenes.csv", table_text(SCENE_COLUMNS, found.scenes.items()), overwrite=True)
        write_text(folder / "pairs.csv", _pairs_table(found), overwrite=True)
        write_text(folder / "index.html", _page(found), overwrite=True)
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in FILES:
                path.unlink()
    return found


def _pairs_table(found: SceneSearch) -> str:
    scenes = found.scenes
    rows = []
    for pair in found.pairs:
        shares = (pair.spread, pair.texture_share, pair.overlap_share_a, pair.overlap_share_b)
        cells = [pair.photo_a, pair.photo_b, scenes[pair.photo_a], pair.n_inliers, *(f"{one:.4f}" for one in shares)]
        rows.append([*cells, f"{pair.residual_px:.3f}", *(f"{one:.10g}" for one in pair.homography)])
    return table_text(PAIR_COLUMNS, rows)


def _page(found: SceneSearch) -> str:
    """The page; the pairs with the fewest inliers come first, since they are the ones to look at."""
    ranked = sorted(found.pairs, key=lambda pair: (pair.n_inliers, pair.photo_a, pair.photo_b))
    sizes = Counter(found.scenes.values())
    members: dict[str, list[str]] = {}
    for photo, scene in found.scenes.items():
        members.setdefault(scene, []).append(photo)
    return (
        environment()
        .get_template("scenes.html")
        .render(
            found=found,
            scenes=found.scenes,
            shared={scene: names for scene, names in members.items() if sizes[scene] > 1},
            n_scenes=len(sizes),
            shown=[(pair, _picture(pair)) for pair in ranked[:_N_PICTURES]],
            refused=found.refused[:_N_REFUSED_LISTED],
        )
    )


def _picture(pair: PhotoPair) -> str:
    return data_uri(pair.picture, "jpeg")

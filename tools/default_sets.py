"""Sets that the default model is trained on: METU, and the surfaces of SDNET2018 without its reserved photos."""

from __future__ import annotations

from crackscope.data.patches import PatchIndex, read_patches
from crackscope.data.splits import apply_split, split
from crackscope.measuring.transfer_sets import read_photo_list, without_photos

METU, SURFACES = "metu", {"decks": "sdnet2018-D", "pavements": "sdnet2018-P", "walls": "sdnet2018-W"}


def read_sets(metu_place: str, sdnet_place: str, reserved_place: str, *, by: str = "scene") -> dict[str, PatchIndex]:
    """Read METU and the surfaces, split into parts, without the reserved photos; `by` is for SDNET2018 alone."""
    metu = read_patches(metu_place)
    sdnet = without_photos(read_patches(sdnet_place), read_photo_list(reserved_place))
    metu, sdnet = (
        apply_split(metu, split=split(metu, by="similarity")),
        apply_split(sdnet, split=split(sdnet, by=by)),
    )
    return {METU: metu, **surfaces_of(sdnet)}


def read_reserved(sdnet_place: str, reserved_place: str) -> dict[str, PatchIndex]:
    """Select the reserved photos of the surfaces alone."""
    reserved, full = read_photo_list(reserved_place), read_patches(sdnet_place)
    return surfaces_of(full.select([patch for patch in full.patches if patch.photo in reserved]))


def surfaces_of(sdnet: PatchIndex) -> dict[str, PatchIndex]:
    """Divide SDNET2018 into its three surfaces."""
    return {
        name: sdnet.select([patch for patch in sdnet.patches if patch.dataset == dataset])
        for name, dataset in SURFACES.items()
    }


def part_of(index: PatchIndex, part: str) -> PatchIndex:
    """Select the patches of one part."""
    return index.select([patch for patch in index.patches if patch.part == part])

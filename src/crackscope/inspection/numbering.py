"""Numbering: the cracks of a scan become findings, and findings of an earlier scan keep their numbers.

1. *Photos.* A photo is known by the digest of its file, so names and folders may change. A file that lies there twice
   is one photo.
2. *Cracks.* Cracks that count become findings. So does any traced line that a reviewer has accepted before, even if it
   looks like a joint now. Cracks of overlapping photos are brought together (`crackscope.inspection.overlapping`).
3. *Earlier numbers.* The lines are compared with those of earlier findings in the same photos, and paired one to one so
   that the length they share is greatest. What counted before comes first, and then what had gone. Of a crack that
   was split, the longer piece keeps the number. Of two that became one, the longer one's number stays.
4. *New numbers* go to the remaining cracks by rank: photos that are ``crack`` before those that are ``unsure``, the
   most probable photo first, and in a photo the longest crack first. They follow on the highest number ever used.
5. *Decisions* of reviewers are laid over the result (`crackscope.inspection.review`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from crackscope.data.registration import Registration
from crackscope.errors import DataError
from crackscope.geometry.cracks import Crack
from crackscope.inspection.decisions import same_photo
from crackscope.inspection.findings import Finding, Findings, Notice, RetiredFinding, RetiredReason, Sighting
from crackscope.inspection.matching import OF_SHORTER, Agreement, Line, agreements_between, assigned
from crackscope.inspection.overlapping import CrackPlace, Group, Joined, join_cracks
from crackscope.inspection.review import decided, undecided
from crackscope.scanning.results import ALARMING, PhotoResult

__all__ = ["findings_of"]


def findings_of(
    results: Iterable[PhotoResult],
    previous: Findings | None = None,
    *,
    sha256s: Sequence[str | None] | None = None,
    registrations: Mapping[tuple[str, str], Registration] | None = None,
) -> Findings:
    """Number the cracks of a scan; findings of an earlier scan keep their numbers.

    Args:
        results: Results of all photos of the scan, in any order.
        previous: Findings of an earlier scan; None for a first one.
        sha256s: SHA-256 of the file of each photo, in the order of `results`, None where it is not known. A photo
            without one is known by its path.
        registrations: Registrations of photos that overlap, by their two paths; see `crackscope.register`. Photos that
            were joined before and have none now stay joined.

    Returns:
        Findings, by number. Findings that are not found again are retired with the reason, and keep their numbers.

    Raises:
        DataError: If `sha256s` does not fit `results`, or a registration names a photo that is not there.
    """
    scanned = list(results)
    digests = [None] * len(scanned) if sha256s is None else list(sha256s)
    if len(digests) != len(scanned):
        raise DataError(f"{len(scanned)} photos have {len(digests)} digests. Give one for each, or None.")
    with_decisions = Findings() if previous is None else previous  # findings of which none counts are false
    earlier = undecided(with_decisions)
    photos = _photos_of(scanned, digests)
    _compare(photos, earlier, _accepted(with_decisions))
    found = _Numbering(photos, earlier).done(_by_photos(registrations or {}, photos))
    return decided(found, with_decisions.decisions)


@dataclass(eq=False)
class _Photo:
    """A photo of this scan, its cracks that become findings, and the lines of earlier findings in it."""

    result: PhotoResult
    photo_sha256: str | None
    copies: list[str] = field(default_factory=list)
    cracks: tuple[Crack, ...] = ()
    before: list[int] = field(default_factory=list)  # number of the finding that each earlier line belongs to
    shared: dict[tuple[int, int], Agreement] = field(default_factory=dict)  # by place in `before`, and crack

    @property
    def photo(self) -> str:
        return self.result.path

    def sighting(self, crack: Crack, path: str | None = None) -> Sighting:
        found = self.result
        hw = found.height_px or 0, found.width_px or 0
        place = path or found.path, self.photo_sha256, hw, crack
        return Sighting(*place, found.taken_at, found.latitude_deg, found.longitude_deg)


class _Numbering:
    """Cracks of this scan beside the findings of an earlier one."""

    def __init__(self, photos: Sequence[_Photo], earlier: Findings) -> None:
        self.photos, self.earlier = photos, earlier
        self.live = {one.number: one for one in earlier.findings}
        self.gone = {one.finding.number: one.finding for one in earlier.retired}
        self.notices = [
            Notice("same file", f"{copy} is the same file as {photo.photo}; its cracks count once.")
            for photo in photos
            for copy in photo.copies
        ]

    def done(self, registrations: Mapping[tuple[int, int], Registration]) -> Findings:
        """Findings of this scan, without decisions."""
        joined = join_cracks([photo.cracks for photo in self.photos], registrations, self._known(registrations))
        groups = joined.groups
        scores = self._scores(groups)
        number_of = {group: number for number, group in assigned(_only(scores, self.live)).items()}
        left = {key: one for key, one in scores.items() if key[0] in self.gone and key[1] not in number_of}
        back = {group: number for number, group in assigned(left).items()}
        number_of |= back
        highest = self.earlier.highest_number
        for group in sorted(set(range(len(groups))) - number_of.keys(), key=lambda one: min(groups[one].places)):
            highest += 1
            number_of[group] = highest
        origins = self._origins(scores, number_of)
        findings = [self._finding(groups[group], number, origins.get(group)) for group, number in number_of.items()]
        self._tell(number_of, back, origins, joined)
        return Findings(
            tuple(sorted(findings, key=lambda one: one.number)),
            tuple(sorted(self._retired(number_of, groups), key=lambda one: one.finding.number)),
            highest,
            notices=tuple(self.notices),
        )

    def _known(self, registrations: Mapping[tuple[int, int], Registration]) -> list[tuple[CrackPlace, CrackPlace]]:
        """Cracks that were one finding before, as far as no registration of now tells of their photos."""
        places: dict[int, list[CrackPlace]] = defaultdict(list)
        told = {(a, b) for pair in registrations for a in pair for b in pair}
        for i, photo in enumerate(self.photos):
            alive = {key: one.score for key, one in photo.shared.items() if photo.before[key[0]] in self.live}
            for row, crack in assigned(alive).items():
                places[photo.before[row]].append(CrackPlace(i, crack))
        return [
            (first, other)
            for own in places.values()
            for k, first in enumerate(own)
            for other in own[k + 1 :]
            if (first.photo, other.photo) not in told
        ]

    def _scores(self, groups: Sequence[Group]) -> dict[tuple[int, int], float]:
        """Length that each earlier finding shares with each group; among equals, the lower number has more."""
        scores: dict[tuple[int, int], float] = defaultdict(float)
        for number, group, shared in self._shared(groups):
            scores[number, group] += shared.score * (1 - 1e-9 * number)
        return dict(scores)

    def _shared(self, groups: Sequence[Group]) -> Iterator[tuple[int, int, Agreement]]:
        """Number of an earlier finding, a group, and what the lines of both share in one photo."""
        group_of = {place: number for number, group in enumerate(groups) for place in group.places}
        for i, photo in enumerate(self.photos):
            for (row, crack), shared in photo.shared.items():
                yield photo.before[row], group_of[CrackPlace(i, crack)], shared

    def _origins(self, scores: Mapping[tuple[int, int], float], number_of: Mapping[int, int]) -> dict[int, int]:
        """Number of the earlier finding that each new group was a part of."""
        origins: dict[int, int] = {}
        for (number, group), _ in sorted(scores.items(), key=lambda item: item[1]):
            if number in self.live and number_of[group] > self.earlier.highest_number:
                origins[group] = number
        return origins

    def _finding(self, group: Group, number: int, origin: int | None) -> Finding:
        seen: list[Sighting] = []
        for place in group.places:
            photo = self.photos[place.photo]
            crack = photo.cracks[place.crack]
            seen += [photo.sighting(crack), *(photo.sighting(crack, path) for path in photo.copies)]
        best, known = seen[0], self.live.get(number) or self.gone.get(number)
        return Finding(
            number=number,
            photo=best.photo,
            photo_sha256=best.photo_sha256,
            crack=best.crack,
            element=known.element if known else None,
            photo_hw=best.photo_hw,
            taken_at=best.taken_at,
            latitude_deg=best.latitude_deg,
            longitude_deg=best.longitude_deg,
            notes=known.notes if known else "",
            seen_in=tuple(seen[1:]),
            came_from=known.came_from if known else origin,
        )

    def _retired(self, number_of: Mapping[int, int], groups: Sequence[Group]) -> Iterator[RetiredFinding]:
        kept = set(number_of.values())
        yield from (gone for gone in self.earlier.retired if gone.finding.number not in kept)
        into: dict[int, int] = {}  # whose line now takes in most of theirs
        for number, group, shared in sorted(self._shared(groups), key=lambda one: one[2].of_a):
            if shared.of_a >= OF_SHORTER:
                into[number] = number_of[group]
        for number, finding in self.live.items():
            if number in kept:
                continue
            if number in into:
                text = f"Finding {number} is one line with finding {into[number]} now."
                self.notices.append(Notice("joined", text, (into[number], number)))
                yield RetiredFinding(finding, "became part of another", into[number])
            else:
                yield RetiredFinding(finding, self._reason(finding))

    def _reason(self, finding: Finding) -> RetiredReason:
        places = [(one, photo) for one in finding.sightings for photo in self.photos if same_photo(one, photo)]
        if not places:
            return "photo gone"
        if all(photo.result.error is not None for _, photo in places):
            return "photo refused"
        if not any(photo.result.verdict in ALARMING for _, photo in places):
            return "photo not cracked"
        for one, photo in places:
            joints = [Line.of(crack.path_xy) for crack in photo.result.cracks if crack.joint_like]
            if agreements_between([Line.of(one.crack.path_xy)], joints):
                return "looks like a joint"
        return "not found again"

    def _tell(
        self, number_of: Mapping[int, int], back: Mapping[int, int], origins: Mapping[int, int], joined: Joined
    ) -> None:
        self.notices += [
            Notice("split", f"Finding {number_of[group]} was a part of finding {origin}.", (number_of[group], origin))
            for group, origin in origins.items()
        ]
        self.notices += [Notice("came back", f"Finding {one} is found again.", (one,)) for one in sorted(back.values())]
        group_of = {place: group for group, own in enumerate(joined.groups) for place in own.places}
        for link in joined.refused:
            first, second = (number_of[group_of[place]] for place in (link.a, link.b))
            if first == second:
                continue
            names = " and ".join(self.photos[place.photo].photo for place in (link.a, link.b))
            apart = self.photos[link.apart[0].photo].photo
            text = (
                f"Findings {first} and {second} match in {names}. They stay two, since {apart} shows two cracks there."
            )
            self.notices.append(Notice("join refused", text, (first, second)))


def _photos_of(results: Sequence[PhotoResult], digests: Sequence[str | None]) -> list[_Photo]:
    """Photos by rank, each once."""
    pairs = sorted(zip(results, digests, strict=True), key=lambda pair: (*_rank(pair[0]), pair[0].path))
    photos: dict[str, _Photo] = {}
    for number, (result, digest) in enumerate(pairs):
        key = digest or (f"path {result.path}" if result.path else f"number {number}")
        if key not in photos:
            photos[key] = _Photo(result, digest)
        elif digest:
            photos[key].copies.append(result.path)
        elif result.error is None:
            raise DataError(f"{result.path}: two photos have this path and no digest. Give each photo once.")
    return list(photos.values())


def _accepted(findings: Findings) -> set[int]:
    """Numbers of the findings that a reviewer accepted."""
    every = (*findings.findings, *(gone.finding for gone in findings.retired))
    return {one.number for one in every if one.decision and one.decision.verdict == "accept"}


def _compare(photos: Sequence[_Photo], earlier: Findings, accepted: set[int]) -> None:
    """Choose the cracks of each photo that become findings, and compare them with the lines of earlier findings."""
    places, before = _Places(photos), defaultdict[int, dict[tuple[int, str], Line]](dict)
    for finding in (*earlier.findings, *(gone.finding for gone in earlier.retired)):
        for sighting in finding.sightings:
            if (photo := places.of(sighting)) is not None:  # the name of a crack is that of its place and course
                before[id(photo)].setdefault((finding.number, sighting.crack.id), Line.of(sighting.crack.path_xy))
    for photo in photos:
        lines, every = before[id(photo)], photo.result.cracks
        photo.before = [number for number, _ in lines]
        shared = agreements_between([*lines.values()], [Line.of(crack.path_xy) for crack in every])
        agreed = {k for row, k in shared if photo.before[row] in accepted}
        counted = {id(one) for one in photo.result.counted_cracks}
        kept = [k for k, crack in enumerate(every) if id(crack) in counted or k in agreed]
        place_of = {k: place for place, k in enumerate(kept)}
        photo.cracks = tuple(every[k] for k in kept)
        photo.shared = {(row, place_of[k]): one for (row, k), one in shared.items() if k in place_of}


class _Places:
    """Photos of this scan, by digest and by path."""

    def __init__(self, photos: Sequence[_Photo]) -> None:
        self._by_digest = {photo.photo_sha256: photo for photo in photos if photo.photo_sha256}
        self._by_path = {photo.photo: photo for photo in photos}

    def of(self, sighting: Sighting) -> _Photo | None:
        """The photo that a sighting lies in."""
        if sighting.photo_sha256 in self._by_digest and sighting.photo_sha256:
            return self._by_digest[sighting.photo_sha256]
        photo = self._by_path.get(sighting.photo)
        return photo if photo is not None and same_photo(photo, sighting) else None


def _rank(result: PhotoResult) -> tuple[int, float]:
    group = 0 if result.verdict == "crack" else 1 if result.verdict == "unsure" else 2
    return group, -(result.crack_probability or 0.0)


def _by_photos(
    registrations: Mapping[tuple[str, str], Registration], photos: Sequence[_Photo]
) -> dict[tuple[int, int], Registration]:
    """Registrations that match, by the numbers of their photos; those of a file and its copy are left out."""
    number_of = {path: i for i, photo in enumerate(photos) for path in (photo.photo, *photo.copies)}
    found: dict[tuple[int, int], Registration] = {}
    for pair, registration in registrations.items():
        missing = [path for path in pair if path not in number_of]
        if missing:
            raise DataError(f"{missing[0]}: a registration names this photo, and it is not among the results.")
        numbers = number_of[pair[0]], number_of[pair[1]]
        if registration.matches and numbers[0] != numbers[1] and numbers[::-1] not in found:
            found[numbers] = registration
    return found


def _only(scores: Mapping[tuple[int, int], float], numbers: Mapping[int, Finding]) -> dict[tuple[int, int], float]:
    return {key: score for key, score in scores.items() if key[0] in numbers}

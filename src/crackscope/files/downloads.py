"""Downloads: fetch a published data set with resume, verify it, unpack it, count its images.

The host may drop the connection, the disk may fill, somebody may press Ctrl-C: the same command run again goes on where
it stopped. Bytes arrive in ``<out>.<suffix>.part``, which takes its final name only when it is whole; a small JSON file
beside it says where they come from.

Nothing is fetched from anywhere but the address in `DATASETS` or the one that was passed in.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import re
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from crackscope import __version__
from crackscope.errors import DataError, DownloadError, OutputError, did_you_mean
from crackscope.files.output import explain
from crackscope.files.streaming import Progress
from crackscope.files.unpacking import archive_kind, count_images, find_rar_tool, require_space, unpack

__all__ = ["DATASETS", "DownloadResult", "DownloadSource", "StageProgress", "download"]

StageProgress = Callable[[str], Progress]
"""Called with a stage as it begins, maybe again when it goes on; gives the callback of that stage. ``"download"`` and
``"check"`` count bytes, ``"unpack"`` counts files."""

Say = Callable[[str], None]
"""Called with a line for the user."""


@dataclass(frozen=True)
class DownloadSource:
    """Where a data set is published, and what its archive should hold."""

    name: str  # what the user types
    title: str
    doi: str  # without a resolver before it
    licence: str  # of the images
    attribution: str  # how the authors ask to be cited
    url: str  # of the archive
    filename: str  # under which the host offers the archive
    sha256: str | None  # None where we have not verified one
    folders: Mapping[str, str]  # label to the folder of the archive that holds its images
    n_images: Mapping[str, int]  # label to the number of images published


DATASETS: dict[str, DownloadSource] = {
    "metu": DownloadSource(
        name="metu",
        title="Concrete Crack Images for Classification",
        doi="10.17632/5y9wdsg2zt.2",
        licence="CC BY 4.0",
        attribution=(
            "Özgenel, Çağlar Fırat (2019), Concrete Crack Images for Classification, Mendeley Data, V2, "
            "doi: 10.17632/5y9wdsg2zt.2"
        ),
        url=(
            "https://data.mendeley.com/public-files/datasets/5y9wdsg2zt/files/"
            "8a70d8a5-bce9-4291-bab9-b48cfb3e87c3/file_downloaded"
        ),
        filename="Concrete Crack Images for Classification.rar",
        sha256=None,  # the publisher gives none, and none of us has seen one come out of a download yet
        folders={"crack": "Positive", "uncracked": "Negative"},
        n_images={"crack": 20_000, "uncracked": 20_000},
    ),
}


@dataclass(frozen=True)
class DownloadResult:
    """A data set on disk."""

    folder: Path  # holds one folder of images a label
    n_images: dict[str, int]  # label to the number of images found
    archive: Path  # what it was unpacked from; it can be deleted
    sha256: str  # of the archive, computed here
    warnings: tuple[str, ...] = ()  # what differs from the published set


def download(
    name: str,
    out: str | Path,
    *,
    url: str | None = None,
    archive: str | Path | None = None,
    sha256: str | None = None,
    overwrite: bool = False,
    progress: StageProgress | None = None,
    say: Say = lambda _: None,
) -> DownloadResult:
    """Fetch a published data set into a folder, or unpack an archive of it that was got by hand.

    Args:
        name: A key of `DATASETS`.
        out: The folder to make; a downloaded archive is kept beside it, under the same name and a suffix.
        url: Address to fetch the archive from (http or https), instead of the publisher's.
        archive: An archive on this machine (zip, tar or rar, told apart by content); nothing is downloaded.
        sha256: The checksum that the archive must have, 64 hex digits.
        overwrite: Replace a folder that is there, provided it holds nothing but this data set.
        progress: Gives the callback of each stage, which is called while bytes arrive and files are unpacked.
        say: Called with a line of text when the connection drops and is tried again.

    Raises:
        DownloadError: If the host cannot be reached or refuses (the message says how to go on by hand), or a
            checksum differs.
        DataError: If the name is unknown, or the archive is damaged, hostile or of something else.
        OutputError: If the folder is already there, or cannot be written.
    """
    if name not in DATASETS:
        known = ", ".join(sorted(DATASETS))
        raise DataError(f"No data set is called '{name}'. Known: {known}.{did_you_mean(name, DATASETS)}")
    source = DATASETS[name]
    if url is not None and archive is not None:
        raise DownloadError("Both an address and an archive were given. Give --url or --archive, not both.")
    expected = (sha256 or source.sha256 or "").lower()
    if expected and not re.fullmatch(r"[0-9a-f]{64}", expected):
        raise DownloadError(f"'{sha256}' is no sha256. Give 64 hex digits, as `sha256sum FILE` prints them.")
    progress = progress or (lambda stage: lambda done, total: None)
    out = Path(out) if Path(out).name else Path(out).resolve()
    with _writing(out):
        _check_place(source, out, overwrite)
    path = Path(archive) if archive is not None else _fetch(source, url, out, expected, progress, say, overwrite)
    digest = _sha256(path, expected, progress("check"))
    n_images = unpack(path, out, folders=source.folders, overwrite=overwrite, progress=progress("unpack"))
    warnings = (
        f"{out / source.folders[label]} holds {n_images[label]:,} images, published are {published:,}."
        for label, published in source.n_images.items()
        if n_images[label] != published
    )
    return DownloadResult(out, n_images, path, digest, tuple(warnings))


# --- checks -------------------------------------------------------------------------------------------------


def _check_place(source: DownloadSource, out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"{out} is a file, and the images need a folder. Choose another --out.")
    if not overwrite:
        complete = count_images(out, source.folders) == dict(source.n_images)
        state = "complete: use it as it is" if complete else "not the whole set"
        raise OutputError(f"{out} is already there ({state}). Replace it with --overwrite, or choose another --out.")
    foreign = sorted({entry.name for entry in out.iterdir()} - set(source.folders.values()))
    if foreign:
        raise OutputError(
            f"{out} also holds '{foreign[0]}', which is not part of {source.name}, so it is not overwritten. "
            "Move that away, or choose another --out."
        )


def _sha256(archive: Path, expected: str, progress: Progress) -> str:
    """The checksum of an archive, which must be the expected one unless that is empty."""
    if archive.is_dir():
        raise DataError(f"{archive} is a folder, not an archive. If it is unpacked already, use it as it is.")
    digest, done = hashlib.sha256(), 0
    try:
        with archive.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                progress(done, archive.stat().st_size)
    except OSError as error:
        raise DataError(f"{archive} cannot be read: {error.strerror}. Check the path.") from error
    if expected not in ("", digest.hexdigest()):
        found = f"{archive} has sha256 {digest.hexdigest()}, which differs from the expected {expected}"
        raise DownloadError(f"{found}. Check the checksum, or get the file again.")
    return digest.hexdigest()


# --- over the network ---------------------------------------------------------------------------------------

_TIMEOUT_S = 30.0
_CHUNK = 1 << 20
# Pauses after a dropped connection; counted anew whenever more bytes than ever before have arrived.
_BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 16.0)
_SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".zip", ".rar")


class _DroppedError(Exception):
    """A failed attempt after which another attempt may succeed."""


class _RefusedError(Exception):
    """A failed attempt after which waiting does not help."""


@dataclass(frozen=True)
class _Record:
    """Which file on the net the bytes of a file here are; kept beside it as ``<file>.json``."""

    url: str
    etag: str | None = None  # without one the file there may be another by now, and we start over
    n_bytes: int | None = None  # of the whole file, None while unknown

    @classmethod
    def of(cls, path: Path) -> _Record:
        """The record of a file; without an address where there is no record."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return cls(**json.loads(_beside(path, ".json").read_text(encoding="utf-8")))
        return cls("")

    def save(self, path: Path) -> None:
        _beside(path, ".json").write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")


def _fetch(
    source: DownloadSource,
    url: str | None,
    out: Path,
    sha256: str,
    progress: StageProgress,
    say: Say,
    overwrite: bool,
) -> Path:
    """Bring the archive to ``<out>.<suffix>``, or find it there."""
    filename = source.filename if url is None else url.partition("?")[0]
    url = source.url if url is None else url
    if not re.match(r"https?://[^/\[\]]+/", url):
        raise DownloadError(f"'{url}' is no http or https address. Give a file of this machine as --archive.")
    suffix = next((suffix for suffix in _SUFFIXES if filename.lower().endswith(suffix)), ".archive")
    archive = _beside(out, suffix)
    places = ["--archive", str(archive), "--out", str(out)]
    command = f"crackscope download {source.name} {shlex.join(places)}"
    if suffix == ".rar":
        find_rar_tool(archive)  # better to hear of it before the download than after
    known = _Record.of(archive)
    if archive.exists() and known.url == url and known.n_bytes == _size(archive):
        return archive
    if archive.exists() and known.url != url and not overwrite:
        raise OutputError(
            f"{archive} is already there, and did not come from {url}. "
            f"To unpack it run: {command}; to download over it add --overwrite."
        )
    try:
        _receive(url, archive, sha256, progress, say)
    except _RefusedError as error:
        raise DownloadError(
            f"{error}. By hand: open https://doi.org/{source.doi} in a browser, save '{source.filename}' as "
            f"{archive}, then run: {command}"
        ) from error
    return archive


def _receive(url: str, archive: Path, sha256: str, progress: StageProgress, say: Say) -> None:
    """Bring all bytes into the .part, check it, and give it its name."""
    part = _beside(archive, ".part")
    with _writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    record = _try_until_whole(url, part, progress("download"), say)
    with _writing(part):
        try:
            archive_kind(part)
            if sha256:
                _sha256(part, sha256, progress("check"))
        except (DataError, DownloadError) as error:
            _forget(part)
            raise _RefusedError(f"{error} It was removed") from error
        part.replace(archive)
        record.save(archive)
        _forget(part)


def _try_until_whole(url: str, part: Path, progress: Progress, say: Say) -> _Record:
    n_failures, most_bytes = 0, _size(part)
    while True:
        try:
            return _try_once(url, part, progress)
        except _DroppedError as error:
            n_bytes = _size(part)
            n_failures = 0 if n_bytes > most_bytes else n_failures + 1
            most_bytes = max(most_bytes, n_bytes)
            if n_failures >= len(_BACKOFF_S):
                kept = f"{n_bytes / 1e6:,.1f} MB are kept in {part}; the same command goes on from there"
                reason = f"Gave up after {n_failures} tries in a row: {error}"
                raise _RefusedError(f"{reason}. {kept}" if n_bytes else reason) from error
            say(f"Connection dropped; trying again in {_BACKOFF_S[n_failures]:.0f} s.")
            time.sleep(_BACKOFF_S[n_failures])


def _try_once(url: str, part: Path, progress: Progress) -> _Record:
    record, start = _Record.of(part), _size(part)
    if record.url != url or record.etag is None:
        start = 0
    if start and start == record.n_bytes:
        return record
    with _open(url, part, record.etag if start else None) as response:
        etag = response.headers["ETag"]
        if response.status == http.client.PARTIAL_CONTENT:
            follows = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
            if not (start and follows and etag == record.etag):
                _forget(part)
                raise _DroppedError("the server sent another part than the one asked for")
        else:  # the first try, a server without ranges, or a file that was changed
            is_strong = etag and not etag.startswith("W/")  # If-Range takes no weak one: RFC 9110, 13.1.5
            record, start = _Record(url, etag if is_strong else None, response.length), 0
        require_space(part.parent, (record.n_bytes or start) - start, "The download")
        with _writing(part), part.open("ab" if start else "wb") as file:
            record.save(part)
            progress(start, record.n_bytes or 0)
            for chunk in _chunks(response):
                file.write(chunk)
                progress(start := start + len(chunk), record.n_bytes or 0)
    if record.n_bytes not in (None, start):
        raise _DroppedError(f"the connection ended at {start:,} of {record.n_bytes:,} bytes")
    return replace(record, n_bytes=start)


def _open(url: str, part: Path, etag: str | None) -> http.client.HTTPResponse:
    """Ask for the rest of the file with this ETag, or for the whole where it is None."""
    headers = {"User-Agent": f"crackscope/{__version__}", "Accept-Encoding": "identity"}
    if etag is not None:
        headers |= {"Range": f"bytes={_size(part)}-", "If-Range": etag}
    host = url.split("/")[2]
    try:
        request = urllib.request.Request(url, headers=headers)
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
        return response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            _forget(part)
        kind = _DroppedError if error.code in (408, 416, 425, 429) or error.code >= 500 else _RefusedError
        raise kind(f"{host} answered {error.code} {error.reason} for {url}") from error
    except (urllib.error.URLError, http.client.InvalidURL, ValueError) as error:
        kind = _DroppedError if etag else _RefusedError  # a host that gave us bytes will be there again
        raise kind(f"{host} could not be reached ({getattr(error, 'reason', error)})") from error
    except (http.client.HTTPException, OSError) as error:
        raise _DroppedError(f"{host} closed the connection ({error})") from error


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise _DroppedError(f"the connection was lost ({error})") from error


# --- files --------------------------------------------------------------------------------------------------


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _forget(part: Path) -> None:
    with _writing(part):
        part.unlink(missing_ok=True)
        _beside(part, ".json").unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one line."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            remedy = "Make room; the same command goes on from here."
            raise OutputError(f"{path} cannot be written: {error.strerror}. {remedy}") from error
        raise OutputError(explain(error, path)) from error

"""`crackscope download`: a host on 127.0.0.1 that misbehaves."""

from __future__ import annotations

import hashlib
import http.server
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import typer
from test_unpacking import ARCHIVE, COUNTS, FILES, zip_of
from typer.testing import CliRunner

import crackscope.files.downloads as chapter
from crackscope.cli.download import download as command
from crackscope.errors import DataError, DownloadError, OutputError
from crackscope.files.downloads import DATASETS, DownloadResult, download
from crackscope.files.streaming import Progress


@dataclass
class Host:
    """What the server offers, how it misbehaves, and what it saw."""

    content: bytes = ARCHIVE
    etag: str | None = '"first"'
    has_ranges: bool = True
    statuses: list[int] = field(default_factory=list)  # answered first, one a request
    drop_after: list[int] = field(default_factory=list)  # bytes sent before the line is cut, one a request
    headers: dict[str, str] = field(default_factory=dict)
    etag_after_drop: str | None = None
    ranges_asked: list[str | None] = field(default_factory=list)
    n_sent: list[int] = field(default_factory=list)
    url: str = ""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host: Host

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        host = self.host
        self.close_connection = True
        asked = self.headers.get("Range")
        host.ranges_asked.append(asked)
        if host.statuses:
            self.send_response(host.statuses.pop(0))
            self.send_header("Content-Length", "0")
            self.send_header("Retry-After", "0")
            self.end_headers()
            return
        goes_on = bool(asked) and host.has_ranges and self.headers.get("If-Range") == host.etag
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and goes_on else 0
        self.send_response(206 if goes_on else 200)
        if goes_on:
            last = len(host.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(host.content)}")
        if host.etag:
            self.send_header("ETag", host.etag)
        for name, value in host.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(host.content) - start))
        self.end_headers()
        end = start + host.drop_after.pop(0) if host.drop_after else len(host.content)
        self.wfile.write(host.content[start:end])
        host.n_sent.append(min(end, len(host.content)) - start)
        if end < len(host.content) and host.etag_after_drop:
            host.etag = host.etag_after_drop


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    host = Host()
    handler = type("OneHandler", (Handler,), {"host": host})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    host.url = f"http://127.0.0.1:{server.server_address[1]}/set.zip"
    yield host
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def small_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(DATASETS, "metu", replace(DATASETS["metu"], n_images=COUNTS))
    monkeypatch.setattr(chapter, "_BACKOFF_S", (0.0, 0.0, 0.0))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data" / "metu"


def assert_whole(result: DownloadResult, out: Path) -> None:
    assert result.folder == out
    assert result.n_images == COUNTS
    assert result.warnings == ()
    for name, content in FILES.items():
        assert (out / name).read_bytes() == content
    assert not list(out.parent.glob("*.part"))
    assert not list(out.parent.glob("*.part.json"))


def test_the_registry_names_a_source_licence_and_counts() -> None:
    source = DATASETS["metu"]
    assert source.url.startswith("https://data.mendeley.com/")
    assert (source.licence, source.doi) == ("CC BY 4.0", "10.17632/5y9wdsg2zt.2")
    assert set(source.folders) == set(source.n_images) == {"crack", "uncracked"}


# --- over the network ---------------------------------------------------------------------------------------


def test_a_whole_download(host: Host, out: Path) -> None:
    steps: list[tuple[str, int, int]] = []

    def note(stage: str) -> Progress:
        return lambda done, total: steps.append((stage, done, total))

    digest = hashlib.sha256(ARCHIVE).hexdigest()
    result = download("metu", out, url=host.url, sha256=digest.upper(), progress=note)
    assert_whole(result, out)
    assert result.sha256 == digest
    assert result.archive == out.with_name("metu.zip")
    assert json.loads(out.with_name("metu.zip.json").read_text())["url"] == host.url
    assert {stage for stage, _, _ in steps} == {"download", "check", "unpack"}
    assert ("download", len(ARCHIVE), len(ARCHIVE)) in steps
    assert steps[-1] == ("unpack", 5, 5)


def test_a_dropped_connection_goes_on_where_it_was(host: Host, out: Path) -> None:
    host.drop_after = [70_000, 50_000]
    assert_whole(download("metu", out, url=host.url), out)
    assert host.ranges_asked == [None, "bytes=70000-", "bytes=120000-"]
    assert host.n_sent == [70_000, 50_000, len(ARCHIVE) - 120_000]  # not a byte twice


def test_the_same_command_goes_on_after_an_interrupt(host: Host, out: Path) -> None:
    def press_ctrl_c(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    host.drop_after = [90_000]
    with pytest.raises(KeyboardInterrupt):
        download("metu", out, url=host.url, progress=lambda stage: press_ctrl_c)
    n_kept = out.with_name("metu.zip.part").stat().st_size
    assert n_kept == 90_000
    assert_whole(download("metu", out, url=host.url), out)
    assert host.ranges_asked == [None, f"bytes={n_kept}-"]
    assert sum(host.n_sent) == len(ARCHIVE)


def test_giving_up_keeps_the_part_and_says_so(host: Host, out: Path) -> None:
    host.drop_after = [60_000, 0, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"Gave up after 3 tries in a row: .*metu\.zip\.part; the same command"):
        download("metu", out, url=host.url)
    host.drop_after = []
    assert_whole(download("metu", out, url=host.url), out)
    assert host.ranges_asked[-1] == "bytes=60000-"


def test_a_server_without_ranges_starts_over(host: Host, out: Path) -> None:
    host.has_ranges, host.drop_after = False, [70_000]
    assert_whole(download("metu", out, url=host.url), out)
    assert host.n_sent == [70_000, len(ARCHIVE)]


def test_a_server_without_a_validator_starts_over(host: Host, out: Path) -> None:
    host.etag, host.drop_after = None, [70_000]
    assert_whole(download("metu", out, url=host.url), out)
    assert host.ranges_asked == [None, None]


def test_a_changed_etag_starts_over(host: Host, out: Path) -> None:
    host.drop_after, host.etag_after_drop = [70_000], '"second"'
    assert_whole(download("metu", out, url=host.url), out)
    assert host.ranges_asked == [None, "bytes=70000-"]
    assert host.n_sent == [70_000, len(ARCHIVE)]


def test_a_refused_range_starts_over(host: Host, out: Path) -> None:
    host.drop_after = [70_000]
    host.statuses = []

    def refuse_next(text: str) -> None:
        assert text == "Connection dropped; trying again in 0 s."
        if not host.statuses and len(host.ranges_asked) == 1:
            host.statuses.append(416)

    assert_whole(download("metu", out, url=host.url, say=refuse_next), out)
    assert host.ranges_asked == [None, "bytes=70000-", None]


def test_a_busy_server_is_asked_again(host: Host, out: Path) -> None:
    host.statuses = [503, 429]
    assert_whole(download("metu", out, url=host.url), out)
    assert len(host.ranges_asked) == 3


def test_404_says_how_to_go_on_by_hand(host: Host, out: Path) -> None:
    host.statuses = [404]
    with pytest.raises(DownloadError, match=r"answered 404 .* https://doi\.org/10\.17632/5y9wdsg2zt\.2 in a browser"):
        download("metu", out, url=host.url)
    assert len(host.ranges_asked) == 1  # asking again would not help


def test_an_unreachable_host_prints_the_manual_steps(out: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/set.zip"
        with pytest.raises(DownloadError) as caught:
            download("metu", out, url=url)
    message = str(caught.value)
    archive = out.with_name("metu.zip")
    assert "could not be reached" in message
    assert f"save 'Concrete Crack Images for Classification.rar' as {archive}" in message
    assert message.endswith(f"crackscope download metu --archive {archive} --out {out}")
    assert "\n" not in message


def test_a_wrong_checksum_removes_the_download(host: Host, out: Path) -> None:
    with pytest.raises(DownloadError, match=r"has sha256 .* differs from the expected 0000.* was removed"):
        download("metu", out, url=host.url, sha256="0" * 64)
    assert list(out.parent.iterdir()) == []


def test_a_web_page_instead_of_an_archive_is_said_and_removed(host: Host, out: Path) -> None:
    host.content = b"<!DOCTYPE html><title>Are you human?</title>"
    with pytest.raises(DownloadError, match=r"begins with '<!DOCTYPE html>'. It was removed. By hand"):
        download("metu", out, url=host.url)
    assert list(out.parent.iterdir()) == []


def test_a_finished_archive_is_not_fetched_twice(host: Host, out: Path) -> None:
    download("metu", out, url=host.url)
    assert_whole(download("metu", out, url=host.url, overwrite=True), out)
    assert len(host.ranges_asked) == 1
    out.with_name("metu.zip").write_bytes(b"cut off")
    assert_whole(download("metu", out, url=host.url, overwrite=True), out)
    assert len(host.ranges_asked) == 2


def test_a_foreign_file_in_the_place_of_the_archive_is_kept(host: Host, out: Path) -> None:
    out.parent.mkdir()
    out.with_name("metu.zip").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"metu\.zip is already there, and did not come from"):
        download("metu", out, url=host.url)
    assert out.with_name("metu.zip").read_bytes() == b"mine"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "set.zip", "http://[unclosed"])
def test_only_web_addresses_are_opened(out: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="no http or https address"):
        download("metu", out, url=url)


# --- places -------------------------------------------------------------------------------------------------


def test_an_existing_folder_is_an_error_unless_overwritten(tmp_path: Path, out: Path) -> None:
    archive = tmp_path / "got.zip"
    archive.write_bytes(ARCHIVE)
    download("metu", out, archive=archive)
    with pytest.raises(OutputError, match=r"metu is already there \(complete: use it as it is\)"):
        download("metu", out, archive=archive)
    (out / "Positive" / "00001.jpg").unlink()
    with pytest.raises(OutputError, match=r"metu is already there \(not the whole set\)"):
        download("metu", out, archive=archive)
    assert_whole(download("metu", out, archive=archive, overwrite=True), out)


def test_overwriting_never_removes_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_bytes(b"years")
    with pytest.raises(OutputError, match=r"also holds 'thesis.docx'"):
        download("metu", tmp_path, archive="got.zip", overwrite=True)
    with pytest.raises(OutputError, match="is a file"):
        download("metu", tmp_path / "thesis.docx", archive="got.zip", overwrite=True)


@dataclass
class Usage:
    free: int


def test_too_little_space_is_said_before_anything_is_written(
    host: Host, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(free=1000))
    with pytest.raises(OutputError, match=r"The download needs 0\.2 MB in .* 0\.0 MB are free"):
        download("metu", out, url=host.url)
    assert list(out.parent.iterdir()) == []
    archive = out.with_name("got.zip")
    archive.write_bytes(ARCHIVE)
    with pytest.raises(OutputError, match="Unpacking needs"):
        download("metu", out, archive=archive)
    assert list(out.parent.iterdir()) == [archive]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_is_one_line(host: Host, out: Path) -> None:
    out.parent.mkdir()
    out.with_name("metu.zip.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"part cannot be written: No space left on device\. Make room"):
        download("metu", out, url=host.url)


def test_a_place_that_cannot_be_written_is_one_line(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"cannot be written .*Choose another --out"):
        download("metu", tmp_path / "file" / "metu", url=host.url)


# --- archives got by hand -----------------------------------------------------------------------------------


def test_a_wrong_checksum_leaves_a_file_got_by_hand(tmp_path: Path, out: Path) -> None:
    archive = tmp_path / "got.zip"
    archive.write_bytes(ARCHIVE)
    with pytest.raises(DownloadError, match="differs from the expected 0000"):
        download("metu", out, archive=archive, sha256="0" * 64)
    assert archive.read_bytes() == ARCHIVE
    with pytest.raises(DownloadError, match="Give 64 hex digits"):
        download("metu", out, archive=archive, sha256="abc")


def test_an_interrupted_unpacking_leaves_no_folder_and_downloads_nothing_again(host: Host, out: Path) -> None:
    def press_ctrl_c(stage: str) -> Progress:
        def press(done: int, total: int) -> None:
            if stage == "unpack" and done == 3:
                raise KeyboardInterrupt

        return press

    with pytest.raises(KeyboardInterrupt):
        download("metu", out, url=host.url, progress=press_ctrl_c)
    assert sorted(path.name for path in out.parent.iterdir()) == ["metu.zip", "metu.zip.json"]
    assert_whole(download("metu", out, url=host.url), out)
    assert len(host.ranges_asked) == 1


def test_a_rar_without_a_program_names_one(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"neither bsdtar nor unrar is installed .*apt install libarchive-tools"):
        download("metu", tmp_path / "metu", url=host.url.replace(".zip", ".rar"))
    assert host.ranges_asked == []  # said before the download, not after


def test_what_is_asked_must_make_sense(tmp_path: Path, out: Path) -> None:
    with pytest.raises(DataError, match=r"Known: metu\. Did you mean 'metu'\?"):
        download("metuu", out)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        download("metu", out, archive=tmp_path / "nowhere.zip")
    with pytest.raises(DataError, match="is a folder, not an archive"):
        download("metu", out, archive=tmp_path)
    with pytest.raises(DownloadError, match="--url or --archive, not both"):
        download("metu", out, archive=tmp_path, url="http://127.0.0.1/")


def test_another_count_is_a_warning(tmp_path: Path, out: Path) -> None:
    archive = tmp_path / "got.zip"
    archive.write_bytes(zip_of({**FILES, "Positive/00004.jpg": b"", "Positive/notes.txt": b""}))
    result = download("metu", out, archive=archive)
    assert result.n_images == {"crack": 4, "uncracked": 2}
    assert result.warnings == (f"{out / 'Positive'} holds 4 images, published are 3.",)


# --- the command --------------------------------------------------------------------------------------------

app = typer.Typer()
app.command()(command)


def test_the_command_prints_json_and_keeps_progress_to_stderr(host: Host, out: Path) -> None:
    result = CliRunner().invoke(app, ["metu", "--out", str(out), "--url", host.url, "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["status"] == "done"
    assert document["n_images"] == COUNTS
    assert document["sha256"] == hashlib.sha256(ARCHIVE).hexdigest()
    assert document["licence"] == "CC BY 4.0"
    assert "download" in result.stderr


def test_the_command_makes_data_name_and_exits_with_3_to_have_it_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("got.zip").write_bytes(zip_of({**FILES, "Positive/00004.jpg": b""}))
    result = CliRunner().invoke(app, ["metu", "--archive", "got.zip"])
    assert result.exit_code == 3
    assert f"{Path('data/metu')}: 4 crack, 2 uncracked" in result.stdout
    assert "Look: " in result.stdout
    result = CliRunner().invoke(app, ["metu", "--archive", "got.zip", "--overwrite", "--json"])
    assert json.loads(result.stdout)["status"] == "miscounted"


def test_the_command_tells_of_dropped_connections(host: Host, out: Path) -> None:
    host.drop_after = [70_000]
    result = CliRunner().invoke(app, ["metu", "--out", str(out), "--url", host.url])
    assert result.exit_code == 0, result.output
    assert "Connection dropped; trying again in 0 s." in result.stderr


def test_help_ends_with_an_example() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert "crackscope download metu --out data/metu" in result.stdout

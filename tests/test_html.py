"""HTML of the objects in notebooks: small, escaped, and never a request."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Protocol, cast

import pytest

from wbfiles_async import (
    Api,
    AsyncApi,
    AsyncFile,
    DeletionReport,
    DownloadReport,
    File,
    FileResult,
    TransferError,
)
from wbfiles_async._display import notebook
from wbfiles_async._display.tally import Tally
from wbfiles_async._html import ShownList, rows_html
from wbfiles_async.testing import LocalServer

RUN = "team/project/run1"
HOSTILE = '<script>alert("1")</script>&amp;\x1b[2J\u202e'
SHOWN = '<script>alert("1")</script>&amp;\\x1b[2J\\u202e'
SIGNATURE = "0123456789abcdef-secret"
NODE = {
    "id": "1",
    "name": HOSTILE,
    "sizeBytes": 2048,
    "mimetype": "<img src=x>",
    "md5": "<b>",
    "updatedAt": "<i>",
    "url": f"https://api.example/x?X-Amz-Signature={SIGNATURE}",
    "directUrl": f"https://store.example/x?X-Amz-Signature={SIGNATURE}",
}


class Shown(Protocol):
    def _repr_html_(self) -> str: ...


class Page(HTMLParser):
    """Parses HTML like a browser, and keeps tags and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(attrs)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(shown: Shown) -> Page:
    return Page(shown._repr_html_())


@pytest.fixture
def api(wandb_server: LocalServer) -> Iterator[Api]:
    with Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        yield api


def everything() -> list[Shown]:
    """One object of each kind, with hostile values."""
    api = AsyncApi(base_url="http://127.0.0.1:1", api_key="k" * 40)
    run = api.run("team/project/<script>alert(1)<script>")
    failure = FileResult(name=HOSTILE, status="failed", error=TransferError(f"{HOSTILE}: no"))
    return [
        run,
        run.files([HOSTILE]),
        run.files(pattern=HOSTILE),
        run.files(match={"name": HOSTILE, "direct_url": NODE["directUrl"]}),
        AsyncFile(api, NODE, run),
        File(None, NODE),
        ShownList([AsyncFile(api, NODE, run)] * 20),
        ShownList([run] * 20),
        DownloadReport(root=Path(HOSTILE), files=20, failed=20, failures=(failure,) * 20),
        DeletionReport(files=20, failed=20, failures=(failure,) * 20),
    ]


@pytest.mark.parametrize("shown", everything(), ids=lambda shown: type(shown).__name__)
def test_names_are_escaped_and_signatures_hidden(shown: Shown) -> None:
    read = page(shown)
    assert read.tags <= {"div", "b", "i", "table", "tr", "th", "td"}
    assert read.attributes <= {("style", f"text-align: {side}") for side in ("left", "right")}, (
        "colours are the theme's"
    )
    text = " ".join(read.texts)
    assert "script" in text
    assert text.isprintable()
    assert SIGNATURE not in text
    assert len(shown._repr_html_()) < 6000


def test_file_shows_its_attributes(api: Api) -> None:
    file = page(File(api, NODE, api.run(RUN)))
    assert [text for text in file.texts if text.strip()] == [
        *("File ", SHOWN),
        *("run", RUN),
        *("size", "2.0 KiB (2,048 bytes)"),
        *("type", "<img src=x>"),
        *("changed", "<i>"),
        *("md5", "<b>"),
    ]
    assert page(File(api, {"name": "a"})).texts == ["File ", "a"]


def test_listing_shows_its_first_page(api: Api, wandb_server: LocalServer) -> None:
    for n in range(25):
        wandb_server.add_file(RUN, f"{n:02}.txt", b"." * 100)
    assert page(api.run(RUN)).texts == ["Run ", RUN]
    assert not [*wandb_server.requests], "a run shows what is known"
    files = api.run(RUN).files(per_page=12)
    texts = page(files).texts
    assert texts[:2] == ["Files of ", RUN]
    assert [text for text in texts if text.endswith(".txt")] == [f"{n:02}.txt" for n in range(10)]
    assert texts[-1] == "12 files listed so far"
    count = len(wandb_server.requests)
    assert page(files).texts == texts
    assert len(wandb_server.requests) == count
    list(files)
    assert page(files).texts[-1] == "25 files"


async def test_async_listing_is_not_requested_for_display(api: Api, wandb_server: LocalServer) -> None:
    wandb_server.add_file(RUN, "a.txt", b"a")
    async with AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as client:
        files, runs = client.run(RUN).files(pattern="%"), client.runs("team/project")
        assert page(files).texts == ["Files of ", f"{RUN}, names like %", "not listed yet; to_list() lists them"]
        assert page(runs).texts == ["Runs of ", "team/project", "not listed yet; to_list() lists them"]
        assert not [*wandb_server.requests]
        for listed, text in ((await files.to_list(), "a.txt"), (await runs.to_list(), "run1")):
            assert isinstance(listed, ShownList)
            assert text in page(listed).texts
        async for listed in files.pages():
            assert "a.txt" in page(cast("Shown", listed)).texts


def test_runs_and_slices_are_tables_too(api: Api, wandb_server: LocalServer) -> None:
    for n in range(12):
        wandb_server.add_file(f"team/project/run{n:02}", f"{n:02}.txt", b"." * 2048)
    runs = api.runs("team/project", order="-created_at")
    texts = page(runs).texts
    assert texts[:6] == ["Runs of ", "team/project", "id", "name", "state", "created"]
    assert sum(text == "finished" for text in texts) == 10
    assert texts[-1] == "12 runs listed so far"
    assert page(api.runs("team/project", filters={"name": "run03"})).texts[-1] == "1 run"
    files = api.run("team/project/run03").files()
    lists = [runs[:3], runs.to_list(), next(runs.pages()), files[0:1], files.to_list(), next(files.pages())]
    for listed in lists:
        assert isinstance(listed, ShownList)
        assert page(listed).texts[-1] in ("3 runs", "12 runs", "1 file")
        assert pickle.loads(pickle.dumps(listed)) == list(listed)
    assert page(cast("Shown", files[:1])).texts == ["name", "size", "type", "03.txt", "2.0 KiB", "text/plain", "1 file"]


def test_failed_listing_shows_the_reason(api: Api) -> None:
    texts = page(api.run("team/project/nope").files()).texts
    assert texts[:2] == ["Files of ", "team/project/nope"]
    assert "not found" in texts[2]


def test_deletion_shows_what_was_deleted_and_what_is_left(api: Api, wandb_server: LocalServer) -> None:
    wandb_server.add_file(RUN, "a", b"." * 1024)
    wandb_server.add_file(RUN, "b", b"." * 1024)
    planned = api.run(RUN).files().delete(include=["*"], dry_run=True)
    assert page(planned).texts == [
        "Deletion on the server",
        *("files", "2", "would be deleted", "2 files, 2.0 KiB"),
    ]
    assert str(planned) == "2 files, 2.0 KiB, would be deleted"
    report = api.run(RUN).files().delete(include=["a"])
    assert page(report).texts[:-1] == [
        *("Deletion on the server", "files", "1", "deleted", "1 file, 1.0 KiB", "time"),
    ]
    left = FileResult(name="b", status="failed", error=TransferError("b: no"))
    report = DeletionReport(files=3, deleted=1, failed=2, bytes=1024, failures=(left, left))
    assert page(report).texts[-4:] == ["b", "b: no", "b", "b: no"]
    assert str(report) == "1 file, 1.0 KiB, deleted, 2 files left"
    assert str(DeletionReport()) == "No files."


def test_empty_listing_is_stated(api: Api, wandb_server: LocalServer) -> None:
    wandb_server.add_run(RUN)
    files = api.run(RUN).files(["a", "b", "c", "d", "e"])
    assert list(files) == []
    assert page(files).texts == ["Files of ", f"{RUN}, names a, b, c and 2 more", "none"]


def test_report_shows_its_counts(api: Api, wandb_server: LocalServer, tmp_path: Path) -> None:
    wandb_server.add_file(RUN, "a", b"." * 1024)
    report = api.run(RUN).download(tmp_path)
    texts = page(report).texts
    assert texts[:-1] == [
        *("Download to ", str(tmp_path)),
        *("files", "1", "downloaded", "1 file, 1.0 KiB", "verified", "1 file"),
        "time",
    ]


def test_report_shows_some_failures_and_counts_the_others() -> None:
    failures = tuple(
        FileResult(name=f"{n}.txt", status="failed", error=TransferError(f"{n}.txt: no")) for n in range(20)
    )
    texts = page(DownloadReport(root=Path("data"), files=1_020, failed=1_010, failures=failures)).texts
    assert texts[-3:] == ["9.txt", "9.txt: no", "and 1,000 more"]


def test_progress_html_is_escaped() -> None:
    tally = Tally()
    tally.expect(2, 4 << 20)
    tally.started(HOSTILE, 2 << 20)
    tally.started("unknown", None)
    tally.advanced("unknown", 2 << 20)
    listing = Page(notebook.picture(tally))
    assert listing.tags == {"div", "progress"}
    assert [text.strip() for text in listing.texts if text.strip()] == [
        "0 of 2 files or more, 2.0 MiB, 0 B/s",
        f"{SHOWN}, 0 B of 2.0 MiB",
        "unknown, 2.0 MiB",
    ]
    assert listing.attributes == {("value", "0.000")}, "a bar without a value for what has no total"


def test_interrupted_progress_html_is_static() -> None:
    tally = Tally()
    tally.expect(2, 4 << 20)
    tally.listed = True
    tally.started("a", 4 << 20)
    tally.advanced("a", 1 << 20)
    tally.over = True
    assert [text.strip() for text in Page(notebook.picture(tally)).texts if text.strip()] == [
        "0 of 2 files, 1.0 of 4.0 MiB, stopped"
    ]


def test_sizes_are_aligned() -> None:
    shown = rows_html([AsyncFile(AsyncApi(base_url="http://127.0.0.1:1", api_key="k" * 40), NODE)], complete=True)
    assert shown.count("text-align: right") == 2, "the head, and the one size"
